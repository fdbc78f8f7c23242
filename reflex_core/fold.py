"""Events -> Completion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from .errors import ApiError
from .types import (
    Annotations,
    Choice,
    Completion,
    ErrorEvent,
    Event,
    Extra,
    Finish,
    Json,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
)


@dataclass(slots=True)
class _Choice:
    content: list[str] = field(default_factory=list[str])
    reasoning: list[str] = field(default_factory=list[str])
    refusal: list[str] = field(default_factory=list[str])
    calls: dict[int, tuple[str, str, list[str]]] = field(
        default_factory=dict[int, tuple[str, str, list[str]]]
    )
    logprobs: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    annotations: list[Json] = field(default_factory=list[Json])
    finish_reason: str | None = None
    extra: Json = field(default_factory=dict[str, Any])


class Folder:
    """Folds the events of one answer. `id`, `created` and `model` are those the client is shown."""

    def __init__(self, id: str, created: int, model: str) -> None:
        self.id = id
        self.created = created
        self.model = model
        self.error: ApiError | None = None
        self.usage: Json | None = None
        self._system_fingerprint: str | None = None
        self._service_tier: str | None = None
        self._choices: dict[int, _Choice] = {}
        self._extra: Json = {}

    def feed(self, event: Event) -> None:
        """Take one event. After an ErrorEvent, `error` is set."""
        match event:
            case TextDelta(text, choice, logprobs):
                part = self._choice(choice)
                part.content.append(text)
                _add_logprobs(part, logprobs)
            case ReasoningDelta(text, choice):
                self._choice(choice).reasoning.append(text)
            case ToolCallStart(index, id, name, choice):
                self._choice(choice).calls[index] = (id, name, [])
            case ToolCallDelta(index, arguments, choice):
                self._choice(choice).calls[index][2].append(arguments)
            case RefusalDelta(text, choice, logprobs):
                part = self._choice(choice)
                part.refusal.append(text)
                _add_logprobs(part, logprobs)
            case Annotations(items, choice):
                self._choice(choice).annotations.extend(items)
            case Finish(reason, choice):
                self._choice(choice).finish_reason = reason
            case UsageEvent(usage):
                self.usage = usage
            case Extra(fields, choice):
                merge_extra(self._extra if choice is None else self._choice(choice).extra, fields)
            case Start():
                self._system_fingerprint = event.system_fingerprint or self._system_fingerprint
                self._service_tier = event.service_tier or self._service_tier
            case ErrorEvent(error):
                self.error = error
            case _:
                pass

    def completion(self) -> Completion:
        """What has been folded so far."""
        return Completion(
            id=self.id,
            created=self.created,
            model=self.model,
            choices=tuple(_freeze(i, c) for i, c in sorted(self._choices.items())),
            usage=self.usage,
            system_fingerprint=self._system_fingerprint,
            service_tier=self._service_tier,
            extra=self._extra,
        )

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        return choice


def _add_logprobs(choice: _Choice, logprobs: Json | None) -> None:
    for name, items in (logprobs or {}).items():
        if items:
            choice.logprobs.setdefault(name, []).extend(items)


def merge_extra(into: Json, fields: Json) -> None:
    """Lists add up, dictionaries merge, other values replace; pieces of spoken audio join."""
    for name, value in fields.items():
        old = into.get(name)
        if isinstance(old, list) and isinstance(value, list):
            into[name] = [*old, *value]
        elif isinstance(old, dict) and isinstance(value, dict):
            into[name] = {**old, **(_joined_audio(old, value) if name == "audio" else value)}
        else:
            into[name] = value


def _joined_audio(old: Json, piece: Json) -> Json:
    """A delta's `audio`: its base64 data and transcript go on where the last ones ended."""
    joined = {
        part: old[part] + piece[part]
        for part in ("data", "transcript")
        if isinstance(old.get(part), str) and isinstance(piece.get(part), str)
    }
    return {**piece, **joined}


def _freeze(index: int, choice: _Choice) -> Choice:
    return Choice(
        index=index,
        content="".join(choice.content) if choice.content else None,
        reasoning="".join(choice.reasoning) or None,
        refusal="".join(choice.refusal) or None,
        tool_calls=tuple(
            ToolCall(id, name, "".join(arguments))
            for _, (id, name, arguments) in sorted(choice.calls.items())
        ),
        logprobs=dict(choice.logprobs) or None,
        annotations=tuple(choice.annotations),
        finish_reason=choice.finish_reason,
        extra=choice.extra,
    )


def add_usage(first: Json, second: Json) -> Json:
    """The tokens of two calls for one answer, added up field by field."""
    total = dict(first)
    for name, value in second.items():
        old = total.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            total[name] = add_usage(cast(Json, old), cast(Json, value))
        elif isinstance(old, int | float) and isinstance(value, int | float):
            total[name] = old + value
        else:
            total[name] = value
    return total
