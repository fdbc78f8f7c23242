"""Anthropic Messages answers, streamed or whole, into events.

Source: platform.claude.com/docs/en/build-with-claude/streaming and .../handling-stop-reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ..errors import ApiError
from ..sse import Frame, SSEParser
from ..types import ErrorEvent, Event, FinishReason, Json, Ping, Start, UsageEvent, usage
from .block_answer import BlockAnswer
from .common import bad_answer, cut_answer, error_object, http_error, parse_object

FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "compaction": "length",
    "refusal": "content_filter",
}
"""`pause_turn` and `compaction` stop before the answer is complete, which only "length" says."""

STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 429,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 503,
}
_CODES = {
    "authentication_error": "invalid_api_key",
    "billing_error": "insufficient_quota",
    "rate_limit_error": "rate_limit_exceeded",
    "overloaded_error": "overloaded",
}


class MessagesDecoder:
    """Decodes one streamed answer."""

    def __init__(self, output_tool: str | None) -> None:
        self._parser = SSEParser()
        self._events = MessageEvents(output_tool)
        self._done = False

    @property
    def ended(self) -> bool:
        return self._done

    def feed(self, data: bytes) -> list[Event]:
        if self._done:
            return []
        frames = self._parser.feed(data)
        events = self._frames(frames)
        if self._parser.overflow and not self._done:
            events += self._fail("an event is too large")
        return events

    def finish(self) -> list[Event]:
        if self._done:
            return []
        events = self._frames(self._parser.finish())
        if not self._done:
            self._done = True
            if not self._events.finished:
                events.append(ErrorEvent(cut_answer()))
        return events

    def _frames(self, frames: list[Frame]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            events += self._frame(frame)
            if self._done:
                break
        return events

    def _frame(self, frame: Frame) -> list[Event]:
        if frame.data is None:
            failure = parse_object(b"\n".join(frame.other)) if frame.other else None
            if failure is not None and "error" in failure:
                return self._end([ErrorEvent(stream_error(failure))])
            return [Ping("ignored")]
        if frame.data == b"[DONE]":
            return [Ping("ignored")]
        body = parse_object(frame.data)
        if body is None:
            return self._fail("an event is not a JSON object")
        events = self._events.take(body)
        if body.get("type") == "message_stop" or isinstance(events[-1], ErrorEvent):
            return self._end(events)
        return events

    def _end(self, events: list[Event]) -> list[Event]:
        self._done = True
        return events

    def _fail(self, what: str) -> list[Event]:
        return self._end([ErrorEvent(bad_answer(what))])


class MessageEvents:
    """Our events for each of the protocol's events, in order. Never gives an empty list."""

    def __init__(self, output_tool: str | None) -> None:
        self._answer = BlockAnswer(output_tool)
        self._usage: Json = {}

    @property
    def finished(self) -> bool:
        return self._answer.finished

    def take(self, body: Json) -> list[Event]:
        kind = body.get("type")
        events: list[Event] = []
        match kind:
            case "message_start":
                events = self._start(_dict(body, "message"))
            case "content_block_start":
                events = self._open(_key(body), _dict(body, "content_block"))
            case "content_block_delta":
                events = self._delta(_key(body), _dict(body, "delta"))
            case "content_block_stop":
                events = self._answer.close(_key(body))
            case "message_delta":
                events = self._message_delta(body)
            case "message_stop":
                if not self.finished:
                    return [ErrorEvent(bad_answer("it has no stop reason"))]
            case "error":
                return [ErrorEvent(stream_error(body))]
            case _:
                pass
        return events or [Ping(kind if isinstance(kind, str) else "ignored")]

    def whole(self, body: Json) -> list[Event]:
        """The events of an unstreamed message."""
        content = body.get("content")
        steps: list[Json] = [{"type": "message_start", "message": body}]
        for index, block in enumerate(
            cast(list[Any], content) if isinstance(content, list) else []
        ):
            steps.append({"type": "content_block_start", "index": index, "content_block": block})
            steps.append({"type": "content_block_stop", "index": index})
        steps += [{"type": "message_delta", "delta": body}, {"type": "message_stop"}]
        events: list[Event] = []
        for step in steps:
            events += [event for event in self.take(step) if not isinstance(event, Ping)]
            if isinstance(events[-1], ErrorEvent):
                break
        return events

    def _start(self, message: Json) -> list[Event]:
        counts = _dict(message, "usage")
        self._count(counts)
        start = Start(
            id=_str(message, "id"),
            model=_str(message, "model"),
            service_tier=_str(counts, "service_tier"),
        )
        # What an answer that breaks off has cost by then, at the least.
        return [start, UsageEvent(_usage(self._usage))] if self._usage else [start]

    def _open(self, key: int, block: Json) -> list[Event]:
        match block.get("type"):
            case "text":
                self._answer.open(key, "text")
                cited = block.get("citations")
                for citation in cast(list[Any], cited) if isinstance(cited, list) else []:
                    if isinstance(citation, dict):
                        self._answer.cite(key, cast(Json, citation))
                return self._answer.text(key, _str(block, "text") or "")
            case "tool_use":
                id, name = _str(block, "id"), _str(block, "name")
                if not name:
                    return [ErrorEvent(bad_answer("a tool call has no name"))]
                return self._answer.open_call(key, id or "", name, block.get("input"))
            case "thinking":
                self._answer.open(key, "other")
                return self._answer.reasoning(_str(block, "thinking") or "")
            case _:
                # Tools that ran at the provider, their results, fallback and compaction notes.
                self._answer.open(key, "other")
                return []

    def _delta(self, key: int, delta: Json) -> list[Event]:
        match delta.get("type"):
            case "text_delta":
                return self._answer.text(key, _str(delta, "text") or "")
            case "input_json_delta":
                return self._answer.arguments(key, _str(delta, "partial_json") or "")
            case "thinking_delta":
                return self._answer.reasoning(_str(delta, "thinking") or "")
            case "citations_delta":
                self._answer.cite(key, _dict(delta, "citation"))
                return []
            case _:
                return []

    def _message_delta(self, body: Json) -> list[Event]:
        delta = _dict(body, "delta")
        self._count(_dict(body, "usage"))
        events: list[Event] = []
        reason = _str(delta, "stop_reason")
        if reason and not self.finished:
            details = _dict(delta, "stop_details")
            if reason == "refusal":
                events += self._answer.refusal(_str(details, "explanation"))
            events += self._answer.finish(FINISH.get(reason, "stop"))
        if self._usage:
            events.append(UsageEvent(_usage(self._usage)))
        return events

    def _count(self, counts: Json) -> None:
        """Counts are totals so far: a later one replaces an earlier one, a missing one keeps it."""
        self._usage.update({name: n for name, n in counts.items() if n is not None})


def _usage(counts: Json) -> Json:
    read, written = (
        _int(counts, "cache_read_input_tokens"),
        _int(counts, "cache_creation_input_tokens"),
    )
    details = _dict(counts, "output_tokens_details")
    return usage(
        (_int(counts, "input_tokens") or 0) + (read or 0) + (written or 0),
        _int(counts, "output_tokens") or 0,
        cached=read,
        cache_write=written,
        reasoning=_int(details, "thinking_tokens"),
    )


# --------------------------------------------------------------------------- errors


def stream_error(body: Json) -> ApiError:
    """`{"type": "error", "error": {"type", "message"}}` after a 200."""
    kind = _str(_dict(body, "error"), "type") or ""
    return _shape(error_object(body, STATUS.get(kind, 500)), kind)


def http_status_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The same object as an HTTP error."""
    parsed = parse_object(body) or {}
    kind = _str(_dict(parsed, "error"), "type") or ""
    mapped = {402: 429, 529: 503}.get(status, status)
    return _shape(http_error(mapped, headers, body), kind)


def _shape(error: ApiError, kind: str) -> ApiError:
    """OpenAI's type for the status, and its code where it has one for this kind."""
    code = error.code or _CODES.get(kind)
    if kind == "not_found_error" and error.message.startswith("model:"):
        code = "model_not_found"
    return ApiError(error.status, error.message, code=code, retry_after=error.retry_after)


# --------------------------------------------------------------------------- lenient access


def _dict(body: Json, name: str) -> Json:
    value = body.get(name)
    return cast(Json, value) if isinstance(value, dict) else {}


def _str(body: Json, name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) else None


def _int(body: Json, name: str) -> int | None:
    value = body.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _key(body: Json) -> int:
    return _int(body, "index") or 0
