"""Bedrock Converse answers, streamed (AWS event stream) or whole, into events.

Source: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, cast

import orjson
from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError

from ..errors import ApiError
from ..types import ErrorEvent, Event, FinishReason, Json, Ping, Start, UsageEvent, usage
from .block_answer import BlockAnswer
from .common import bad_answer, cut_answer, error_object, http_error, parse_object

FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
MALFORMED = ("malformed_model_output", "malformed_tool_use")
"""Stop reasons that say the answer can't be used: they become errors."""

STATUS = {
    "validation": 400,
    "expiredtoken": 401,
    "invalidsignature": 401,
    "incompletesignature": 401,
    "missingauthenticationtoken": 401,
    "unrecognizedclient": 401,
    "accessdenied": 403,
    "resourcenotfound": 404,
    "modeltimeout": 408,
    "throttling": 429,
    "servicequotaexceeded": 429,
    "modelerror": 502,
    "modelstreamerror": 502,
    "internalserver": 500,
    "modelnotready": 503,
    "serviceunavailable": 503,
}
"""By the exception's name, without "Exception"."""


class ConverseDecoder:
    """Decodes one streamed answer."""

    def __init__(self, output_tool: str | None) -> None:
        self._buffer = EventStreamBuffer()
        self._events = ConverseEvents(output_tool)
        self._done = False

    @property
    def ended(self) -> bool:
        return self._done

    def feed(self, data: bytes) -> list[Event]:
        if self._done:
            return []
        events: list[Event] = []
        try:
            self._buffer.add_data(data)
            for message in self._buffer:
                events += self._message(message)
                if self._done:
                    break
        except (ParserError, struct.error, ValueError, KeyError):
            events += self._end([ErrorEvent(bad_answer("the event stream is damaged"))])
        return events

    def finish(self) -> list[Event]:
        if self._done:
            return []
        self._done = True
        return [] if self._events.finished else [ErrorEvent(cut_answer())]

    def _message(self, message: EventStreamMessage) -> list[Event]:
        headers = cast(Json, message.headers)
        body = parse_object(message.payload)
        if headers.get(":message-type") != "event":
            return self._end([ErrorEvent(_exception(headers, body or {}))])
        if body is None:
            return self._end([ErrorEvent(bad_answer("an event is not a JSON object"))])
        kind = str(headers.get(":event-type"))
        events = self._events.take(kind, body)
        last = kind == "metadata" and self._events.finished
        return self._end(events) if last or isinstance(events[-1], ErrorEvent) else events

    def _end(self, events: list[Event]) -> list[Event]:
        self._done = True
        return events


class ConverseEvents:
    """Our events for each of the protocol's events, in order. Never gives an empty list."""

    def __init__(self, output_tool: str | None) -> None:
        self._answer = BlockAnswer(output_tool)

    @property
    def finished(self) -> bool:
        return self._answer.finished

    def take(self, kind: str, body: Json) -> list[Event]:
        key = _int(body, "contentBlockIndex") or 0
        events: list[Event] = []
        match kind:
            case "contentBlockStart":
                events = self._open(key, _dict(body, "start"))
            case "contentBlockDelta":
                events = self._delta(key, _dict(body, "delta"))
            case "contentBlockStop":
                events = self._answer.close(key)
            case "messageStop":
                events = self._stop(_str(body, "stopReason"))
            case "metadata":
                events = _metadata(body)
            case _:
                pass
        return events or [Ping(kind)]

    def whole(self, body: Json) -> list[Event]:
        """The events of an unstreamed answer."""
        content = _dict(_dict(body, "output"), "message").get("content")
        events: list[Event] = []
        for key, block in enumerate(cast(list[Any], content) if isinstance(content, list) else []):
            if isinstance(block, dict):
                events += self._block(key, cast(Json, block))
                if events and isinstance(events[-1], ErrorEvent):
                    return events
                events += self._answer.close(key)
        events += self._stop(_str(body, "stopReason"))
        if not isinstance(events[-1], ErrorEvent):
            events += _metadata(body)
        return events

    def _open(self, key: int, start: Json) -> list[Event]:
        use = _dict(start, "toolUse")
        if use and use.get("type") != "server_tool_use":
            return self._call(key, use)
        # A tool that runs at the provider, its result, or an image.
        self._answer.open(key, "other")
        return []

    def _call(self, key: int, use: Json) -> list[Event]:
        name = _str(use, "name")
        if not name:
            return [ErrorEvent(bad_answer("a tool call has no name"))]
        return self._answer.open_call(key, _str(use, "toolUseId") or "", name, use.get("input"))

    def _delta(self, key: int, delta: Json) -> list[Event]:
        if "text" in delta:
            return self._answer.text(key, _str(delta, "text") or "")
        if "toolUse" in delta:
            return self._answer.arguments(key, _str(_dict(delta, "toolUse"), "input") or "")
        if "reasoningContent" in delta:
            return self._answer.reasoning(_str(_dict(delta, "reasoningContent"), "text") or "")
        if "citation" in delta:
            self._answer.cite(key, _dict(delta, "citation"))
        return []

    def _block(self, key: int, block: Json) -> list[Event]:
        if "text" in block:
            return self._answer.text(key, _str(block, "text") or "")
        if "reasoningContent" in block:
            text = _dict(_dict(block, "reasoningContent"), "reasoningText")
            return self._answer.reasoning(_str(text, "text") or "")
        if "citationsContent" in block:
            return self._cited(key, _dict(block, "citationsContent"))
        use = _dict(block, "toolUse")
        return self._call(key, use) if use and use.get("type") != "server_tool_use" else []

    def _cited(self, key: int, block: Json) -> list[Event]:
        events: list[Event] = []
        for piece in _dicts(block, "content"):
            events += self._answer.text(key, _str(piece, "text") or "")
        for citation in _dicts(block, "citations"):
            self._answer.cite(key, citation)
        return events

    def _stop(self, reason: str | None) -> list[Event]:
        if self.finished:
            return []
        if reason is None:
            return [ErrorEvent(bad_answer("it has no stop reason"))]
        if reason in MALFORMED:
            return [ErrorEvent(bad_answer(f"the model's output is unusable ({reason})"))]
        return self._answer.finish(FINISH.get(reason, "stop"))


def _metadata(body: Json) -> list[Event]:
    events: list[Event] = []
    if tier := _str(_dict(body, "serviceTier"), "type"):
        events.append(Start(service_tier=tier))
    counts = _dict(body, "usage")
    if counts:
        read, written = (
            _int(counts, "cacheReadInputTokens"),
            _int(counts, "cacheWriteInputTokens"),
        )
        count = usage(
            (_int(counts, "inputTokens") or 0) + (read or 0) + (written or 0),
            _int(counts, "outputTokens") or 0,
            total=_int(counts, "totalTokens"),
            cached=read,
            cache_write=written,
        )
        events.append(UsageEvent(count))
    return events


# --------------------------------------------------------------------------- errors


def _exception(headers: Json, body: Json) -> ApiError:
    """An exception or error message in the stream: its kind is in the headers."""
    kind = headers.get(":exception-type") or headers.get(":error-code") or ""
    if not body and isinstance(said := headers.get(":error-message"), str):
        body = {"message": said}
    return _shape(error_object(body, _status(str(kind), 500)), str(kind))


def http_status_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """An HTTP error: its kind is in `x-amzn-errortype`, or in the body's `__type`."""
    parsed = parse_object(body) or {}
    kind = headers.get("x-amzn-errortype") or _str(parsed, "__type") or ""
    kind = kind.partition(":")[0].rpartition("#")[2]
    if "message" not in parsed and isinstance(said := parsed.get("Message"), str):
        body = orjson.dumps({"message": said})
    return _shape(http_error(_status(kind, 502 if status == 424 else status), headers, body), kind)


def _status(kind: str, default: int) -> int:
    return STATUS.get(kind.lower().removesuffix("exception"), default)


def _shape(error: ApiError, kind: str) -> ApiError:
    code = error.code or kind or None
    if error.status == 400 and "input is too long" in error.message.lower():
        code = "context_length_exceeded"
    return ApiError(error.status, error.message, code=code, retry_after=error.retry_after)


# --------------------------------------------------------------------------- lenient access


def _dict(body: Json, name: str) -> Json:
    value = body.get(name)
    return cast(Json, value) if isinstance(value, dict) else {}


def _dicts(body: Json, name: str) -> list[Json]:
    value = body.get(name)
    items = cast(list[Any], value) if isinstance(value, list) else []
    return [cast(Json, item) for item in items if isinstance(item, dict)]


def _str(body: Json, name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) else None


def _int(body: Json, name: str) -> int | None:
    value = body.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
