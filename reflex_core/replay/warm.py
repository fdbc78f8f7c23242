"""Filling the cache from recorded exchanges."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from ..errors import BackendError
from ..storage import Storage
from ..types import Json
from .recorded import Asked, Reader, Recorded, Skipped, Skips, storing_problem

_FLUSH_ITEMS = 256
_FLUSH_BYTES = 16 * 2**20
"""What may be on its way to the store before it is waited for: less than the writer's queue holds."""
_FLUSH_TIMEOUT = 60.0
_INDEX_TIMEOUT = 600.0
"""Seconds."""


@dataclass(slots=True)
class Summary:
    """What became of a capture."""

    source: str = ""
    """The capture's name."""
    read: int = 0
    """Exchanges in the capture."""
    usable: int = 0
    """Chat requests with a whole answer."""
    stored: int = 0
    skipped: Skips = field(default_factory=Skips)
    """The rest, by reason (see REASONS)."""
    elsewhere: Counter[str] = field(default_factory=Counter[str])
    """Stored under a provider and model that this configuration would not ask."""
    seconds: float = 0.0

    def to_json(self) -> Json:
        return {
            "source": self.source,
            "read": self.read,
            "usable": self.usable,
            "stored": self.stored,
            "skipped": [
                {"reason": reason, "count": count, "text": text}
                for reason, count, text in self.skipped.rows()
            ],
            "stored_elsewhere": dict(self.elsewhere),
            "seconds": self.seconds,
        }


class Warmer:
    """Takes one exchange after the other. Blocks while the store catches up.

    An answer that is already stored stays: warming twice changes nothing. Stored answers keep the
    time they were recorded at (the Age header), their TTL starts now.
    """

    def __init__(self, reader: Reader, storage: Storage) -> None:
        self._reader = reader
        self._storage = storage
        self._started = time.perf_counter()
        self._seen: set[bytes] = set()
        self._items = self._bytes = 0
        self.summary = Summary()

    def take(self, recorded: Recorded, now: float) -> None:
        """`now` in unix seconds. Never raises for what a capture may hold."""
        self.summary.read += 1
        asked = self._reader.read(recorded)
        if isinstance(asked, Skipped):
            self.summary.skipped.note(asked)
            return
        self.summary.usable += 1
        problem = storing_problem(asked)
        if problem is None and asked.keys.exact[:16] in self._seen:
            problem = "repeat"
        if problem is None and self._is_stored(asked.keys.exact, now):
            problem = "already-stored"
        if problem is not None:
            self.summary.skipped[problem] += 1
            return
        self._store(asked)

    def finish(self) -> Summary:
        """Waits until everything is written, and known to the semantic tier."""
        self._flush()
        self._wait_for_index()
        failed = self._failed()
        if failed:
            self.summary.stored -= failed
            self.summary.skipped["store-failed"] += failed
        self.summary.seconds = time.perf_counter() - self._started
        return self.summary

    def _is_stored(self, key: bytes, now: float) -> bool:
        try:
            store = self._storage.store
            return store is not None and store.get(key, now) is not None
        except BackendError:
            return False

    def _store(self, asked: Asked) -> None:
        self._seen.add(asked.keys.exact[:16])
        self._storage.put(
            asked.target,
            asked.keys,
            asked.meaning,
            asked.completion,
            asked.decision.exact_only,
            request=asked.request.raw,
            created=asked.recorded.ended,
            took=asked.recorded.seconds,
        )
        self.summary.stored += 1
        if asked.elsewhere:
            self.summary.elsewhere[f"{asked.target.provider.name}::{asked.target.model}"] += 1
        self._items += 1
        self._bytes += len(asked.request.raw) + len(asked.recorded.response_body or b"")
        if self._items >= _FLUSH_ITEMS or self._bytes >= _FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._items = self._bytes = 0
        if self._storage.writer is not None:
            self._storage.writer.flush(_FLUSH_TIMEOUT)

    def _wait_for_index(self) -> None:
        """Embedding takes milliseconds an answer. What is not done in time is done at the next start."""
        tier, until = self._storage.semantic, time.monotonic() + _INDEX_TIMEOUT
        if tier is None or not self.summary.stored:
            return
        while time.monotonic() < until and (tier.state() == "pending" or not tier.flush(1.0)):
            time.sleep(0.05)

    def _failed(self) -> int:
        """Answers that did not get to the disk."""
        if self._storage.writer is None:
            return self.summary.stored
        counts = self._storage.writer.stats()
        return min(self.summary.stored, counts["failed"] + counts["dropped"])
