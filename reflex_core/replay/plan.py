"""What a cache would have saved on recorded traffic.

`Planner` takes exchanges one by one and keeps a small row of each, no bodies. `finish` then plays the
rows in the order they were asked, once for every threshold: an answer can be given from the moment it
was complete until its TTL is over, and a request that came while an equal one was being answered
shares that answer.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from ..config import Config
from ..pricing import Tokens, tokens
from .outcome import (
    MISSED,
    ModelRow,
    NearMiss,
    Plan,
    Point,
    Repeat,
    Row,
    Sums,
    Threshold,
    simulate,
)
from .recorded import Asked, Reader, Recorded, Skipped, Skips, storing_problem
from .text import question_of
from .volatile import VolatileFinder

_TOP = 20
"""Rows of the report's tables."""
_POINTS = 200
"""Points of the curve over time."""


@dataclass(frozen=True, slots=True)
class Near:
    """A question asked earlier that is similar."""

    key: int
    """The planner's number of its request."""
    score: float
    """What the threshold is compared with: the verifier's score, or the cosine without one."""
    cosine: float
    distance: int
    reason: str
    """Of the verifier."""


class Similar(Protocol):
    """The semantic tier, asked for its candidates rather than for a verdict. May block."""

    measure: str
    """What `Near.score` is."""
    threshold: float
    """The one this configuration uses."""
    lowest: float
    """Where the report begins to look."""

    def near(self, asked: Asked) -> list[Near]:
        """Candidates among those added, best first; empty for what the tier must not see."""
        ...

    def add(self, key: int, asked: Asked) -> None: ...


class Cost(Protocol):
    def __call__(
        self, provider: str, model: str, count: Tokens, when: datetime | None = None
    ) -> float | None: ...


@dataclass(slots=True)
class _Known:
    """A distinct request."""

    first: int
    """Number of its first exchange."""
    question: str
    model: str
    count: int = 0
    usd: float = 0.0
    tokens: int = 0
    near: tuple[tuple[int, float], ...] = ()


@dataclass(slots=True)
class _Spoiled:
    requests: int = 0
    tokens: int = 0
    usd: float = 0.0


class Planner:
    """`semantic` says in words why `similar` is None."""

    def __init__(
        self,
        reader: Reader,
        config: Config,
        cost: Cost,
        similar: Similar | None = None,
        semantic: str = "off",
    ) -> None:
        self._reader = reader
        self._config = config
        self._cost = cost
        self._similar = similar
        self._semantic = semantic
        self._volatile = VolatileFinder()
        self._rows: list[Row] = []
        self._known: list[_Known] = []
        self._keys: dict[bytes, int] = {}
        self._near: dict[frozenset[str], NearMiss] = {}
        self._models: dict[tuple[str, str], ModelRow] = {}
        self._unpriced: Counter[str] = Counter()
        self._spoiled = _Spoiled()
        self._last = 0.0
        self.skipped = Skips()
        self.read = 0

    def take(self, recorded: Recorded) -> None:
        """Never raises for what a capture may hold."""
        self.read += 1
        asked = self._reader.read(recorded)
        if isinstance(asked, Skipped):
            self.skipped.note(asked)
            return
        key = self._keys.get(asked.keys.exact)
        is_new = key is None
        if key is None:
            key = self._keys[asked.keys.exact] = len(self._known)
            text = question_of(asked.request.body)
            self._known.append(_Known(recorded.number, text, asked.request.model))
        row = self._row(key, asked)
        self._rows.append(row)
        self._count(row, asked)
        if is_new and row.may_read:
            self._look_for_volatile(row, asked)
        if self._similar is not None:
            self._look_for_similar(self._similar, row, asked, is_new)

    def finish(self) -> Plan:
        """The whole report. The planner is done then."""
        rows = sorted(self._rows, key=lambda row: (row.at, row.number))
        ttl = self._config.ttl or None
        default = self._similar.threshold if self._similar is not None else None
        outcomes = simulate(rows, ttl, default)
        self._count_hits(rows, outcomes)
        return Plan(
            read=self.read,
            skipped=self.skipped,
            first=rows[0].at if rows else None,
            last=max((row.ended for row in rows), default=None),
            total=_sums(rows),
            tiers=_tiers(rows, outcomes),
            thresholds=self._thresholds(rows, ttl, default),
            measure=self._similar.measure if self._similar is not None else "",
            semantic=self._semantic,
            models=sorted(self._models.values(), key=lambda m: -m.requests),
            unpriced=self._unpriced,
            repeats=self._repeats(),
            near=self._nearest(),
            volatile=self._volatile.findings(),
            spoiled=Sums(self._spoiled.requests, self._spoiled.tokens, 0, self._spoiled.usd),
            timeline=_timeline(rows, outcomes),
            already_hits=sum(row.was_hit for row in rows),
        )

    # ------------------------------------------------------------------ one exchange

    def _row(self, key: int, asked: Asked) -> Row:
        recorded, usage = asked.recorded, asked.completion.usage
        start = recorded.started if recorded.started is not None else self._last
        self._last = max(self._last, start)
        count = tokens(usage)
        usd = None
        if usage is not None:
            provider, when = asked.target.provider.name, datetime.fromtimestamp(start, UTC)
            usd = self._cost(provider, asked.target.model, count, when)
            if usd is None:
                self._unpriced[f"{provider}::{asked.target.model}"] += 1
        status = asked.status or ""
        return Row(
            number=recorded.number,
            key=key,
            at=start,
            ended=start + (recorded.seconds or 0.0),
            seconds=None if status.startswith("hit-") else recorded.seconds,
            prompt=count.prompt,
            completion=count.completion,
            usd=usd,
            has_usage=usage is not None,
            may_read=asked.wishes.may_read,
            may_join=asked.wishes.may_join,
            stores=storing_problem(asked) in (None, "similar-hit", "stale"),
            was_hit=status.startswith("hit-"),
        )

    def _count(self, row: Row, asked: Asked) -> None:
        known = self._known[row.key]
        known.count += 1
        known.usd += row.usd or 0.0
        known.tokens += row.prompt + row.completion
        name = asked.target.provider.name, asked.target.model
        model = self._models.get(name)
        if model is None:
            model = self._models[name] = ModelRow(*name)
        row.model = model
        model.requests += 1
        model.prompt += row.prompt
        model.completion += row.completion
        model.usd += row.usd or 0.0
        model.unpriced += row.has_usage and row.usd is None
        model.without_usage += not row.has_usage

    def _look_for_volatile(self, row: Row, asked: Asked) -> None:
        target = asked.target
        scope = (
            asked.keys.tenant + f"{target.provider.name}@{target.base_url} {target.model}".encode()
        )
        body = asked.request.body
        if self._volatile.add(row.number, scope, asked.keys.exact, body):
            self._spoiled.requests += 1
            self._spoiled.tokens += row.prompt + row.completion
            self._spoiled.usd += row.usd or 0.0

    def _look_for_similar(self, similar: Similar, row: Row, asked: Asked, is_new: bool) -> None:
        if not is_new:
            row.near = self._known[row.key].near
            return
        found = similar.near(asked)
        row.near = tuple((near.key, near.score) for near in found)
        self._known[row.key].near = row.near
        if found and found[0].score < similar.threshold:
            best, known = found[0], self._known
            miss = NearMiss(
                number=row.number,
                other=known[best.key].first,
                question=known[row.key].question,
                similar=known[best.key].question,
                score=best.score,
                cosine=best.cosine,
                distance=best.distance,
                reason=best.reason,
            )
            self._note_near(miss)
        if asked.meaning.text is not None and not asked.decision.exact_only:
            similar.add(row.key, asked)

    def _note_near(self, miss: NearMiss) -> None:
        """Each pair of questions once: it may come from several models and conversations."""
        pair = frozenset((miss.question, miss.similar))
        old = self._near.get(pair)
        if old is None or miss.score > old.score:
            self._near[pair] = miss
        if len(self._near) > 2 * _TOP:
            self._near = {frozenset((m.question, m.similar)): m for m in self._nearest()}

    def _nearest(self) -> list[NearMiss]:
        return heapq.nlargest(_TOP, self._near.values(), key=lambda miss: miss.score)

    # ------------------------------------------------------------------ the report

    def _count_hits(self, rows: Sequence[Row], outcomes: Sequence[str]) -> None:
        for row, outcome in zip(rows, outcomes, strict=True):
            if row.model is not None and outcome not in MISSED:
                row.model.hits += 1
                row.model.saved_usd += row.usd or 0.0

    def _thresholds(
        self, rows: Sequence[Row], ttl: float | None, default: float | None
    ) -> list[Threshold]:
        if default is None or self._similar is None:
            return []
        width = 0.05 if self._similar.lowest >= 0.5 else 0.1
        count = round((1 - self._similar.lowest) / width)
        steps = {round(self._similar.lowest + width * step, 2) for step in range(count)}
        steps |= {0.95, 0.99, round(default, 4)}
        out: list[Threshold] = []
        for threshold in sorted(steps):
            tiers = _tiers(rows, simulate(rows, ttl, threshold))
            out.append(Threshold(threshold, tiers, threshold == round(default, 4)))
        return out

    def _repeats(self) -> list[Repeat]:
        top = heapq.nlargest(_TOP, self._known, key=lambda known: (known.count, known.tokens))
        return [
            Repeat(known.question, known.model, known.count, known.tokens, known.usd, known.first)
            for known in top
            if known.count > 1
        ]


def _tiers(rows: Sequence[Row], outcomes: Sequence[str]) -> dict[str, Sums]:
    """One that shares an answer in flight saves its price, not its waiting."""
    chosen: dict[str, list[Row]] = {}
    for row, outcome in zip(rows, outcomes, strict=True):
        chosen.setdefault(outcome, []).append(row)
    sums = {name: _sums(chosen[name]) for name in chosen}
    if shared := sums.get("in-flight"):
        sums["in-flight"] = replace(shared, seconds=0.0)
    return sums


def _sums(rows: Sequence[Row]) -> Sums:
    return Sums(
        requests=len(rows),
        prompt=sum(row.prompt for row in rows),
        completion=sum(row.completion for row in rows),
        usd=sum(row.usd or 0.0 for row in rows),
        seconds=sum(row.seconds or 0.0 for row in rows),
        without_usage=sum(not row.has_usage for row in rows),
        without_price=sum(row.has_usage and row.usd is None for row in rows),
    )


def _timeline(rows: Sequence[Row], outcomes: Sequence[str]) -> list[Point]:
    """Running sums, thinned out."""
    points: list[Point] = []
    total = saved = 0.0
    hits = 0
    for at, (row, outcome) in enumerate(zip(rows, outcomes, strict=True), 1):
        total += row.usd or 0.0
        if outcome not in MISSED:
            hits += 1
            saved += row.usd or 0.0
        points.append(Point(row.at, at, hits, total, total - saved))
    step = max(1, len(points) // _POINTS)
    return [point for at, point in enumerate(points, 1) if at % step == 0 or at == len(points)]
