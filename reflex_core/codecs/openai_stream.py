"""A streamed OpenAI-compatible answer -> events.

Failures come in many dresses: an `error` member in a chunk, `event: error`, a line `error: {...}`,
a bare JSON object, a whole JSON or HTML body under a 200.
"""

from __future__ import annotations

from typing import Any, cast

from ..errors import ApiError
from ..sse import Frame, SSEParser
from ..types import Event, Json, Ping
from .common import bad_answer, error_object, error_status, parse_json, parse_object, sanitise
from .openai_chunks import AnswerReader, find_error

MAX_COMMENT = 200
"""Characters of a provider's comment that go on to the client."""
MAX_STRAY = 16 * 1024 * 1024
"""Bytes kept of what is no event stream, in case it is one JSON answer."""


class StreamDecoder:
    """`codecs.base.Decoder` for server-sent chunks."""

    def __init__(self, reader: AnswerReader) -> None:
        self._parser = SSEParser()
        self._reader = reader
        self._stray: list[bytes] = []
        self._stray_size = 0
        self._data_seen = False

    @property
    def ended(self) -> bool:
        return self._reader.ended

    def feed(self, data: bytes) -> list[Event]:
        """Events of the frames that `data` completes."""
        if self._reader.ended:
            return []
        events = self._frames(self._parser.feed(data))
        if self._parser.overflow and not self._reader.ended:
            events += self._reader.fail(bad_answer("an event without an end"))
        return events

    def finish(self) -> list[Event]:
        """Events of a last frame without its blank line, and of the end itself."""
        if self._reader.ended:
            return []
        last = self._parser.finish()
        cut = [frame for frame in last if frame.data and not _readable(frame.data)]
        events = self._frames([frame for frame in last if frame not in cut])
        if self._reader.ended:
            return events
        if self._stray and not self._data_seen:
            return events + self._body(b"\n".join(self._stray))
        return events + self._reader.end(complete=False)

    def _frames(self, frames: list[Frame]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            if not self._reader.ended:
                events += self._frame(frame)
        return events

    def _frame(self, frame: Frame) -> list[Event]:
        events: list[Event] = []
        if frame.comments:
            text = b" ".join(frame.comments).decode("utf-8", "replace").strip()
            events.append(Ping(text[:MAX_COMMENT]))
        if frame.other and (error := self._error_line(frame.other)):
            return events + self._reader.fail(error)
        if frame.data is None:
            return events
        self._data_seen = True
        data = frame.data.strip()
        if frame.event == "error":
            return events + self._reader.fail(_error_event(data))
        if data.startswith(b"[DONE]"):
            return events + self._reader.end(complete=True)
        if not data:
            return [*events, Ping()]
        value = parse_object(data)
        if value is None:
            return events + self._reader.fail(bad_answer(f"no JSON object: {sanitise(data[:200])}"))
        return events + self._reader.chunk(value)

    def _error_line(self, lines: tuple[bytes, ...]) -> ApiError | None:
        """The failure told outside of any `data` field, if these lines tell one."""
        for line in lines:
            if line.startswith(b"error:"):
                return _error_event(line.removeprefix(b"error:").strip())
        for line in lines:
            self._stray_size += len(line)
            if self._stray_size <= MAX_STRAY:
                self._stray.append(line)
        value = parse_object(b"\n".join(lines))
        return find_error(value) if value else None

    def _body(self, text: bytes) -> list[Event]:
        """The events of a body that was no event stream at all."""
        value = parse_json(text)
        if isinstance(value, list) and value:
            value = cast(list[Any], value)[0]
        if not isinstance(value, dict):
            return self._reader.fail(bad_answer(sanitise(text) or "an empty body"))
        events = self._reader.chunk(cast(Json, value), whole=True)
        return events + self._reader.end(complete=True)


def _readable(data: bytes) -> bool:
    return data.strip().startswith(b"[DONE]") or parse_object(data) is not None


def _error_event(data: bytes) -> ApiError:
    value = parse_object(data)
    if value is None:
        return ApiError(500, sanitise(data) or "The provider reported an error.")
    return error_object(value, error_status(value))
