"""Training of one network with JAX. The model itself is reflex_core/verify/network.py."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from reflex_core.verify.network import forward, shapes

BATCH = 64
LENGTHS = (12, 18, 26, 40, 64, 104, 192)
"""Tokens are padded to one of these, so that only a few programs are compiled."""
RATE = 1e-3
DECAY = 0.02
DROP = 0.2
SMOOTH = 0.01


@dataclass
class Data:
    """`left`, `right` (n,) index `starts`; `features` (n, f) standardised; `labels` (n,) 0 or 1."""

    starts: np.ndarray
    ids: np.ndarray
    rows: np.ndarray
    idf: np.ndarray
    left: np.ndarray
    right: np.ndarray
    features: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        sizes = np.diff(self.starts)
        self.size = np.minimum(np.maximum(sizes[self.left], sizes[self.right]), LENGTHS[-1])

    def side(self, texts: np.ndarray, length: int) -> tuple[np.ndarray, ...]:
        ids = np.full((len(texts), length), -1, np.int64)
        rows = np.zeros((len(texts), length, self.rows.shape[1]), np.float32)
        for r, text in enumerate(texts):
            start = self.starts[text]
            n = min(length, self.starts[text + 1] - start)
            ids[r, :n], rows[r, :n] = self.ids[start : start + n], self.rows[start : start + n]
        there = (ids >= 0).astype(np.float32)
        return rows, (self.idf[ids] * there).astype(np.float32), there, ids

    def batch(self, which: np.ndarray) -> tuple:
        length = next(n for n in LENGTHS if n >= self.size[which].max())
        *a, ids_a = self.side(self.left[which], length)
        *b, ids_b = self.side(self.right[which], length)
        same = ((ids_a[:, :, None] == ids_b[:, None, :]) & (ids_a >= 0)[:, :, None]).astype(
            np.float32
        )
        return tuple(a), tuple(b), same, self.features[which], self.labels[which]


def _start(dim: int, features: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    out = {}
    for name, shape in shapes(dim, features).items():
        if name == "scale":
            out[name] = np.float32(10)
        elif name.endswith(".b"):
            out[name] = np.zeros(shape, np.float32)
        else:
            bound = 1 / math.sqrt(shape[0])
            out[name] = rng.uniform(-bound, bound, shape).astype(np.float32)
    return out


def _loss(w, a, b, same, features, labels, key):
    keys = iter(jax.random.split(key, 16))

    def drop(x):
        kept = jax.random.bernoulli(next(keys), 1 - DROP, x.shape)
        return jnp.where(kept, x / (1 - DROP), 0)

    z = forward(jnp, w, a, b, same, features, drop)
    y = labels * (1 - 2 * SMOOTH) + SMOOTH
    return jnp.mean(jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z))))


@jax.jit
def _step(w, m, v, t, rate, a, b, same, features, labels, key):
    """Adam with decoupled weight decay and clipped gradients."""
    loss, g = jax.value_and_grad(_loss)(w, a, b, same, features, labels, key)
    norm = jnp.sqrt(sum(jnp.sum(x * x) for x in g.values()))
    g = {n: x * jnp.minimum(1.0, 1.0 / (norm + 1e-9)) for n, x in g.items()}
    m = {n: 0.9 * m[n] + 0.1 * g[n] for n in g}
    v = {n: 0.999 * v[n] + 0.001 * g[n] ** 2 for n in g}
    c1, c2 = 1 - 0.9**t, 1 - 0.999**t
    w = {
        n: w[n] * (1 - rate * DECAY) - rate * (m[n] / c1) / (jnp.sqrt(v[n] / c2) + 1e-8) for n in w
    }
    return w, m, v, loss


_predict = jax.jit(lambda w, a, b, same, features: forward(jnp, w, a, b, same, features))


def fit(data: Data, which: np.ndarray, epochs: int, seed: int, log=print) -> dict[str, np.ndarray]:
    """Weights trained on the pairs `which`."""
    rng = random.Random(seed)
    w = _start(data.rows.shape[1], data.features.shape[1], np.random.default_rng(seed))
    m = {n: np.zeros_like(x) for n, x in w.items()}
    v = {n: np.zeros_like(x) for n, x in w.items()}
    key = jax.random.PRNGKey(seed)
    total, t = epochs * (len(which) // BATCH), 0
    for epoch in range(epochs):
        near = data.size[which] + np.array([rng.random() * 3 for _ in which])
        order = which[np.argsort(near, kind="stable")]
        order = order[rng.randrange(BATCH) :]
        cuts = [order[i : i + BATCH] for i in range(0, len(order) - BATCH + 1, BATCH)]
        rng.shuffle(cuts)
        loss = 0.0
        for cut in cuts:
            t += 1
            warm = 0.1 * total
            share = (
                t / warm
                if t < warm
                else 0.5 * (1 + math.cos(math.pi * (t - warm) / (total - warm)))
            )
            key, one = jax.random.split(key)
            w, m, v, now = _step(w, m, v, t, RATE * max(share, 0.0), *data.batch(cut), one)
            loss += float(now)
        log(f"  epoch {epoch + 1}: loss {loss / len(cuts):.4f}")
    return {n: np.asarray(x) for n, x in w.items()}


def predict(data: Data, w: dict[str, np.ndarray], which: np.ndarray) -> np.ndarray:
    """Logits of the pairs `which`."""
    out = np.zeros(len(which), np.float32)
    order = np.argsort(data.size[which], kind="stable")
    for i in range(0, len(order), 128):
        at = order[i : i + 128]
        full = np.concatenate([at, np.repeat(at[-1:], 128 - len(at))])
        a, b, same, features, _ = data.batch(which[full])
        out[at] = np.asarray(_predict(w, a, b, same, features))[: len(at)]
    return out
