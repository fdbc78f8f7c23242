"""One thread that writes answers to the store, and tells who wants to know.

Nothing here makes a request wait: `submit` and `touch` only put into a bounded queue. What the store
refuses is tried a few times and then given up, so that a broken store never holds up later answers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from .errors import BackendError
from .ports import Entry, Store

_LOG = logging.getLogger(__name__)
_OVERHEAD = 512
_MAX_TOUCHES = 50_000


@dataclass(frozen=True, slots=True)
class Limits:
    """When the writer acts. Times are in seconds."""

    items: int = 10_000
    bytes: int = 64 * 1024 * 1024
    """Queued answers, by count and by size."""
    batch: int = 256
    """Answers in one transaction."""
    touch_s: float = 2.0
    """How long uses are collected before they are written."""
    evict_puts: int = 1000
    evict_s: float = 60.0
    """Eviction runs after this many answers, and this often."""
    retry_s: float = 1.0
    attempts: int = 5
    """How often, and how many times, the store is tried before answers are given up."""
    keep_expired_s: float = 0.0
    """Expired answers are deleted this much later: they may be served stale until then."""


@dataclass(frozen=True, slots=True)
class _Put:
    entry: Entry
    after: Callable[[Entry], None] | None


@dataclass(frozen=True, slots=True)
class _Run:
    action: Callable[[], Any]
    done: Future[Any]


class Writer:
    """`on_stored` gets entries with their row ids once they are committed, `on_removed` row ids that
    are gone; both run on the writer's thread and must be quick. `clock` gives unix seconds.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float] = time.time,
        on_stored: Callable[[Sequence[Entry]], None] | None = None,
        on_removed: Callable[[Sequence[int]], None] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_stored = on_stored
        self._on_removed = on_removed
        self._limits = limits or Limits()
        self._queue: deque[_Put | _Run] = deque()
        self._queued = self._queued_bytes = 0
        self._touches: list[tuple[int, float]] = []
        self._counts = {"written": 0, "dropped": 0, "failed": 0, "touched": 0, "removed": 0}
        self._last_error: str | None = None
        self._failing = False
        self._closing = False
        self._changed = threading.Condition()
        self._puts_since_evict = 0
        self._evict_at = time.monotonic() + self._limits.evict_s
        self._touch_at = float("inf")
        self._thread = threading.Thread(target=self._main, name="reflex-writer", daemon=True)
        self._thread.start()

    # ----------------------------------------------------------------- any thread

    def submit(self, entry: Entry, after: Callable[[Entry], None] | None = None) -> bool:
        """Queue an answer; `after` is called with the stored entry. False: no room, not stored."""
        size = _size(entry)
        with self._changed:
            full = self._queued >= self._limits.items
            if full or self._closing or self._queued_bytes + size > self._limits.bytes:
                self._counts["dropped"] += 1
                return False
            self._queue.append(_Put(entry, after))
            self._queued += 1
            self._queued_bytes += size
            self._changed.notify_all()
            return True

    def touch(self, id: int, when: float) -> None:
        """Note the use of a stored entry at `when` (unix seconds). Lost when there are too many."""
        with self._changed:
            if len(self._touches) >= _MAX_TOUCHES or self._closing:
                return
            self._touches.append((id, when))
            if len(self._touches) == 1:
                self._touch_at = time.monotonic() + self._limits.touch_s
                self._changed.notify_all()

    def run(self, action: Callable[[], Any]) -> Future[Any]:
        """Call `action` on the writer's thread after everything queued so far is written."""
        done: Future[Any] = Future()
        with self._changed:
            if self._closing:
                done.set_exception(BackendError("the writer is closed"))
            else:
                self._queue.append(_Run(action, done))
                self._changed.notify_all()
        return done

    def purge(
        self,
        *,
        key: bytes | None = None,
        model: str | None = None,
        tenant: bytes | None = None,
        namespace: str | None = None,
        everything: bool = False,
    ) -> Future[list[int]]:
        """`Store.purge` in its turn, so that answers still in the queue go as well."""

        def action() -> list[int]:
            ids = self._store.purge(
                key=key, model=model, tenant=tenant, namespace=namespace, everything=everything
            )
            self._removed(ids)
            return ids

        return self.run(action)

    def flush(self, timeout: float) -> bool:
        """Wait until what was queued before is dealt with. False: it took longer, or it is closed."""
        try:
            self.run(lambda: None).result(timeout)
        except (TimeoutError, BackendError):
            return False
        return True

    def close(self, timeout: float) -> bool:
        """Take nothing more and write what is queued. False: it took longer."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def failing(self) -> bool:
        """True while the store refuses what it is given."""
        return self._failing

    def stats(self) -> dict[str, Any]:
        """queued, queued_bytes; in total written, dropped (no room), failed, touched, removed;
        last_error."""
        with self._changed:
            return {
                "queued": self._queued,
                "queued_bytes": self._queued_bytes,
                **self._counts,
                "last_error": self._last_error,
            }

    # ----------------------------------------------------------------- the writer's thread

    def _main(self) -> None:
        while True:
            with self._changed:
                self._wait()
                puts, run, touches = self._take()
                done = self._closing and not self._queue
            if puts:
                self._write(puts)
            if touches:
                self._touch(touches)
            if run is not None:
                self._answer(run)
            self._evict_when_due()
            if done:
                return

    def _wait(self) -> None:
        while not self._queue and not self._closing:
            left = min(self._evict_at, self._touch_at) - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(left)

    def _take(self) -> tuple[list[_Put], _Run | None, list[tuple[int, float]]]:
        """Answers for one transaction, or up to the first `_Run` and that one too."""
        puts: list[_Put] = []
        run: _Run | None = None
        while self._queue and len(puts) < self._limits.batch and run is None:
            item = self._queue.popleft()
            if isinstance(item, _Run):
                run = item
            else:
                puts.append(item)
        touches: list[tuple[int, float]] = []
        if run is not None or self._closing or time.monotonic() >= self._touch_at:
            touches, self._touches = self._touches, touches
            self._touch_at = float("inf")
        return puts, run, touches

    def _write(self, puts: list[_Put]) -> None:
        left = puts
        for attempt in range(self._limits.attempts):
            left = self._try(left)
            if not left:
                break
            if attempt + 1 < self._limits.attempts and not self._pause():
                break
        with self._changed:
            self._counts["failed"] += len(left)
            self._queued -= len(puts)
            self._queued_bytes -= sum(_size(put.entry) for put in puts)
        self._puts_since_evict += len(puts)

    def _try(self, puts: list[_Put]) -> list[_Put]:
        """Store all at once, else one by one. Returns those to try again: all, or none.

        When some can be stored and some cannot, the store works and these are at fault: they are
        given up. When none can, the store is at fault.
        """
        if self._put(puts):
            return []
        if len(puts) == 1:
            return puts
        refused = [put for put in puts if not self._put([put])]
        if len(refused) == len(puts):
            return puts
        with self._changed:
            self._counts["failed"] += len(refused)
        self._failing = False
        return []

    def _put(self, puts: list[_Put]) -> bool:
        entries = [put.entry for put in puts]
        try:
            ids = self._store.put(entries)
        except Exception as error:
            self._note(error)
            return False
        self._failing = False
        stored = [replace(entry, id=id) for entry, id in zip(entries, ids, strict=True)]
        with self._changed:
            self._counts["written"] += len(stored)
        if self._on_stored is not None:
            _call(self._on_stored, stored)
        for put, entry in zip(puts, stored, strict=True):
            if put.after is not None:
                _call(put.after, entry)
        return True

    def _pause(self) -> bool:
        """Wait before the next attempt. False when closing: there is no time for another."""
        until = time.monotonic() + self._limits.retry_s
        with self._changed:
            while not self._closing and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            return not self._closing

    def _touch(self, touches: list[tuple[int, float]]) -> None:
        try:
            self._store.touch(touches)
        except Exception as error:
            self._note(error)
            return
        self._failing = False
        with self._changed:
            self._counts["touched"] += len(touches)

    def _answer(self, run: _Run) -> None:
        if not run.done.set_running_or_notify_cancel():
            return
        try:
            run.done.set_result(run.action())
        except Exception as error:
            run.done.set_exception(error)

    def _evict_when_due(self) -> None:
        due = self._puts_since_evict >= self._limits.evict_puts
        if not due and time.monotonic() < self._evict_at:
            return
        self._puts_since_evict = 0
        self._evict_at = time.monotonic() + self._limits.evict_s
        try:
            self._removed(self._store.evict(self._clock() - self._limits.keep_expired_s))
        except Exception as error:
            self._note(error)

    def _removed(self, ids: list[int]) -> None:
        with self._changed:
            self._counts["removed"] += len(ids)
        if ids and self._on_removed is not None:
            _call(self._on_removed, ids)

    def _note(self, error: Exception) -> None:
        self._failing = True
        self._last_error = str(error) or repr(error)
        if not isinstance(error, BackendError):
            _LOG.exception("The store failed in an unexpected way")


def _call[T](hook: Callable[[T], None], value: T) -> None:
    """A hook that raises must not stop the thread."""
    try:
        hook(value)
    except Exception:
        _LOG.exception("A hook of the writer failed")


def _size(entry: Entry) -> int:
    return len(entry.completion) + len(entry.question or "") + len(entry.request) + _OVERHEAD
