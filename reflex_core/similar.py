"""Waiting for the answer to a similar question that is on its way (`reflex_join_similar`)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from .controls import Controls
from .flight import Flight
from .lookup import Hit, Lookup
from .semantic_types import Candidate, Query, Trace
from .storage import Storage
from .types import Keys, Meaning

_LOOKED_AT = 6
"""Flights of a scope that the verifier is shown: those that began last."""


class _Asked(NamedTuple):
    keys: Keys
    text: str
    flight: Flight


class SimilarFlights:
    """Questions with shareable answers in flight, by scope. Lives on the event loop.

    A scope holds the tenant, so nobody ever waits for another's answer.
    """

    def __init__(self, storage: Storage, lookup: Lookup, patience: float) -> None:
        """`patience`: longest wait in seconds; 0 turns this off."""
        self._storage = storage
        self._lookup = lookup
        self._patience = patience
        self._by_scope: dict[bytes, dict[bytes, _Asked]] = {}
        self._scopes: dict[bytes, bytes] = {}
        self.outcomes: Counter[str] = Counter()
        """joined (answer served), too_late (the wait was over), no_answer (none that may be shared)."""

    def add(self, keys: Keys, meaning_of: Callable[[], Meaning], flight: Flight) -> None:
        """A flight that equal requests may join. To be removed when it has ended."""
        if not self._patience:
            return
        meaning = meaning_of()
        if meaning.text is not None:
            asked = _Asked(keys, meaning.text, flight)
            self._by_scope.setdefault(meaning.scope, {})[keys.exact] = asked
            self._scopes[keys.exact] = meaning.scope

    def remove(self, key: bytes, flight: Flight) -> None:
        """Does nothing where another flight has taken the place."""
        scope = self._scopes.get(key)
        if scope is not None and self._by_scope[scope][key].flight is flight:
            del self._by_scope[scope][key], self._scopes[key]
            if not self._by_scope[scope]:
                del self._by_scope[scope]

    def stats(self) -> dict[str, int]:
        """See `outcomes`."""
        return {name: self.outcomes[name] for name in ("joined", "too_late", "no_answer")}

    async def join(self, keys: Keys, meaning: Meaning, wishes: Controls, now: float) -> Hit | None:
        """The answer to a similar question in flight, if there is one and it comes in time."""
        tier = self._storage.semantic
        if not self._patience or tier is None or meaning.text is None:
            return None
        if not wishes.may_join or wishes.only_if_cached:
            return None
        query = self._lookup.query(keys.tenant, meaning.scope, meaning.text, wishes, now)
        under_way = [
            asked
            for asked in reversed(self._by_scope.get(query.scope, {}).values())
            if asked.flight.joinable and asked.keys.exact not in query.banned
        ][:_LOOKED_AT]
        if not under_way:
            return None
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience
        texts = [asked.text for asked in under_way]
        verdicts = await tier.compare(query, texts, min(self._patience, tier.settings.timeout))
        chosen = _best(under_way, verdicts)
        if chosen is None:
            return None
        asked, candidate = chosen
        if not await _finished(asked.flight, end):
            self.outcomes["too_late"] += 1
            return None
        hit = self._stored(asked, candidate, query)
        self.outcomes["no_answer" if hit is None else "joined"] += 1
        return hit

    def _stored(self, asked: _Asked, candidate: Candidate, query: Query) -> Hit | None:
        """What was stored when the flight ended; a fallback's answer has another key, and is left."""
        found = self._lookup.in_memory(asked.keys, query.wishes, query.now)
        if found is None or found.entry.exact_only or found.entry.scope != query.scope:
            return None
        candidate = replace(candidate, id=found.entry.id)
        by_cosine = candidate.score is None and candidate.reason == "verified"
        return replace(
            found,
            status="hit-l2-semantic" if by_cosine else "hit-l3-verified",
            detail=f"joined-similar {candidate}",
            trace=Trace(candidate.reason, (candidate,)),
        )


def _best(asked: list[_Asked], verdicts: list[Candidate | None]) -> tuple[_Asked, Candidate] | None:
    accepted = [
        (flight, verdict)
        for flight, verdict in zip(asked, verdicts, strict=True)
        if verdict is not None and verdict.accepted and flight.flight.joinable
    ]
    return max(accepted, key=lambda pair: pair[1].cosine, default=None)


async def _finished(flight: Flight, end: float) -> bool:
    """Waits as one of its readers, so that it goes on when the others leave."""
    reader = flight.join()
    try:
        async with asyncio.timeout_at(end):
            await reader.finished()
    except TimeoutError:
        return False
    finally:
        reader.close()
    return True
