"""What Cohere answers -> events.

Source: docs.cohere.com/reference/chat, /reference/chat-stream, /v2/docs/streaming.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ApiError
from ..types import (
    Annotations,
    ErrorEvent,
    Event,
    Extra,
    Finish,
    FinishReason,
    Json,
    Ping,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
    usage,
)
from . import native
from .common import error_object, error_status, parse_object
from .loose import count, items, obj, text

_FINISH: Mapping[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "ERROR_LIMIT": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
}
_FAILED = {"ERROR": 502, "TIMEOUT": 504}


@dataclass(slots=True)
class _Call:
    """A tool call in progress. `held` is what may yet turn out to be a bare `null`."""

    index: int
    held: str = ""
    flows: bool = False
    ended: bool = False

    def more(self, piece: str) -> list[Event]:
        if not self.flows:
            self.held += piece
            if "null".startswith(self.held.strip()):
                return []
            piece, self.flows = self.held, True
        return [ToolCallDelta(self.index, piece)] if piece else []

    def end(self) -> list[Event]:
        """A call without arguments has none, or `null`: the client gets `{}`."""
        if self.ended:
            return []
        self.ended = True
        if self.flows:
            return []
        return [ToolCallDelta(self.index, "{}" if self.held.strip() in ("", "null") else self.held)]


class Answer:
    """One answer. After its end or an error nothing comes any more."""

    def __init__(self) -> None:
        self.over = False
        self._calls: dict[int | str, _Call] = {}

    def frame(self, data: bytes | None) -> list[Event]:
        """One event of a stream."""
        if self.over:
            return []
        if data is None or data.strip() == b"[DONE]":
            return [Ping()]
        value = parse_object(data)
        if value is None:
            return self.fail("an event is no JSON object")
        return self._event(value) or [Ping()]

    def whole(self, body: bytes) -> list[Event]:
        """An answer that was not streamed."""
        value = parse_object(body)
        if value is None:
            return self.fail("it is no JSON object")
        message = obj(value.get("message"))
        events: list[Event] = [Start(id=text(value.get("id")))]
        events += _delta(TextDelta, message.get("tool_plan"))
        blocks = [obj(block) for block in items(message.get("content"))]
        for block in blocks:
            events += _content(block)
        _put_logprobs(events, items(value.get("logprobs")))
        for at, call in enumerate(items(message.get("tool_calls"))):
            events += self._call_start(at, obj(call))
        if self.over:
            return events
        events += _sources([obj(item) for item in items(message.get("citations"))])
        return events + self._finished(value)

    def end(self) -> list[Event]:
        return self.fail("it ended too early", "upstream_closed")

    def fail(self, why: str, code: str = "bad_upstream_answer") -> list[Event]:
        if self.over:
            return []
        self.over = True
        message = f"The answer of Cohere could not be read: {why}."
        return [ErrorEvent(ApiError(502, message, code=code))]

    def _event(self, value: Json) -> list[Event]:
        delta = obj(value.get("delta"))
        message = obj(delta.get("message"))
        at = value.get("index")
        match value.get("type"):
            case "message-start":
                return [Start(id=text(value.get("id")))]
            case "content-start" | "content-delta":
                events = _content(obj(message.get("content")))
                _put_logprobs(events, [value.get("logprobs")])
                return events
            case "tool-plan-delta":
                return _delta(TextDelta, message.get("tool_plan"))
            case "tool-call-start":
                return self._call_start(at, _first(message.get("tool_calls")))
            case "tool-call-delta":
                function = obj(_first(message.get("tool_calls")).get("function"))
                if (call := self._calls.get(_key(at))) is None:
                    return self.fail("arguments come before their tool call")
                return call.more(text(function.get("arguments")) or "")
            case "tool-call-end":
                call = self._calls.get(_key(at))
                return call.end() if call else []
            case "citation-start":
                return _sources([_first(message.get("citations"))])
            case "message-end":
                return self._finished(delta)
            case None if "message" in value or "error" in value:
                self.over = True
                return [ErrorEvent(error_object(value, error_status(value)))]
            case _:
                return []

    def _call_start(self, at: Any, call: Json) -> list[Event]:
        if self.over:
            return []
        function = obj(call.get("function"))
        name = text(function.get("name"))
        if not name:
            return self.fail("a tool call has no name")
        if _key(at) in self._calls:
            return self.fail("two tool calls have one index")
        index = len(self._calls)
        self._calls[_key(at)] = new = _Call(index)
        id = text(call.get("id")) or native.call_id(index, name)
        return [ToolCallStart(index, id, name), *new.more(text(function.get("arguments")) or "")]

    def _finished(self, end: Json) -> list[Event]:
        """`finish_reason` and `usage`, which a stream has in its last event."""
        given = end.get("finish_reason")
        if not isinstance(given, str):
            return []
        self.over = True
        events = [event for call in self._calls.values() for event in call.end()]
        if given in _FAILED:
            said = text(end.get("error")) or f"Cohere ended the answer with {given}."
            code = text(end.get("error_type")) or given
            return [*events, ErrorEvent(ApiError(_FAILED[given], said, code=code.lower()))]
        reason = _FINISH.get(given, "content_filter")
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        if reason == "content_filter":
            events.append(Extra({"native_finish_reason": given}, 0))
        events.append(Finish(reason))
        return events + _usage(obj(end.get("usage")))


# --------------------------------------------------------------------------- parts


def _content(block: Json) -> list[Event]:
    return _delta(ReasoningDelta, block.get("thinking")) + _delta(TextDelta, block.get("text"))


def _delta(kind: type[TextDelta | ReasoningDelta], piece: Any) -> list[Event]:
    return [kind(found)] if (found := text(piece)) else []


def _put_logprobs(events: list[Event], given: list[Any]) -> None:
    """Puts the log probabilities on the last piece of text, where there is one."""
    tokens = [token for item in given if (token := _token(obj(item)))]
    for at in range(len(events) - 1, -1, -1):
        event = events[at]
        if tokens and isinstance(event, TextDelta):
            events[at] = TextDelta(event.text, logprobs={"content": tokens, "refusal": None})
            return


def _token(item: Json) -> Json | None:
    """Cohere tells the tokens of a piece of text by number only: the piece stands for them."""
    piece, found = text(item.get("text")), items(item.get("logprobs"))
    numbers = [n for n in found if isinstance(n, int | float)]
    if piece is None or not numbers:
        return None
    raw = list(piece.encode("utf-8", "replace"))
    return {"token": piece, "logprob": sum(numbers), "bytes": raw, "top_logprobs": []}


def _sources(found: list[Json]) -> list[Event]:
    """Citations as Cohere gives them, and those with an address as annotations too."""
    cited = [citation for citation in found if citation]
    pairs = [(citation, source) for citation in cited for source in items(citation.get("sources"))]
    links = tuple(link for pair in pairs if (link := _url_citation(*pair)))
    events: list[Event] = [Annotations(links)] if links else []
    return [*events, Extra({"citations": cited}, 0)] if cited else events


def _url_citation(citation: Json, source: Any) -> Json | None:
    """OpenAI's annotation, for sources that have an address."""
    fields = obj(source)
    where = obj(fields.get("tool_output") or fields.get("document"))
    url = text(where.get("url"))
    if url is None:
        return None
    link = {
        "url": url,
        "title": text(where.get("title")) or url,
        "start_index": count(citation.get("start")) or 0,
        "end_index": count(citation.get("end")) or 0,
    }
    return {"type": "url_citation", "url_citation": link}


def _usage(value: Json) -> list[Event]:
    """`tokens`, not `billed_units`: those leave out what Cohere adds to the prompt.

    `input_tokens` leaves out the tokens of images, `output_tokens` includes those of thinking.
    """
    tokens = obj(value.get("tokens") or value.get("billed_units"))
    read, written = count(tokens.get("input_tokens")), count(tokens.get("output_tokens"))
    if read is None and written is None:
        return []
    read = (read or 0) + (count(tokens.get("image_tokens")) or 0)
    cached = count(value.get("cached_tokens"))
    thought = count(tokens.get("reasoning_tokens"))
    return [UsageEvent(usage(read, written or 0, cached=cached, reasoning=thought))]


def _key(index: Any) -> int | str:
    """Deltas belong to the call with their index."""
    return index if isinstance(index, int | str) else ""


def _first(value: Any) -> Json:
    """Deltas hold one object; older documents show a list of one."""
    found = items(value)
    return obj(found[0] if found else value)
