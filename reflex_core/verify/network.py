"""The verifier's network: every token of one text against a soft partner in the other.

A decomposable attention model (Parikh et al. 2016, arXiv:1606.01933) on frozen token vectors, with
the features of features.py beside its pooled comparison. `xp` is numpy when scoring and jax.numpy
when training (scripts/verifier/train.py), so there is one definition of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Array = Any
Weights = Mapping[str, Array]

WIDTH = 64
COMPARED = 32
EXACT_BONUS = 2.0
_FAR = 1e4


def shapes(dim: int, features: int, width: int = WIDTH) -> dict[str, tuple[int, ...]]:
    """Name -> shape; a name that ends in `.b` is a bias."""
    return {
        "value.w": (dim, width), "value.b": (width,), "match.w": (dim, width), "scale": (),
        "compare1.w": (4 * width + 5, width), "compare1.b": (width,),
        "compare2.w": (width, COMPARED), "compare2.b": (COMPARED,),
        "pool.w": (COMPARED, 1),
        "flags.w": (features, 40), "flags.b": (40,),
        "head1.w": (6 * COMPARED + 40, 48), "head1.b": (48,), "head2.w": (48, 1), "head2.b": (1,),
    }  # fmt: skip


def _keep(x: Array) -> Array:
    return x


def _relu(xp: Any, x: Array) -> Array:
    return xp.maximum(x, 0)


def _softmax(xp: Any, x: Array, axis: int) -> Array:
    e = xp.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def _unit(xp: Any, x: Array) -> Array:
    return x / xp.sqrt((x * x).sum(-1, keepdims=True) + 1e-12)


def _directed(xp: Any, w: Weights, one: Array, other: Array, near: Array, same: Array,
              idf: Array, there: Array, partners: Array, drop: Callable[[Array], Array]) -> Array:  # fmt: skip
    """Pooled comparison of each token of one text with its partner, (..., 3 * COMPARED).

    `one`, `other` are (value, match) of (..., n, width) and (..., m, width); `near`, `same`
    (..., n, m); `idf`, `there` (..., n); `partners` (..., m), 1 where there is a token.
    """
    away = _FAR * (1 - partners)[..., None, :]
    alike = one[1] @ xp.swapaxes(other[1], -1, -2)
    share = _softmax(xp, w["scale"] * (alike + near) + EXACT_BONUS * same - away, -1)
    partner = _relu(xp, share @ other[0])
    value = _relu(xp, one[0])
    facts = xp.stack(
        [
            (near - away).max(-1),
            (alike - away).max(-1),
            same.max(-1),
            idf,
            (share * share).sum(-1),
        ],
        -1,
    )
    pair = xp.concatenate([value, partner, xp.abs(value - partner), value * partner, facts], -1)
    hidden = _relu(xp, drop(pair) @ w["compare1.w"] + w["compare1.b"])
    hidden = _relu(xp, drop(hidden) @ w["compare2.w"] + w["compare2.b"])
    mask = there[..., None]
    mean = (hidden * mask).sum(-2) / xp.maximum(mask.sum(-2), 1)
    top = (hidden * mask).max(-2)
    heed = _softmax(xp, hidden @ w["pool.w"] - _FAR * (1 - mask), -2)
    return xp.concatenate([mean, top, (heed * hidden).sum(-2)], -1)


def forward(
    xp: Any,
    w: Weights,
    a: tuple[Array, Array, Array],
    b: tuple[Array, Array, Array],
    same: Array,
    features: Array,
    drop: Callable[[Array], Array] = _keep,
) -> Array:
    """The logit of "may share an answer", (...,).

    `a` and `b` are (unit token vectors (..., n, dim), idf (..., n), mask (..., n)); `same`
    (..., n, m) is 1 where the word pieces are equal; `features` (..., f) are standardised.
    """
    sides = [(x @ w["value.w"] + w["value.b"], _unit(xp, x @ w["match.w"])) for x in (a[0], b[0])]
    near = a[0] @ xp.swapaxes(b[0], -1, -2)
    u = _directed(xp, w, sides[0], sides[1], near, same, a[1], a[2], b[2], drop)
    back = xp.swapaxes(near, -1, -2), xp.swapaxes(same, -1, -2)
    v = _directed(xp, w, sides[1], sides[0], *back, b[1], b[2], a[2], drop)
    seen = drop(_relu(xp, features @ w["flags.w"] + w["flags.b"]))
    z = xp.concatenate([drop(xp.concatenate([u + v, xp.abs(u - v)], -1)), seen], -1)
    z = drop(_relu(xp, z @ w["head1.w"] + w["head1.b"]))
    return (z @ w["head2.w"] + w["head2.b"])[..., 0]
