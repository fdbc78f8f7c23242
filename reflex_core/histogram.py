"""Counts of durations in fixed buckets: cheap to add to, enough for percentiles and Prometheus."""

from __future__ import annotations

from bisect import bisect_left

SECONDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
)
"""Upper bounds: from a hit in memory to a long answer with reasoning."""


class Histogram:
    """`counts[i]` are values up to `bounds[i]`; the last count is for those above all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self.counts)

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, values up to it), as Prometheus wants them."""
        names = [*map(str, self.bounds), "+Inf"]
        out: list[tuple[str, float]] = []
        sofar = 0
        for name, count in zip(names, self.counts, strict=True):
            sofar += count
            out.append((name, sofar))
        return out

    def quantile(self, q: float) -> float | None:
        """Interpolated within its bucket; the highest bound for what lies above it. None when empty."""
        total = self.count
        if not total:
            return None
        rank, below = q * total, 0
        for i, count in enumerate(self.counts[:-1]):
            if count and below + count >= rank:
                low = self.bounds[i - 1] if i else 0.0
                return low + (self.bounds[i] - low) * (rank - below) / count
            below += count
        return self.bounds[-1]
