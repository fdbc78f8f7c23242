"""Confidence intervals of shares."""

from __future__ import annotations

import math


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95% interval of hits / n (Wilson 1927); (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    p = hits / n
    middle = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def upper_bound(hits: int, n: int, confidence: float = 0.95) -> float:
    """One-sided Clopper-Pearson bound: the share at which so few hits have chance 1 - confidence."""
    if hits >= n:
        return 1.0
    low, high = hits / n, 1.0
    for _ in range(60):
        p = (low + high) / 2
        if _at_most(hits, n, p) > 1 - confidence:
            low = p
        else:
            high = p
    return high


def _at_most(hits: int, n: int, p: float) -> float:
    """Chance of `hits` or fewer in n draws."""
    if p <= 0:
        return 1.0
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        + k * math.log(p) + (n - k) * math.log1p(-p)
        for k in range(hits + 1)
    ]  # fmt: skip
    return math.fsum(math.exp(x) for x in logs)
