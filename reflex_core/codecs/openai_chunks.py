"""Objects of an OpenAI-compatible answer (chunks, or one whole completion) -> events.

Source: platform.openai.com/docs/api-reference/chat, and what compatible hosts send beside it: see
docs/providers.md.
"""

from __future__ import annotations

from typing import Any, cast

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
    RefusalDelta,
    Start,
    TextDelta,
    UsageEvent,
)
from .common import bad_answer, cut_answer, error_object, error_status, integer
from .openai_fields import (
    CHOICE_FIELDS,
    CHUNK_FIELDS,
    DELTA_FIELDS,
    FAILED,
    FINISH,
    content,
    member,
    news,
    objects,
    reasoning,
    string,
    token_logprobs,
)
from .openai_tools import ToolCalls
from .openai_usage import openai_usage

MAX_CHOICES = 1024
"""OpenAI allows 128; a larger index is garbage."""


class _Choice:
    __slots__ = ("answered", "finish", "seen", "tools")

    def __init__(self, tools: ToolCalls) -> None:
        self.tools = tools
        self.answered = False
        self.finish: FinishReason | None = None
        self.seen: Json = {}


class AnswerReader:
    """Reads the objects of one answer in order. It never raises.

    `seed` makes the ids of tool calls that came without one. With `hold_finish`, finish reasons
    come at the end, for hosts that go on after sending one.
    """

    def __init__(self, seed: bytes, *, hold_finish: bool = False) -> None:
        self._seed = seed
        self._hold = hold_finish
        self._start: Start | None = None
        self._choices: dict[int, _Choice] = {}
        self._seen: Json = {}
        self._usage: Json | None = None
        self.ended = False

    def chunk(self, value: Json, *, whole: bool = False) -> list[Event]:
        """Events of one chunk, or of a `whole` completion."""
        if self.ended:
            return []
        if error := find_error(value):
            return self.fail(error)
        items = value.get("choices")
        if not isinstance(items, list) and not isinstance(value.get("usage"), dict):
            return [Ping("ignored event")]
        events = self._head(value)
        for item in cast(list[Any], items) if isinstance(items, list) else []:
            if isinstance(item, dict):
                events += self._choice(cast(Json, item), whole)
        events += _extra(news(value, CHUNK_FIELDS, self._seen), None)
        events += self._used(value.get("usage") or member(value, "x_groq").get("usage"))
        events = _upto_error(events)
        self.ended = bool(events) and isinstance(events[-1], ErrorEvent)
        return events

    def end(self, *, complete: bool) -> list[Event]:
        """What the end brings. `complete` says that the protocol's own end mark was seen."""
        if self.ended:
            return []
        self.ended = True
        events: list[Event] = []
        for index, choice in self._choices.items():
            if choice.finish is None and complete and (choice.answered or choice.tools):
                choice.finish = "tool_calls" if choice.tools else "stop"
                events += self._close(index, choice)
            elif choice.finish is not None:
                events += self._close(index, choice) if self._hold else choice.tools.close()
        if not self._choices:
            events.append(ErrorEvent(bad_answer("no choices") if complete else cut_answer()))
        elif any(choice.finish is None for choice in self._choices.values()):
            events.append(ErrorEvent(cut_answer()))
        return _upto_error(events)

    def fail(self, error: ApiError) -> list[Event]:
        """The answer failed."""
        if self.ended:
            return []
        self.ended = True
        return [ErrorEvent(error)]

    def _head(self, value: Json) -> list[Event]:
        head = Start(
            id=string(value, "id"),
            model=string(value, "model"),
            created=integer(value.get("created")),
            system_fingerprint=string(value, "system_fingerprint"),
            service_tier=string(value, "service_tier"),
        )
        old = self._start
        if old is None:
            if not head.id and not value.get("choices"):
                return []
        elif head.system_fingerprint in (None, old.system_fingerprint) and head.service_tier in (
            None,
            old.service_tier,
        ):
            return []
        self._start = Start(
            id=(old and old.id) or head.id,
            model=(old and old.model) or head.model,
            created=(old and old.created) or head.created,
            system_fingerprint=head.system_fingerprint or (old and old.system_fingerprint),
            service_tier=head.service_tier or (old and old.service_tier),
        )
        return [self._start]

    def _choice(self, item: Json, whole: bool) -> list[Event]:
        index = item.get("index")
        at = index if type(index) is int else 0
        if not 0 <= at < MAX_CHOICES:
            return [ErrorEvent(bad_answer(f"choice index {index}"))]
        choice = self._choices.get(at)
        if choice is None:
            choice = self._choices[at] = _Choice(ToolCalls(self._seed, at))
        events: list[Event] = []
        part = item.get("message" if whole else "delta")
        if isinstance(part, dict):
            events += self._part(choice, at, cast(Json, part), item.get("logprobs"), whole)
        events += _extra(news(item, CHOICE_FIELDS, choice.seen), at)
        events += self._used(item.get("usage"))
        return events + self._finish(choice, at, item)

    def _part(self, choice: _Choice, at: int, delta: Json, probs: Any, whole: bool) -> list[Event]:
        """A delta, or the message of a whole completion."""
        events: list[Event] = []
        thought, said, others = content(delta.get("content"))
        thought = reasoning(delta) or thought
        refusal = string(delta, "refusal")
        tokens = token_logprobs(probs)
        if thought:
            events.append(ReasoningDelta(thought, at))
        if refusal:
            events.append(RefusalDelta(refusal, at, None if said else tokens))
        if said or (tokens and not refusal):
            events.append(TextDelta(said, at, tokens))
        choice.answered = choice.answered or bool(said or refusal)
        annotations = objects(delta.get("annotations"))
        if annotations:
            events.append(Annotations(tuple(annotations), at))
        if others:
            events.append(Extra({"content_parts": others}, at))
        events += _extra(news(delta, DELTA_FIELDS, choice.seen, pieces=not whole), at)
        calls = objects(delta.get("tool_calls"))
        for place, call in enumerate(calls):
            events += choice.tools.delta(call, place if whole else None)
        legacy = delta.get("function_call")
        if isinstance(legacy, dict) and not calls:
            events += choice.tools.legacy(cast(Json, legacy))
        return events

    def _finish(self, choice: _Choice, at: int, item: Json) -> list[Event]:
        reason = item.get("finish_reason") or member(item, "finish_details").get("type")
        if not isinstance(reason, str) or choice.finish is not None:
            return []
        if reason in FAILED:
            message = f"The provider ended the answer early: {reason}."
            return [ErrorEvent(ApiError(502, message, code=reason))]
        choice.finish = FINISH.get(reason, "stop")
        events: list[Event] = []
        if reason not in FINISH:
            events.append(Extra({"native_finish_reason": reason}, at))
        return events if self._hold else events + self._close(at, choice)

    def _close(self, at: int, choice: _Choice) -> list[Event]:
        assert choice.finish is not None
        events = choice.tools.close()
        if not choice.answered and not choice.tools:
            events.append(TextDelta("", at))
        return [*events, Finish(choice.finish, at)]

    def _used(self, value: Any) -> list[Event]:
        usage = openai_usage(value)
        if usage is None or usage == self._usage:
            return []
        self._usage = usage
        return [UsageEvent(usage)]


# --------------------------------------------------------------------------- errors

_MINIMAX = {1002: 429, 1004: 401, 1008: 429, 1027: 400, 1039: 429, 2013: 400}
"""`base_resp.status_code` of MiniMax, which answers 200 with it (platform.minimax.io, error codes)."""


def find_error(value: Json) -> ApiError | None:
    """The error that a chunk or a 200 answer carries, if any."""
    if value.get("error") or value.get("object") == "error":
        return error_object(value, error_status(value))
    base = member(value, "base_resp")
    code = base.get("status_code")
    if type(code) is int and code:
        message = string(base, "status_msg") or "The provider failed."
        return ApiError(_MINIMAX.get(code, 502), message, code=str(code))
    if "choices" not in value and (string(value, "message") or value.get("detail")):
        return error_object(value, error_status(value))
    return None


def _extra(fields: Json, choice: int | None) -> list[Event]:
    return [Extra(fields, choice)] if fields else []


def _upto_error(events: list[Event]) -> list[Event]:
    for at, event in enumerate(events):
        if isinstance(event, ErrorEvent):
            return events[: at + 1]
    return events
