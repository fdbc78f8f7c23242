"""How often semantic hits were wrong, as rechecks have measured it, and what follows from it.

When even the lower bound of the rate is above what the user accepts (`reflex_max_wrong`), everything gets
stricter by one step, and the measuring starts anew. A step halves the distance between each
threshold and 1: where scores are probabilities, it halves the chance of a wrong hit at the threshold.
Nothing but `reset` (a purge of everything) or another `reflex_max_wrong` takes a step back.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import orjson

from .errors import BackendError
from .pairs import replace_file

FILE = "recheck.json"
Outcome = Literal["same", "wrong", "inconclusive"]

MIN_WRONG = 3
"""Fewer wrong hits prove nothing: a comparison can be mistaken too."""
MAX_STEPS = 10
_Z = 1.959964
"""Two-sided 95%."""


def wilson(wrong: int, total: int) -> tuple[float, float]:
    """95% interval of a share (Wilson 1927, without continuity correction); (0, 1) of nothing."""
    if not total:
        return 0.0, 1.0
    share, square = wrong / total, _Z * _Z / total
    middle = share + square / 2
    spread = _Z * math.sqrt(share * (1 - share) / total + square / (4 * total))
    low, high = (middle - spread) / (1 + square), (middle + spread) / (1 + square)
    return max(0.0, low) if wrong else 0.0, min(1.0, high)


class WrongRate:
    """Thread-safe. Kept in `folder` (0600) so that a restart goes on; None: for this run only.

    Raises BackendError when the file cannot be read; a damaged one counts as none.
    """

    def __init__(self, folder: Path | None, max_wrong: float) -> None:
        self._path = None if folder is None else folder / FILE
        self._max_wrong = max_wrong
        self._lock = threading.Lock()
        self.steps = 0
        """How many steps stricter than the calibration."""
        self.total: Counter[str] = Counter()
        """Outcomes since the last reset; `_now` has those since the last step."""
        self._now: Counter[str] = Counter()
        self._load()

    def tightened(self, threshold: float) -> float:
        """What a score must reach instead."""
        return 1 - (1 - threshold) / 2**self.steps

    def add(self, outcome: Outcome) -> bool:
        """True when this made everything stricter. Raises BackendError when it cannot be kept."""
        with self._lock:
            self.total[outcome] += 1
            self._now[outcome] += 1
            low, _ = self.interval()
            enough = self._now["wrong"] >= MIN_WRONG and self.steps < MAX_STEPS
            stricter = enough and low > self._max_wrong
            if stricter:
                self.steps += 1
                self._now.clear()
            self._save()
            return stricter

    def interval(self) -> tuple[float, float]:
        """95% interval of the rate since the last step, inconclusive rechecks left out."""
        return wilson(self._now["wrong"], self._conclusive())

    def rate(self) -> float | None:
        """The rate since the last step."""
        total = self._conclusive()
        return self._now["wrong"] / total if total else None

    def reset(self) -> None:
        """As if nothing had been measured. Raises BackendError."""
        with self._lock:
            self.steps = 0
            self.total.clear()
            self._now.clear()
            self._save()

    def stats(self) -> dict[str, Any]:
        """Flat. `rate`, `rate_low` and `rate_high` are since the last step."""
        low, high = self.interval()
        counts = {name: self.total[name] for name in ("same", "wrong", "inconclusive")}
        return {
            **counts,
            "rate": self.rate(),
            "rate_low": low,
            "rate_high": high,
            "steps": self.steps,
        }

    def _conclusive(self) -> int:
        return self._now["same"] + self._now["wrong"]

    def _load(self) -> None:
        if self._path is None:
            return
        try:
            found: Any = orjson.loads(self._path.read_bytes())
            if found["max_wrong"] == self._max_wrong:
                steps = int(found["steps"])
                total, now = _counts(found["total"]), _counts(found["now"])
                self.steps, self.total, self._now = min(max(steps, 0), MAX_STEPS), total, now
        except FileNotFoundError:
            return
        except OSError as error:
            raise BackendError(f"{FILE} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            return

    def _save(self) -> None:
        if self._path is not None:
            state = {
                "max_wrong": self._max_wrong,
                "steps": self.steps,
                "total": dict(self.total),
                "now": dict(self._now),
            }
            replace_file(self._path, orjson.dumps(state))


def _counts(value: Any) -> Counter[str]:
    names = ("same", "wrong", "inconclusive")
    return Counter({name: max(0, int(value.get(name, 0))) for name in names})
