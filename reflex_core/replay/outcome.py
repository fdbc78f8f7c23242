"""What the plan is made of: rows of requests, and what would have become of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..types import Json
from .recorded import Skips
from .volatile import Finding

Outcome = Literal["exact", "in-flight", "similar", "miss", "bypass"]

MISSED = frozenset(["miss", "bypass"])


@dataclass(slots=True)
class ModelRow:
    """One provider's model."""

    provider: str
    model: str
    requests: int = 0
    hits: int = 0
    prompt: int = 0
    completion: int = 0
    usd: float = 0.0
    saved_usd: float = 0.0
    unpriced: int = 0
    """Requests without a known price."""
    without_usage: int = 0


@dataclass(slots=True)
class Row:
    """One request. Times in unix seconds."""

    number: int
    key: int
    at: float
    ended: float
    seconds: float | None
    """How long the client waited; None where unknown, or where a cache had answered."""
    prompt: int
    completion: int
    usd: float | None
    has_usage: bool
    may_read: bool
    may_join: bool
    stores: bool
    was_hit: bool
    near: tuple[tuple[int, float], ...] = ()
    """(key, score) of similar requests asked before."""
    model: ModelRow | None = None


@dataclass(frozen=True, slots=True)
class Sums:
    requests: int = 0
    prompt: int = 0
    completion: int = 0
    usd: float = 0.0
    seconds: float = 0.0
    without_usage: int = 0
    """Requests whose answers say nothing of tokens."""
    without_price: int = 0
    """Requests with tokens, of a model without a known price."""

    @property
    def tokens(self) -> int:
        return self.prompt + self.completion

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.requests + other.requests,
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.usd + other.usd,
            self.seconds + other.seconds,
            self.without_usage + other.without_usage,
            self.without_price + other.without_price,
        )

    def to_json(self) -> Json:
        return {
            "requests": self.requests,
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "usd": self.usd,
            "seconds": self.seconds,
            "without_usage": self.without_usage,
            "without_price": self.without_price,
        }


@dataclass(frozen=True, slots=True)
class Threshold:
    """What would have been at one threshold of the semantic tier."""

    value: float
    tiers: dict[str, Sums]
    default: bool
    """The one this configuration uses."""

    @property
    def saved(self) -> Sums:
        return saved(self.tiers)


@dataclass(frozen=True, slots=True)
class Repeat:
    question: str
    model: str
    count: int
    tokens: int
    usd: float
    first: int
    """Number of the first such exchange."""


@dataclass(frozen=True, slots=True)
class NearMiss:
    number: int
    other: int
    """The exchange that was similar."""
    question: str
    similar: str
    score: float
    cosine: float
    distance: int
    reason: str


@dataclass(frozen=True, slots=True)
class Point:
    """Running sums after `requests` requests."""

    at: float
    requests: int
    hits: int
    usd_without: float
    usd_with: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The report, as data."""

    read: int
    skipped: Skips
    first: float | None
    last: float | None
    total: Sums
    tiers: dict[str, Sums]
    thresholds: list[Threshold]
    measure: str
    semantic: str
    """"on", or why there is no semantic tier in this plan."""
    models: list[ModelRow]
    unpriced: Counter[str]
    """Requests by `provider::model` without a known price."""
    repeats: list[Repeat]
    near: list[NearMiss]
    volatile: list[Finding]
    spoiled: Sums
    """Requests that volatile fields kept from being repeats."""
    timeline: list[Point]
    already_hits: int
    """Requests that a cache had answered when they were recorded."""
    source: str = ""
    """The capture's name."""
    seconds: float = 0.0
    """How long it took to make this."""
    ttl: float = field(default=0.0)

    @property
    def saved(self) -> Sums:
        return saved(self.tiers)

    @property
    def hit_rate(self) -> float:
        return self.saved.requests / self.total.requests if self.total.requests else 0.0


def saved(tiers: dict[str, Sums]) -> Sums:
    """What was not asked upstream."""
    return sum((sums for name, sums in tiers.items() if name not in MISSED), Sums())


def simulate(rows: Sequence[Row], ttl: float | None, threshold: float | None) -> list[Outcome]:
    """What becomes of each row; `rows` are in the order they were asked.

    `threshold` None: without the semantic tier. `ttl` in seconds, None for ever.
    """
    stored: dict[int, float] = {}  # key -> when its answer was complete
    out: list[Outcome] = []
    for row in rows:
        outcome = _outcome(row, stored, ttl, threshold)
        out.append(outcome)
        if outcome in MISSED and row.stores:
            stored[row.key] = row.ended
    return out


def _outcome(
    row: Row, stored: dict[int, float], ttl: float | None, threshold: float | None
) -> Outcome:
    if not row.may_read:
        return "bypass"
    complete = stored.get(row.key)
    if complete is not None and complete > row.at:
        return "in-flight" if row.may_join else "miss"
    if _alive(complete, row.at, ttl):
        return "exact"
    if threshold is not None:
        for key, score in row.near:
            if score >= threshold and _alive(stored.get(key), row.at, ttl):
                return "similar"
    return "miss"


def _alive(complete: float | None, now: float, ttl: float | None) -> bool:
    return complete is not None and complete <= now and (ttl is None or now < complete + ttl)
