from __future__ import annotations

import numpy as np

from reflex_core.verify.network import forward, shapes

DIM, FEATURES = 6, 3


def _weights(rng):
    return {
        n: rng.normal(size=s).astype(np.float32) * 0.3 for n, s in shapes(DIM, FEATURES, 4).items()
    }


def _pair(rng, n, m, pad=0):
    def side(k):
        rows = rng.normal(size=(k, DIM)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        zeros = np.zeros((pad, DIM), np.float32)
        there = np.concatenate([np.ones(k), np.zeros(pad)]).astype(np.float32)
        return np.concatenate([rows, zeros]), there * 0.5, there

    same = np.zeros((n + pad, m + pad), np.float32)
    same[0, 0] = 1
    return side(n), side(m), same


def test_padding_changes_nothing():
    w = _weights(np.random.default_rng(0))
    features = np.ones(FEATURES, np.float32)
    bare = forward(np, w, *_pair(np.random.default_rng(1), 4, 5), features)
    padded = forward(np, w, *_pair(np.random.default_rng(1), 4, 5, pad=3), features)
    np.testing.assert_allclose(bare, padded, atol=1e-5)


def test_both_ways_round_are_equal():
    w = _weights(np.random.default_rng(0))
    a, b, same = _pair(np.random.default_rng(2), 3, 7)
    features = np.zeros(FEATURES, np.float32)
    one, other = forward(np, w, a, b, same, features), forward(np, w, b, a, same.T, features)
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_batch_gives_what_each_pair_gives():
    w = _weights(np.random.default_rng(0))
    pairs = [_pair(np.random.default_rng(s), 3, 4) for s in range(5)]
    features = np.random.default_rng(9).normal(size=(5, FEATURES)).astype(np.float32)
    alone = [forward(np, w, *p, f) for p, f in zip(pairs, features, strict=True)]
    a, b = (tuple(np.stack(x) for x in zip(*(p[k] for p in pairs), strict=True)) for k in (0, 1))
    together = forward(np, w, a, b, np.stack([p[2] for p in pairs]), features)
    np.testing.assert_allclose(alone, together, atol=1e-5)
