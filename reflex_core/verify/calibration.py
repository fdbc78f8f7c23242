"""From the share of wrong hits a user accepts to the score the verifier demands.

The share is: of pairs that must not share an answer although they look alike, how many are served.
`calibration.json` beside the weights holds rows (threshold, traps, wrong, upper), made by
scripts/verifier/calibrate.py on pairs that trained nothing; `upper` is the one-sided 95% Clopper-Pearson
bound of wrong / traps. The bound, not the share, must be within what the user accepts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from ..errors import BackendError

CEILING = 0.9999
"""Nothing but a repeat passes it."""
LONG_SHARE = 0.25
"""Long questions get the threshold of this part of the accepted share."""


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

        A labelled case counts at every threshold up to its score; the share of wrong ones among
        the labels that would be served must be within `max_wrong` too.
        """
        fitting = [r.threshold for r in self.rows if r.upper <= max_wrong]
        threshold = fitting[0] if fitting else CEILING
        wrong = sorted((x.score for x in labels if not x.right), reverse=False)
        right = sorted(x.score for x in labels if x.right) if wrong else []
        for score in wrong:
            if score < threshold:
                continue
            served_wrong = sum(s >= threshold for s in wrong)
            served = served_wrong + sum(s >= threshold for s in right)
            if served_wrong <= max_wrong * served:
                break
            threshold = min(CEILING, score + 1e-4)
        return threshold
