"""Answers in flight: one upstream answer, any number of readers.

The flight keeps the events so far; each reader walks them at its own pace and renders them in
its own form, so a slow reader costs the others nothing. The upstream call belongs to no reader. Runs
on the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import orjson

from . import sse
from .controls import Status
from .errors import ApiError
from .exchange import Exchange
from .render import ChunkRenderer, completion_json
from .transcript import Transcript
from .types import (
    Completion,
    ErrorEvent,
    Event,
    Extra,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)

MAX_LOG = 64 * 2**20
"""Bytes of events that are kept for readers; those that lag behind further are ended."""

MAX_PIECE = 64 * 2**10
"""Bytes that a reader is handed at once: what a slow client holds back is little more."""

_EVENT_BYTES = 200
"""Rough size of an event beside its text."""
_BATCH = 256
"""Events that are looked at for one piece."""


class Flight:
    """The shared side of one upstream answer. `exchange` is set when the provider starts to answer.

    `grace` is how long (seconds) the upstream call goes on after the last reader left; None lets it
    finish.
    """

    def __init__(self, grace: float | None = 0, max_log: int = MAX_LOG) -> None:
        self.exchange: Exchange | None = None
        self.failure: ApiError | None = None
        """Set when it failed before any content: readers answer with this status."""
        self.done = False
        self.legacy_functions = False
        """The client used `functions`, so it is answered with `function_call`."""
        self.status: Status | None = None
        """What X-Reflex-Status says instead of what each reader would."""
        self.details: dict[str, str] = {}
        """Answer headers that only the upstream call knows."""
        self.has_fallbacks = False
        self.kept: tuple[float | None, float] | None = None
        """TTL and age (seconds) of the stored answer that is served instead of the provider's."""
        self.transcript: Transcript | None = None
        """Where what the provider says is noted, if anywhere."""
        self.task: asyncio.Task[None] | None = None
        self.content_at: float | None = None
        """`time.perf_counter()` when the first content was there."""
        self.received = 0
        """Bytes (about) of all events, also of those that are not kept any more."""
        self._abandoned = False
        self._grace = grace
        self._leaving: asyncio.TimerHandle | None = None
        self._readers: set[Reader] = set()
        self._log: list[Event] = []
        self._dropped = 0
        self._bytes = 0
        self._max_log = max_log

    @property
    def readers(self) -> int:
        return len(self._readers)

    @property
    def joinable(self) -> bool:
        """True while a new reader would see the whole answer."""
        return not self.done and not self._abandoned and self._dropped == 0

    @property
    def started(self) -> bool:
        """True when readers may answer 200: content has arrived, or the answer has ended."""
        return self.done or (self.exchange is not None and self.exchange.content_seen)

    @property
    def settled(self) -> bool:
        """True when `details` are final."""
        return self.started or self.failure is not None or not self.has_fallbacks

    @property
    def error(self) -> ApiError | None:
        """Why it failed, before or after the first content."""
        return self.failure or (self.exchange.error if self.exchange else None)

    def completion(self) -> Completion | None:
        """The whole answer, None while it is not complete or when it failed."""
        if not self.done or self.exchange is None or self.error is not None:
            return None
        completion = self.exchange.completion()
        return completion if completion.complete else None

    # ------------------------------------------------------------------ the upstream side

    def begin(self, exchange: Exchange) -> Exchange:
        """An answer starts. What an earlier one left, of which nobody has seen anything, is forgotten."""
        self.exchange = exchange
        self._log.clear()
        self._bytes = 0
        return exchange

    def publish(self, events: list[Event]) -> None:
        """Hand events to all readers."""
        if not events:
            return
        if self.content_at is None and self.exchange is not None and self.exchange.content_seen:
            self.content_at = time.perf_counter()
        self._log.extend(events)
        size = sum(map(_size, events))
        self._bytes += size
        self.received += size
        if self._bytes > self._max_log:
            self._trim()
        self._wake()

    def fail(self, error: ApiError) -> None:
        """The answer failed: with its own status before any content, else as the last event."""
        if self.exchange is not None and self.exchange.content_seen:
            self.exchange.error = error
            self.publish([ErrorEvent(error)])
        else:
            self.failure = error
        self.end()

    def end(self) -> None:
        """No more events."""
        self.done = True
        self._wake()

    def _wake(self) -> None:
        for reader in self._readers:
            reader.wake.set()

    def _trim(self) -> None:
        """Forget the older half; readers that have not seen it cannot go on."""
        count = len(self._log) // 2
        self._bytes -= sum(map(_size, self._log[:count]))
        del self._log[:count]
        self._dropped += count

    # ------------------------------------------------------------------ the readers' side

    def join(self) -> Reader:
        """A new reader. It must be closed."""
        reader = Reader(self)
        self._readers.add(reader)
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        return reader

    def leave(self, reader: Reader) -> None:
        """When the last reader leaves an unfinished answer, the upstream call has its grace time."""
        self._readers.discard(reader)
        if self._readers or self.done or self._grace is None:
            return
        loop = asyncio.get_running_loop()
        self._leaving = loop.call_later(self._grace, self._cancel)

    def _cancel(self) -> None:
        if not self._readers and self.task is not None:
            self._abandoned = True
            self.task.cancel()

    def since(self, at: int) -> list[Event] | None:
        """The next events from position `at` on, not all at once; None when they are gone."""
        first = at - self._dropped
        return None if first < 0 else self._log[first : first + _BATCH]


def _size(event: Event) -> int:
    match event:
        case TextDelta() | ReasoningDelta() | RefusalDelta():
            return _EVENT_BYTES + len(event.text)
        case ToolCallDelta():
            return _EVENT_BYTES + len(event.arguments)
        case Extra():
            return _EVENT_BYTES + len(orjson.dumps(event.fields))
        case _:
            return _EVENT_BYTES


class Reader:
    """One client's view of a flight."""

    def __init__(self, flight: Flight) -> None:
        self.flight = flight
        self.wake = asyncio.Event()
        self._closed = False

    def close(self) -> bool:
        """Leave. False when it had left already."""
        if self._closed:
            return False
        self._closed = True
        self.flight.leave(self)
        return True

    async def _wait(self, seconds: float) -> bool:
        """Wait for news. False when `seconds` (0: no limit) passed first."""
        self.wake.clear()
        try:
            async with asyncio.timeout(seconds or None):
                await self.wake.wait()
        except TimeoutError:
            return False
        return True

    async def ready(self, keepalive: float) -> None:
        """Until the flight has started or failed, or `keepalive` seconds (0: for ever) have passed."""
        while not self.flight.started and self.flight.failure is None:
            if not await self._wait(keepalive):
                return

    async def finished(self) -> None:
        """Until nothing more can come."""
        while not self.flight.done:
            await self._wait(0)

    async def whole(self) -> tuple[int, bytes, ApiError | None]:
        """(status, body, error) for a reader that wants JSON."""
        flight = self.flight
        await self.finished()
        completion = flight.completion()
        if completion is not None:
            return 200, completion_json(completion, flight.legacy_functions), None
        error = flight.error or ApiError(502, "The provider's answer was incomplete.")
        return error.status, error.to_json(), error

    async def stream(self, include_usage: bool, keepalive: float) -> AsyncIterator[bytes]:
        """SSE frames as the events arrive; those that have arrived meanwhile come together."""
        flight, at = self.flight, 0
        renderer: ChunkRenderer | None = None
        yield sse.comment("reflex")
        while True:
            if renderer is None and flight.started and flight.exchange is not None:
                renderer = ChunkRenderer(
                    *flight.exchange.identity, include_usage, flight.legacy_functions
                )
            fresh = flight.since(at) if renderer is not None else []
            if fresh is None:
                yield sse.encode(_too_slow().to_json())
                return
            if fresh and renderer is not None:
                count, data = _piece(renderer, fresh)
                at += count
                if data:
                    yield data
            elif flight.done:
                break
            elif not await self._wait(keepalive):
                yield sse.comment("keep-alive")
        if flight.failure is not None:
            yield sse.encode(flight.failure.to_json())
        elif renderer is not None:
            yield renderer.finish()


def _piece(renderer: ChunkRenderer, events: list[Event]) -> tuple[int, bytes]:
    """How many events went into the next piece, and its bytes."""
    parts: list[bytes] = []
    size = 0
    for event in events:
        parts.append(renderer.feed(event))
        size += len(parts[-1])
        if size >= MAX_PIECE:
            break
    return len(parts), b"".join(parts)


def _too_slow() -> ApiError:
    message = "This client reads too slowly: the answer ran too far ahead of it."
    return ApiError(503, message, code="reader_too_slow")
