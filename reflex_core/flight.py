"""Answers in flight: one upstream answer, any number of readers.

The flight keeps the events so far; each reader walks them at its own pace and renders them in
its own form, so a slow reader costs nothing but its own position. Runs on the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from . import sse
from .errors import ApiError
from .exchange import Exchange
from .render import ChunkRenderer, completion_json
from .types import Completion, ErrorEvent, Event


class Flight:
    """The shared side of one upstream answer. `exchange` is set when the provider starts to answer."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.exchange: Exchange | None = None
        self.failure: ApiError | None = None
        """Set when it failed before any content: readers answer with this status."""
        self.done = False
        self.legacy_functions = False
        """The client used `functions`, so it is answered with `function_call`."""
        self.details: dict[str, str] = {}
        """Answer headers that only the upstream call knows."""
        self.task: asyncio.Task[None] | None = None
        self._readers: set[Reader] = set()

    @property
    def readers(self) -> int:
        return len(self._readers)

    @property
    def started(self) -> bool:
        """True when readers may answer 200: content has arrived, or the answer has ended."""
        return self.done or (self.exchange is not None and self.exchange.content_seen)

    def completion(self) -> Completion | None:
        """The whole answer, None while it is not complete or when it failed."""
        if not self.done or self.exchange is None or self.exchange.error is not None:
            return None
        completion = self.exchange.completion()
        return completion if completion.complete else None

    def publish(self, events: list[Event]) -> None:
        """Hand events to all readers. An error before any content fails the flight as a whole."""
        if not events:
            return
        last = events[-1]
        if isinstance(last, ErrorEvent) and not (self.exchange and self.exchange.content_seen):
            self.failure = last.error
        self.events.extend(events)
        self._wake()

    def fail(self, error: ApiError) -> None:
        """The call failed before the provider answered."""
        self.failure = error
        self.end()

    def end(self) -> None:
        """No more events."""
        self.done = True
        self._wake()

    def _wake(self) -> None:
        for reader in self._readers:
            reader.wake.set()

    def join(self) -> Reader:
        """A new reader. It must be closed."""
        reader = Reader(self)
        self._readers.add(reader)
        return reader

    def leave(self, reader: Reader) -> None:
        """When the last reader leaves an unfinished answer, the upstream call is cancelled."""
        self._readers.discard(reader)
        if not self._readers and not self.done and self.task is not None:
            self.task.cancel()


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

    async def whole(self) -> tuple[int, bytes, ApiError | None]:
        """(status, body, error) for a reader that wants JSON."""
        flight = self.flight
        while not flight.done:
            await self._wait(0)
        completion = flight.completion()
        if completion is not None:
            return 200, completion_json(completion, flight.legacy_functions), None
        error = flight.failure
        if error is None and flight.exchange is not None:
            error = flight.exchange.error
        error = error or ApiError(502, "The provider's answer was incomplete.")
        return error.status, error.to_json(), error

    async def stream(self, include_usage: bool, keepalive: float) -> AsyncIterator[bytes]:
        """SSE frames as the events arrive; all that have arrived meanwhile come as one piece."""
        flight, at = self.flight, 0
        renderer: ChunkRenderer | None = None
        yield sse.comment("reflex")
        while True:
            if renderer is None and flight.started and flight.exchange is not None:
                renderer = ChunkRenderer(*flight.exchange.identity, include_usage)
            if renderer is not None and at < len(flight.events):
                fresh = flight.events[at:]
                at += len(fresh)
                if data := b"".join(map(renderer.feed, fresh)):
                    yield data
            elif flight.done:
                break
            elif not await self._wait(keepalive):
                yield sse.comment("keep-alive")
        if flight.failure is not None and renderer is None:
            yield sse.encode(flight.failure.to_json())
        elif renderer is not None:
            yield renderer.finish()
