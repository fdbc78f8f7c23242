"""What the client gets: a whole Reply, or a Pending one whose body arrives over time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import orjson

from .controls import Status, answer_headers
from .errors import ApiError
from .flight import Flight, Reader
from .lookup import Hit
from .render import completion_json, completion_sse
from .transcript import Transcript
from .types import ChatRequest, Json

Headers = tuple[tuple[str, str], ...]

JSON = ("content-type", "application/json")
SSE: Headers = (
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    ("x-accel-buffering", "no"),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. Content-Length is added by whoever sends it."""

    status: int
    headers: Headers
    body: bytes = field(repr=False)

    @classmethod
    def of_json(cls, value: Json, status: int = 200, headers: Headers = ()) -> Reply:
        return cls(status, (JSON, *headers), orjson.dumps(value))

    @classmethod
    def of_error(cls, error: ApiError, headers: Headers = ()) -> Reply:
        return cls(error.status, (JSON, *error_headers(error), *headers), error.to_json())

    @classmethod
    def of_hit(cls, hit: Hit, request: ChatRequest, legacy: bool, now: float, id: str) -> Reply:
        """The stored answer in the form this reader asked for."""
        entry = hit.entry
        headers = answer_headers(
            hit.status,
            key=entry.key,
            ttl=None if entry.expires is None else entry.expires - now,
            age=now - entry.created,
            detail=hit.detail,
            id=id,
        )
        if request.stream:
            body = completion_sse(hit.completion, request.include_usage, legacy)
            return cls(200, (*SSE, *headers), body)
        return cls(200, (JSON, *headers), completion_json(hit.completion, legacy))


def error_headers(error: ApiError) -> Headers:
    """Retry-After, where the provider gave one."""
    if error.retry_after is None:
        return ()
    milliseconds = max(0, round(error.retry_after * 1000))
    seconds = -(-milliseconds // 1000)
    return (("retry-after", str(seconds)), ("retry-after-ms", str(milliseconds)))


@dataclass(frozen=True, slots=True)
class Note:
    """What a pending answer's headers say about the cache."""

    status: Status
    key: bytes
    detail: str | None
    may_store: bool
    id: str


class Pending:
    """One reader of a flight, and the form it wants. Must be closed."""

    def __init__(
        self,
        flight: Flight,
        request: ChatRequest,
        note: Note,
        keepalive: float,
        done: Callable[[Status, int], None],
    ) -> None:
        """`done` is called once, with X-Reflex-Status and the status code (499: the client left)."""
        self._done = done
        self._code = 499
        self._reader: Reader = flight.join()
        self._request = request
        self._note = note
        self._keepalive = keepalive

    def transcribe(self, transcript: Transcript) -> None:
        """Note what the provider says, when it is this request that asks it. Call it at once."""
        if self._note.status != "coalesced":
            self._reader.flight.transcript = transcript

    async def start(self) -> tuple[Reply, AsyncIterator[bytes] | None]:
        """Waits for the status. The second value is None when the Reply holds the whole body."""
        if not self._request.stream:
            return await self.whole(), None
        await self._reader.ready(self._keepalive)
        failure = self._reader.flight.failure
        if failure is not None:
            self._code = failure.status
            return Reply.of_error(failure, self._headers(failure)), None
        self._code = 200
        chunks = self._reader.stream(self._request.include_usage, self._keepalive)
        return Reply(200, (*SSE, *self._headers()), b""), chunks

    async def whole(self) -> Reply:
        """The answer with its whole body, whatever form was asked for."""
        if self._request.stream:
            reply, chunks = await self.start()
            if chunks is None:
                return reply
            body = b"".join([chunk async for chunk in chunks])
            return Reply(200, reply.headers, body)
        status, body, error = await self._reader.whole()
        self._code = status
        more = error_headers(error) if error else ()
        return Reply(status, (JSON, *more, *self._headers(error)), body)

    def close(self) -> None:
        """Leave. Safe to call twice."""
        if self._reader.close():
            self._done(self.status, self._code)

    @property
    def status(self) -> Status:
        """X-Reflex-Status."""
        return self._reader.flight.status or self._note.status

    def _headers(self, error: ApiError | None = None) -> Headers:
        note, flight = self._note, self._reader.flight
        ttl, age = flight.kept or (None, None)
        cache = answer_headers(
            self.status,
            key=note.key,
            detail=note.detail,
            id=note.id,
            ttl=ttl,
            age=age,
            stored=note.may_store and error is None and flight.kept is None,
        )
        return (*cache, *(flight.details.items() if flight.settled else ()))
