"""Tokens and money, saved and spent, since the start.

`add` is called for every request and only counts; the price of what was counted is worked out later,
off the event loop, since looking one up takes as long as a whole exact hit.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from .pricing import Tokens

Side = Literal["saved", "spent"]

MANY = 2048
"""Unpriced kinds of answers after which it is time for `settle`."""


@dataclass(slots=True)
class Totals:
    """One provider's, on one side."""

    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0
    """Answers whose model has no known price; they are not in `usd`."""


@dataclass(slots=True)
class Accounts:
    """`totals` by (side, provider); `unpriced` counts answers by `provider::model`."""

    totals: dict[tuple[Side, str], Totals] = field(default_factory=dict[tuple[Side, str], Totals])
    unpriced: Counter[str] = field(default_factory=Counter[str])

    def sum(self, side: Side) -> Totals:
        out = Totals()
        for (which, _), totals in self.totals.items():
            if which == side:
                out.answers += totals.answers
                out.prompt_tokens += totals.prompt_tokens
                out.completion_tokens += totals.completion_tokens
                out.usd += totals.usd
                out.unpriced += totals.unpriced
        return out


class Ledger:
    """`add` on one thread, `settle` on any."""

    def __init__(self, cost: Callable[[str, str, Tokens], float | None]) -> None:
        self._cost = cost
        self._waiting: Counter[tuple[Side, str, str, Tokens]] = Counter()
        self._accounts = Accounts()
        self._lock = threading.Lock()

    def add(self, side: Side, provider: str, model: str, count: Tokens) -> bool:
        """True when `settle` should be called soon."""
        self._waiting[side, provider, model, count] += 1
        return len(self._waiting) >= MANY

    def settle(self) -> Accounts:
        """The state of things. May block for seconds the first time."""
        with self._lock:
            waiting, self._waiting = self._waiting, Counter()
            for (side, provider, model, count), times in waiting.items():
                totals = self._accounts.totals.setdefault((side, provider), Totals())
                totals.answers += times
                totals.prompt_tokens += times * count.prompt
                totals.completion_tokens += times * count.completion
                cost = self._cost(provider, model, count)
                if cost is None:
                    totals.unpriced += times
                    self._accounts.unpriced[f"{provider}::{model}"] += times
                else:
                    totals.usd += times * cost
            return self._accounts
