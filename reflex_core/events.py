"""GET /reflex/events: snapshots for the dashboard as server-sent events (HTML standard, 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import orjson

from . import sse
from .reply import SSE, Headers, Reply
from .types import Json

INTERVAL = 1.0
KEEPALIVE = 15.0
"""Seconds."""


class Snapshot(NamedTuple):
    """`added` is `Journal.added` at the time; `version` changes when there is something new."""

    added: int
    version: object
    value: Json


class EventStream:
    """One open dashboard. Has the shape of reply.Pending: start, whole, close.

    `look(since)` makes a snapshot with the requests after the first `since`, and blocks.
    """

    def __init__(
        self, look: Callable[[int], Snapshot], headers: Headers, closed: Callable[[], None]
    ) -> None:
        self._look = look
        self._headers = headers
        self._closed = closed
        self._open = True

    async def start(self) -> tuple[Reply, AsyncIterator[bytes] | None]:
        return Reply(200, (*SSE, *self._headers), b""), self._frames()

    async def whole(self) -> Reply:
        """The first snapshot only, for a client that cannot be sent to over time."""
        first = await asyncio.to_thread(self._look, 0)
        return Reply(200, (*SSE, *self._headers), _frame({**first.value, "first": True}))

    def close(self) -> None:
        """Safe to call twice."""
        if self._open:
            self._open = False
            self._closed()

    async def _frames(self) -> AsyncIterator[bytes]:
        last: Snapshot | None = None
        quiet = 0.0
        while self._open:
            now = await asyncio.to_thread(self._look, last.added if last else 0)
            if last is None or now.version != last.version:
                yield _frame({**now.value, "first": last is None})
                quiet = 0.0
            elif quiet >= KEEPALIVE:
                yield sse.comment("keep-alive")
                quiet = 0.0
            last = now
            quiet += INTERVAL
            await asyncio.sleep(INTERVAL)


def _frame(value: Json) -> bytes:
    return b"event: snapshot\ndata: " + orjson.dumps(value) + b"\n\n"
