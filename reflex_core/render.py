"""Events or a Completion -> the bytes an OpenAI client reads.

Source: platform.openai.com/docs/api-reference/chat-streaming. One id and one created for an answer,
the role in a choice's first chunk, an empty delta in the finish chunk, then the usage chunk (with
`choices: []`) when asked for, then `data: [DONE]`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import orjson

from . import sse
from .types import (
    Annotations,
    Choice,
    Completion,
    ErrorEvent,
    Event,
    Extra,
    Finish,
    Json,
    Ping,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
)


class ChunkRenderer:
    """Renders one answer for one streaming reader, event by event.

    With `legacy_functions` (the request used `functions`) the first tool call is rendered as
    `function_call`, and further ones, which that protocol has no place for, are left out.
    """

    def __init__(
        self,
        id: str,
        created: int,
        model: str,
        include_usage: bool,
        legacy_functions: bool = False,
    ) -> None:
        self._head: Json = {
            "id": id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._include_usage = include_usage
        self._legacy = legacy_functions
        self._roles = 0
        self._listed: dict[tuple[int, str], int] = {}
        self._usage: Json | None = None
        self._failed = False

    def feed(self, event: Event) -> bytes:
        """The frames for one event, possibly none."""
        if self._failed:
            return b""
        match event:
            case TextDelta(text, choice, logprobs):
                return self._delta(choice, {"content": text}, logprobs)
            case ReasoningDelta(text, choice):
                return self._delta(choice, {"reasoning_content": text})
            case ToolCallStart(index, id, name, choice):
                return self._call(choice, index, {"name": name, "arguments": ""}, id)
            case ToolCallDelta(index, arguments, choice):
                return self._call(choice, index, {"arguments": arguments})
            case RefusalDelta(text, choice, logprobs):
                return self._delta(choice, {"refusal": text}, logprobs)
            case Annotations(items, choice):
                return self._delta(choice, self._indexed(choice, {"annotations": [*items]}))
            case Finish(reason, choice):
                legacy = self._legacy and reason == "tool_calls"
                return self._delta(choice, {}, None, "function_call" if legacy else reason)
            case UsageEvent(usage):
                self._usage = usage
            case Extra(fields, choice):
                if choice is None:
                    return self._chunk([], fields)
                return self._delta(choice, self._indexed(choice, fields))
            case Start():
                if event.system_fingerprint:
                    self._head["system_fingerprint"] = event.system_fingerprint
                if event.service_tier:
                    self._head["service_tier"] = event.service_tier
            case Ping(text):
                return sse.comment(text)
            case ErrorEvent(error):
                self._failed = True
                return sse.encode(error.to_json())
        return b""

    def finish(self) -> bytes:
        """The usage chunk when asked for, and `[DONE]`; after an error nothing."""
        if self._failed:
            return b""
        if self._include_usage and self._usage is not None:
            return self._chunk([], {"usage": self._usage}) + sse.DONE
        return sse.DONE

    def _call(self, choice: int, index: int, function: Json, id: str | None = None) -> bytes:
        if self._legacy:
            return b"" if index else self._delta(choice, {"function_call": function})
        call: Json = {"index": index, "function": function}
        if id is not None:
            call |= {"id": id, "type": "function"}
        return self._delta(choice, {"tool_calls": [call]})

    def _indexed(self, choice: int, fields: Json) -> Json:
        """Numbers the items of lists: the openai SDK refuses to add to a list without `index`."""
        out: Json = {}
        for name, value in fields.items():
            if isinstance(value, list):
                items = cast(list[Any], value)
                first = self._listed.get((choice, name), 0)
                self._listed[choice, name] = first + len(items)
                out[name] = [
                    {"index": at, **cast(Json, item)} if isinstance(item, dict) else item
                    for at, item in enumerate(items, first)
                ]
            else:
                out[name] = value
        return out

    def _delta(
        self, choice: int, delta: Json, logprobs: Json | None = None, reason: str | None = None
    ) -> bytes:
        first = b""
        # In order of index, whichever speaks first: the openai SDK cannot start with choice 1.
        for index in range(self._roles, choice + 1):
            role = {"role": "assistant", "content": ""}
            first += self._chunk([{"index": index, "delta": role, "finish_reason": None}])
        self._roles = max(self._roles, choice + 1)
        item: Json = {"index": choice, "delta": delta, "finish_reason": reason}
        if logprobs is not None:
            item["logprobs"] = logprobs
        return first + self._chunk([item])

    def _chunk(self, choices: list[Json], more: Json | None = None) -> bytes:
        body = {**self._head, "choices": choices}
        if self._include_usage:
            body["usage"] = None
        if more:
            body.update(more)
        return b"data: " + orjson.dumps(body) + b"\n\n"


def events_of(completion: Completion) -> Iterable[Event]:
    """The events that fold back into `completion`."""
    if completion.system_fingerprint or completion.service_tier:
        yield Start(
            system_fingerprint=completion.system_fingerprint, service_tier=completion.service_tier
        )
    for choice in completion.choices:
        yield from _choice_events(choice)
    if completion.extra:
        yield Extra(completion.extra)
    if completion.usage is not None:
        yield UsageEvent(completion.usage)


def _choice_events(choice: Choice) -> Iterable[Event]:
    logprobs, at = choice.logprobs, choice.index
    if choice.reasoning:
        yield ReasoningDelta(choice.reasoning, at)
    if choice.refusal:
        yield RefusalDelta(choice.refusal, at, logprobs if choice.content is None else None)
    if choice.content is not None or (logprobs and not choice.refusal):
        yield TextDelta(choice.content or "", at, logprobs)
    if choice.annotations:
        yield Annotations(choice.annotations, at)
    if choice.extra:
        yield Extra(choice.extra, at)
    for index, call in enumerate(choice.tool_calls):
        yield ToolCallStart(index, call.id, call.name, at)
        if call.arguments:
            yield ToolCallDelta(index, call.arguments, at)
    if choice.finish_reason:
        yield Finish(choice.finish_reason, at)  # type: ignore[arg-type]


def completion_sse(
    completion: Completion, include_usage: bool, legacy_functions: bool = False
) -> bytes:
    """A stored answer as a whole event stream."""
    renderer = ChunkRenderer(
        completion.id,
        completion.created,
        completion.model,
        include_usage,
        legacy_functions,
    )
    out = [renderer.feed(event) for event in events_of(completion)]
    return b"".join(out) + renderer.finish()


def completion_json(completion: Completion, legacy_functions: bool = False) -> bytes:
    """A stored answer as a `chat.completion` object."""
    body: Json = {
        "id": completion.id,
        "object": "chat.completion",
        "created": completion.created,
        "model": completion.model,
        "choices": [_choice_json(choice, legacy_functions) for choice in completion.choices],
    }
    if completion.usage is not None:
        body["usage"] = completion.usage
    if completion.service_tier:
        body["service_tier"] = completion.service_tier
    if completion.system_fingerprint:
        body["system_fingerprint"] = completion.system_fingerprint
    for name, value in completion.extra.items():
        body.setdefault(name, value)
    return orjson.dumps(body)


def _choice_json(choice: Choice, legacy: bool) -> Json:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": choice.content,
        "refusal": choice.refusal,
    }
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if choice.tool_calls and legacy:
        call = choice.tool_calls[0]
        message["function_call"] = {"name": call.name, "arguments": call.arguments}
    elif calls := [_call_json(call) for call in choice.tool_calls] + _custom_calls(choice):
        message["tool_calls"] = calls
    if choice.annotations:
        message["annotations"] = list(choice.annotations)
    for name, value in choice.extra.items():
        message.setdefault(name, value)
    return {
        "index": choice.index,
        "message": message,
        "logprobs": choice.logprobs,
        "finish_reason": "function_call"
        if legacy and choice.finish_reason == "tool_calls"
        else choice.finish_reason,
    }


def _custom_calls(choice: Choice) -> list[Json]:
    """Calls of OpenAI's custom tools, which codecs leave in `extra` as the stream's items."""
    calls = cast(list[Json], choice.extra.get("tool_calls", []))
    return [{name: value for name, value in call.items() if name != "index"} for call in calls]


def _call_json(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}
