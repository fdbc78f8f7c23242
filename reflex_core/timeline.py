"""Requests over the last half hour, in short buckets."""

from __future__ import annotations

from collections import deque

BUCKET = 10
"""Seconds."""
KEPT = 180


class Timeline:
    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets: deque[list[int]] = deque(maxlen=KEPT)

    def add(self, now: float, hit: bool) -> None:
        """`now` in any seconds that only grow; the same for `rows`."""
        number = int(now) // BUCKET
        if not self._buckets or self._buckets[-1][0] < number:
            self._buckets.append([number, 0, 0])
        self._buckets[-1][1 if hit else 2] += 1

    def rows(self, now: float, count: int = KEPT) -> list[tuple[int, int]]:
        """(hits, others) for each of the last `count` buckets, the current one last."""
        last = int(now) // BUCKET
        known = {number: (hits, others) for number, hits, others in self._buckets}
        return [known.get(number, (0, 0)) for number in range(last - count + 1, last + 1)]
