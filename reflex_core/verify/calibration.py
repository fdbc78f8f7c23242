"""From the share of wrong hits a user accepts to the score the verifier demands.

The share is: of pairs that must not share an answer although they look alike, how many are served.
`calibration.json` beside the weights holds rows (threshold, traps, wrong, upper), made by
scripts/verifier/calibrate.py on pairs that trained nothing; `upper` is the one-sided 95% Clopper-Pearson
bound of wrong / traps, and must be within what the user accepts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from ..errors import BackendError

CEILING = 0.9999
"""Nothing but a repeat passes it."""


@dataclass(frozen=True, slots=True)
class Row:
    threshold: float
    traps: int
    wrong: int
    upper: float


@dataclass(frozen=True, slots=True)
class Label:
    """One case a user has judged: what the verifier gave it, and whether serving it was right."""

    score: float
    right: bool


class Calibration:
    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = sorted(rows, key=lambda r: r.threshold)

    @classmethod
    def load(cls, folder: Path) -> Calibration:
        """Raises BackendError when the file is missing or damaged."""
        try:
            data = orjson.loads((folder / "calibration.json").read_bytes())
            return cls(Row(*row) for row in data["rows"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackendError(f"the verifier's calibration cannot be read: {error}") from None

    def threshold_for(self, max_wrong: float, labels: Iterable[Label] = ()) -> float:
        """The lowest threshold whose bound is within `max_wrong`; labels can only raise it.

        A case that the user has marked as wrong counts as one more trap of the table, served at
        every threshold up to its score.
        """
        wrong = [x.score for x in labels if not x.right]
        for row in self.rows:
            served = row.wrong + sum(score >= row.threshold for score in wrong)
            bound = upper_bound(served, row.traps + len(wrong))
            if max(row.upper, bound) <= max_wrong:
                return row.threshold
        return CEILING


def for_long(threshold: float) -> float:
    """The threshold of long questions, of which few were trained on: half way to certainty."""
    return (1 + threshold) / 2


def doubted(score: float) -> float:
    """The score of a pair that a guard doubts (guards.DOUBTS): it must be a quarter nearer to certainty."""
    return max(0.0, (4 * score - 1) / 3)


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
    logs = (
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        + k * math.log(p) + (n - k) * math.log1p(-p)
        for k in range(hits + 1)
    )  # fmt: skip
    return math.fsum(math.exp(x) for x in logs)
