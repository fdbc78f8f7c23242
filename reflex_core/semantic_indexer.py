"""Keeps the index in step with the store: one thread beside the writer's.

The store is the truth. At the start the index is compared with it, row by row; answers that have no
vectors of this embedder are embedded. After that the writer says what came and went. What is missed
(no room, an embedder that fails) is found by comparing again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import BackendError
from .ports import Embedding, Entry, Store, Vectors
from .semantic_types import Parts, Settings

logger = logging.getLogger("reflex")

_CHUNK = 500
"""Rows of one step from the store to the index."""
_EMBEDDED = 16
"""Texts of one step through the embedder, at least."""
_MAX_NOTES = 10_000
_PROGRESS = 5.0
"""Seconds between two lines in the log."""
_BAR = 20


@dataclass(frozen=True, slots=True)
class _Stored:
    id: int
    scope: bytes
    question: str


class Indexer:
    """`embed` is EmbedQueue.embed: what a lookup has embedded already is not embedded again."""

    def __init__(
        self,
        store: Store,
        parts: Parts,
        settings: Settings,
        embed: Callable[[Sequence[str]], list[Embedding | None]],
    ) -> None:
        self._store = store
        self._index = parts.index
        self._embedder = parts.embedder
        self._settings = settings
        self._embed = embed
        self._changed = threading.Condition()
        self._stored: deque[_Stored] = deque()
        self._removed: deque[int] = deque()
        self._missed = False
        self._busy = False
        self._closing = False
        self._counts = {"indexed": 0, "failed": 0, "missed": 0}
        self._steps: Iterator[float] | None = None
        self._catch_up_at = 0.0
        """`time.monotonic()` of the next step."""
        self._failing = False
        self._save_at = time.monotonic() + settings.save
        self.ready = threading.Event()
        """Set when the index holds what the store has vectors of; where there are none, when they are
        made, as far as they can be."""
        self._thread = threading.Thread(target=self._main, name="reflex-index", daemon=True)

    def start(self) -> None:
        self._thread.start()

    # ----------------------------------------------------------------- any thread

    def stored(self, entries: Sequence[Entry]) -> None:
        """These were committed. Returns at once."""
        notes = [
            _Stored(entry.id, entry.scope, entry.question)
            for entry in entries
            if entry.question is not None and not entry.exact_only
        ]
        if not notes:
            return
        with self._changed:
            if len(self._stored) + len(notes) > _MAX_NOTES:
                self._counts["missed"] += len(notes)
                self._compare_again(0.0)
            else:
                self._stored.extend(notes)
            self._changed.notify_all()

    def removed(self, ids: Sequence[int]) -> None:
        """These are gone from the store. Returns at once."""
        with self._changed:
            self._removed.extend(ids)
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until all that was noted is in the index. False: it took longer."""
        until = time.monotonic() + timeout
        with self._changed:
            while (self._busy or self._stored or self._removed) and not self._closing:
                if not self._changed.wait(until - time.monotonic()):
                    return False
        return True

    def stats(self) -> dict[str, Any]:
        """queued; in total indexed, failed (to be tried again), missed (there was no room)."""
        with self._changed:
            return {"queued": len(self._stored) + len(self._removed), **self._counts}

    def close(self, timeout: float) -> bool:
        """Index what was noted and save. False: it took longer."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # ----------------------------------------------------------------- the thread

    def _main(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._wait()
                stored, removed = list(self._stored), list(self._removed)
                self._stored.clear()
                self._removed.clear()
                self._busy = True
                closing = self._closing
            if closing and not (stored or removed):
                break
            try:
                self._follow(stored, removed)
                self._step()
            except Exception:  # the thread must outlive any entry
                logger.exception("reflex: semantic index: an unexpected failure")
                with self._changed:
                    self._steps = None
                    self._compare_again(self._settings.retry)
                self.ready.set()
            self._save_when_due()
        self._save()

    def _wait(self) -> None:
        while not (self._stored or self._removed or self._closing):
            left = min(self._catch_up_at, self._save_at) - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(left)

    def _follow(self, stored: list[_Stored], removed: list[int]) -> None:
        for start in range(0, len(stored), _EMBEDDED):
            try:
                self._index_entries(stored[start : start + _EMBEDDED])
            except BackendError as error:
                self._warn(error)
                with self._changed:
                    self._counts["failed"] += len(stored) - start
                    self._compare_again(self._settings.retry)
                break
            self._failing = False
        if removed:
            self._index.remove(removed)

    def _compare_again(self, delay: float) -> None:
        """With the lock held: compare with the store, in `delay` seconds."""
        if self._steps is not None:
            self._missed = True
        else:
            self._catch_up_at = time.monotonic() + delay

    def _index_entries(self, entries: Sequence[_Stored]) -> None:
        """Vectors first, then the index: what is in the index can be rescored. Raises BackendError."""
        made = self._embed([entry.question for entry in entries])
        rows: list[Vectors] = []
        for entry, embedding in zip(entries, made, strict=True):
            vector = b"" if embedding is None else embedding.vector.astype("<f2").tobytes()
            tokens = b"" if embedding is None else embedding.tokens
            rows.append(Vectors(entry.id, entry.scope, self._embedder.identity, vector, tokens))
        self._store.put_vectors(rows)
        self._add(rows)
        with self._changed:
            self._counts["indexed"] += len(rows)

    def _add(self, rows: Sequence[Vectors]) -> None:
        size = 2 * self._embedder.dim
        rows = [
            row
            for row in rows
            if row.embedder == self._embedder.identity and len(row.embedding) == size
        ]
        if rows:
            vectors = np.frombuffer(b"".join(row.embedding for row in rows), "<f2")
            self._index.add(
                [row.id for row in rows],
                [row.scope for row in rows],
                vectors.reshape(len(rows), -1).astype(np.float32),
            )

    def _save_when_due(self) -> None:
        if time.monotonic() >= self._save_at:
            self._save()

    def _save(self) -> None:
        self._save_at = time.monotonic() + self._settings.save
        try:
            self._index.save()
        except BackendError as error:
            logger.warning("reflex: semantic index: %s", error)

    # ----------------------------------------------------------------- catching up

    def _step(self) -> None:
        """One piece of the comparison with the store, when it is due."""
        if time.monotonic() < self._catch_up_at:
            return
        steps = self._steps or self._catch_up()
        self._steps = steps
        try:
            pause = next(steps)
        except StopIteration:
            self._failing = False
            self._end(again=None)
        except BackendError as error:
            self._warn(error)
            self._end(again=self._settings.retry)
        else:
            self._catch_up_at = time.monotonic() + pause

    def _end(self, again: float | None) -> None:
        """Of one comparison. What was missed meanwhile asks for another at once."""
        with self._changed:
            self._steps = None
            self._catch_up_at = float("inf")
            if self._missed or again is not None:
                self._compare_again(again or 0.0)
            self._missed = False
        self.ready.set()

    def _warn(self, error: BackendError) -> None:
        """Once, until it works again."""
        level = logging.DEBUG if self._failing else logging.WARNING
        logger.log(level, "reflex: semantic index: %s; trying again later", error)
        self._failing = True

    def _catch_up(self) -> Iterator[float]:
        """In small steps; each yields the seconds to leave to others before the next."""
        yield from self._compare()
        if len(self._index):
            self.ready.set()  # a few more to come are no reason to wait
        yield from self._embed_missing()
        self._save()

    def _compare(self) -> Iterator[float]:
        known = self._index.ids()
        wanted = np.array(self._store.vector_ids(self._embedder.identity), np.int64)
        stale = np.setdiff1d(known, wanted, assume_unique=True)
        if len(stale):
            self._index.remove(stale.tolist())
        capacity = self._index.stats()["capacity"]
        missing = np.setdiff1d(wanted[-capacity:], known, assume_unique=True)
        for start in range(0, len(missing), _CHUNK):
            rows = self._store.get_vectors(missing[start : start + _CHUNK].tolist(), tokens=False)
            self._add(list(rows.values()))
            yield 0.0

    def _embed_missing(self) -> Iterator[float]:
        """Answers stored under another embedder, or whose embedding failed."""
        progress: _Progress | None = None
        last = 0
        step = max(_EMBEDDED, self._embedder.batch)
        while entries := self._store.without_vectors(self._embedder.identity, step):
            if entries[-1].id <= last:
                raise BackendError("vectors that were stored are not there")
            last = entries[-1].id
            started = time.monotonic()
            if progress is None:
                total = self._store.stats()["entries"]
                progress = _Progress(total - len(self._index), started)
            self._index_entries([_Stored(e.id, e.scope, e.question or "") for e in entries])
            progress.add(len(entries), time.monotonic())
            yield time.monotonic() - started  # half the time is the requests'
        if progress is not None:
            progress.end(time.monotonic())


class _Progress:
    """A line with a bar now and then. `total` is an upper bound: not all answers have a question."""

    def __init__(self, total: int, now: float) -> None:
        self._total = max(1, total)
        self._done = 0
        self._started = self._said = now

    def add(self, count: int, now: float) -> None:
        self._done += count
        self._total = max(self._total, self._done)
        if now - self._said >= _PROGRESS:
            self._said = now
            share = self._done / self._total
            left = (now - self._started) * (1 - share) / share
            logger.info(
                "reflex: semantic index: [%s] %d of %d answers embedded, about %.0f s left",
                ("#" * int(share * _BAR)).ljust(_BAR, "."),
                self._done,
                self._total,
                left,
            )

    def end(self, now: float) -> None:
        logger.info(
            "reflex: semantic index: [%s] %d answers embedded in %.0f s",
            "#" * _BAR,
            self._done,
            now - self._started,
        )
