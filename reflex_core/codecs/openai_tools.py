"""Tool-call deltas of one choice -> ToolCallStart and ToolCallDelta events.

OpenAI: the first delta of an index has id and name, the rest argument pieces. Others send an index
twice with different ids (Cerebras), no index, no id, an empty name in a later delta (Mistral), the
name again in every delta, or arguments as an object.
"""

from __future__ import annotations

import hashlib
from typing import Any, cast

import orjson

from ..types import ErrorEvent, Event, Extra, Json, ToolCallDelta, ToolCallStart
from .common import bad_answer, parse_object


class _Call:
    __slots__ = ("arguments", "closed", "custom", "id", "index", "name")

    def __init__(self) -> None:
        self.index: int | None = None
        """Ours, once the start is out."""
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.custom = False
        self.closed = False


class ToolCalls:
    """The tool calls of one choice. `seed` and the place make an id where the host sends none."""

    def __init__(self, seed: bytes, choice: int) -> None:
        self._seed = seed
        self._choice = choice
        self._calls: list[_Call] = []
        self._by_index: dict[Any, _Call] = {}
        self._started = 0

    def __bool__(self) -> bool:
        return any(call.custom or call.index is not None for call in self._calls)

    def delta(self, item: Json, place: int | None = None) -> list[Event]:
        """One item of `tool_calls`. `place` is its position in a whole message."""
        custom = item.get("type") == "custom"
        body = item.get("custom" if custom else "function")
        fields = cast(Json, body) if isinstance(body, dict) else {}
        index = item.get("index") if place is None else ("whole", place)
        if not isinstance(index, int | tuple):
            index = None
        call = self._find(index, _text(item, "id"), _text(fields, "name"))
        call.custom = call.custom or custom
        call.id = call.id or _text(item, "id")
        call.name = call.name or _text(fields, "name")
        return self._arguments(call, fields.get("input" if custom else "arguments"))

    def legacy(self, fields: Json) -> list[Event]:
        """A `function_call`, which there is at most one of."""
        name = _text(fields, "name")
        call = self._by_index.get("legacy")
        if call is None:
            if not name:
                return []
            call = self._by_index["legacy"] = self._new()
        call.name = call.name or name
        return self._arguments(call, fields.get("arguments"))

    def close(self) -> list[Event]:
        """Ends all calls so far: a call without arguments gets `{}`, custom calls come out whole."""
        events: list[Event] = []
        for call in self._calls:
            if call.closed:
                continue
            call.closed = True
            if call.custom:
                events.append(self._custom(call))
            elif call.index is None and (call.id or call.arguments):
                return [*events, ErrorEvent(bad_answer("a tool call without a name"))]
            elif call.index is not None and not call.arguments:
                events.append(ToolCallDelta(call.index, "{}", self._choice))
        return events

    def _find(self, index: Any, id: str, name: str) -> _Call:
        if index is None:
            same_id = [call for call in self._calls if id and call.id == id]
            if same_id:
                return same_id[-1]
            return self._calls[-1] if self._calls and not (id or name) else self._new()
        call = self._by_index.get(index)
        if call is None or (name and self._another(call, id, name)):
            call = self._by_index[index] = self._new()
        return call

    def _another(self, call: _Call, id: str, name: str) -> bool:
        """Whether a delta with a name, at the index of `call`, begins a further call."""
        if id and call.id:
            return id != call.id
        if not call.name:
            return False
        return name != call.name or parse_object("".join(call.arguments).encode()) is not None

    def _new(self) -> _Call:
        call = _Call()
        self._calls.append(call)
        return call

    def _arguments(self, call: _Call, value: Any) -> list[Event]:
        if call.closed:
            return []
        text = value if isinstance(value, str) else ""
        if isinstance(value, dict | list):
            text = orjson.dumps(value).decode()
        if text:
            call.arguments.append(text)
        if call.custom or not call.name:
            return []
        if call.index is not None:
            return [ToolCallDelta(call.index, text, self._choice)] if text else []
        call.index = self._started
        self._started += 1
        call.id = call.id or self._make_id(call.index)
        events: list[Event] = [ToolCallStart(call.index, call.id, call.name, self._choice)]
        if call.arguments:
            events.append(ToolCallDelta(call.index, "".join(call.arguments), self._choice))
        return events

    def _custom(self, call: _Call) -> Extra:
        """OpenAI's custom tools have free text as input; they pass through as they are."""
        index = self._started
        self._started += 1
        item: Json = {
            "index": index,
            "id": call.id or self._make_id(index),
            "type": "custom",
            "custom": {"name": call.name, "input": "".join(call.arguments)},
        }
        return Extra({"tool_calls": [item]}, self._choice)

    def _make_id(self, index: int) -> str:
        place = f"{self._choice}.{index}".encode()
        return "call_" + hashlib.blake2b(self._seed, key=place, digest_size=12).hexdigest()


def _text(value: Json, name: str) -> str:
    text = value.get(name)
    return text if isinstance(text, str) else ""
