"""What the proxy saved between two looks at its counters."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, cast

from ..types import Json
from .local_http import Endpoint

STATS = "/reflex/stats"


@dataclass(frozen=True, slots=True)
class Savings:
    """Counters of one span of time."""

    requests: int
    hits: int
    """Answered without a call of their own: from the cache, or from another's call."""
    upstream_calls: int
    tokens_saved: int
    usd_saved: float
    unpriced_answers: int
    """Hits that are not in `usd_saved`, as nobody knows the price of their model."""
    seconds_saved: float

    def to_json(self) -> Json:
        return asdict(self)

    def line(self) -> str:
        if not self.requests:
            return "no OpenAI request came through the proxy"
        parts = [
            _count(self.requests, "request"),
            f"{_count(self.hits, 'hit')} ({self.hits / self.requests:.0%})",
            f"{_count(self.upstream_calls, 'call')} to providers",
            f"saved {_count(self.tokens_saved, 'token')}",
        ]
        if self.usd_saved > 0:
            parts.append(dollars(self.usd_saved))
        if self.unpriced_answers:
            parts.append(f"{_count(self.unpriced_answers, 'hit')} of unknown price")
        return ", ".join(parts)


def look(endpoint: Endpoint) -> Json:
    """The proxy's counters now. Raises Refused."""
    return endpoint.get(STATS)


def between(before: Json, after: Json) -> Savings:
    """Of counters that only grow."""
    then, now = _by_status(before), _by_status(after)
    done = {status: count - then.get(status, 0) for status, count in now.items()}
    saved = _grown(before, after, "saved")
    return Savings(
        requests=sum(done.values()),
        hits=sum(n for status, n in done.items() if status.startswith(("hit-", "coalesced"))),
        upstream_calls=int(_grown(before, after, "upstream").get("calls", 0)),
        tokens_saved=int(saved.get("prompt_tokens", 0) + saved.get("completion_tokens", 0)),
        usd_saved=saved.get("usd", 0.0),
        unpriced_answers=int(saved.get("unpriced_answers", 0)),
        seconds_saved=saved.get("seconds", 0.0),
    )


def _by_status(stats: Json) -> dict[str, int]:
    return _table(_table(stats.get("requests")).get("by_status"))


def _grown(before: Json, after: Json, group: str) -> dict[str, float]:
    """The differences of a group's numbers."""
    old, new = _table(before.get(group)), _table(after.get(group))
    numbers = {name: value for name, value in new.items() if isinstance(value, int | float)}
    return {name: value - old.get(name, 0) for name, value in numbers.items()}


def _table(value: Any) -> Json:
    return cast(Json, value) if isinstance(value, dict) else {}


def dollars(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.4f}"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + ("" if n == 1 else "s")
