from __future__ import annotations

from typing import Any

import pytest

from reflex_core.codecs.openai_tools import ToolCalls
from reflex_core.types import ErrorEvent, Event, Extra, ToolCallDelta, ToolCallStart


def item(
    index: int | None = 0, id: str | None = None, name: str | None = None, arguments: Any = None
) -> dict[str, Any]:
    out: dict[str, Any] = {"function": {"name": name, "arguments": arguments}, "id": id}
    return out if index is None else {"index": index, **out}


def read(*items: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(id, name, arguments) of the calls that these deltas make."""
    calls = ToolCalls(b"seed", 0)
    events = [event for one in items for event in calls.delta(one)] + calls.close()
    return joined(events)


def joined(events: list[Event]) -> list[tuple[str, str, str]]:
    out: list[tuple[str, str, str]] = []
    for event in events:
        match event:
            case ToolCallStart(index, id, name):
                assert index == len(out)
                out.append((id, name, ""))
            case ToolCallDelta(index, arguments):
                id, name, before = out[index]
                out[index] = (id, name, before + arguments)
            case _:
                raise AssertionError(event)
    return out


@pytest.mark.parametrize(
    ("items", "calls"),
    [
        (
            [item(0, "a", "f", ""), item(0, arguments="{"), item(0, arguments="}")],
            [("a", "f", "{}")],
        ),
        ([item(0, "a", "f", "{"), item(0, "a", "f", "}")], [("a", "f", "{}")]),
        ([item(0, "a", "f", "{"), item(0, "a", "", "}")], [("a", "f", "{}")]),
        ([item(0, "a"), item(0, None, "f"), item(0, arguments="{}")], [("a", "f", "{}")]),
        ([item(0, "a", None, "{"), item(0, None, "f", "}")], [("a", "f", "{}")]),
        ([item(0, "a", "f", "{}"), item(0, "b", "f", "{}")], [("a", "f", "{}"), ("b", "f", "{}")]),
        ([item(0, "a", "f", "{}"), item(1, "a", "g", "{}")], [("a", "f", "{}"), ("a", "g", "{}")]),
        (
            [
                item(0, "a", "f"),
                item(1, "b", "g"),
                item(0, arguments="[0]"),
                item(1, arguments="[1]"),
            ],
            [("a", "f", "[0]"), ("b", "g", "[1]")],
        ),
        ([item(7, "a", "f", "{}"), item(3, "b", "g", "{}")], [("a", "f", "{}"), ("b", "g", "{}")]),
        ([item(0, "a", "f", {"x": 1})], [("a", "f", '{"x":1}')]),
        ([item(0, "a", "f", None)], [("a", "f", "{}")]),
        ([item(None, "a", "f", "{"), item(None, None, None, "}")], [("a", "f", "{}")]),
        (
            [item(None, "a", "f", "{"), item(None, "b", "g", "{}"), item(None, "a", None, "}")],
            [("a", "f", "{}"), ("b", "g", "{}")],
        ),
        ([{"index": 0}], []),
    ],
)
def test_calls(items: list[dict[str, Any]], calls: list[tuple[str, str, str]]) -> None:
    assert read(*items) == calls


def test_the_same_name_again_without_ids_goes_on_until_the_arguments_are_whole() -> None:
    (first,) = read(item(0, None, "f", '{"a"'), item(0, None, "f", ":1}"))
    assert first[1:] == ("f", '{"a":1}')
    first, second = read(item(0, None, "f", "{}"), item(0, None, "f", "{}"))
    assert first[0] != second[0], "each call has its own id"


def test_whole_messages_go_by_position() -> None:
    calls = ToolCalls(b"seed", 0)
    same = item(None, "call", "f", "{}")
    events = [event for place in (0, 1) for event in calls.delta(same, place)]
    assert joined(events) == [("call", "f", "{}")] * 2


def test_made_ids_depend_on_request_and_place_only() -> None:
    def made(seed: bytes, choice: int) -> str:
        start = ToolCalls(seed, choice).delta(item(0, None, "f"))[0]
        assert isinstance(start, ToolCallStart)
        return start.id

    assert made(b"a", 0) == made(b"a", 0)
    assert len({made(b"a", 0), made(b"b", 0), made(b"a", 1)}) == 3


def test_a_call_without_a_name_is_an_error() -> None:
    calls = ToolCalls(b"seed", 0)
    assert calls.delta(item(0, "a", None, "{}")) == []
    assert not calls
    (error,) = calls.close()
    assert isinstance(error, ErrorEvent)


def test_arguments_after_the_end_are_not_added() -> None:
    calls = ToolCalls(b"seed", 0)
    calls.delta(item(0, "a", "f"))
    assert calls.close() == [ToolCallDelta(0, "{}")]
    assert calls.delta(item(0, arguments='{"late":1}')) == []
    assert calls.close() == []


def test_legacy_call() -> None:
    calls = ToolCalls(b"seed", 0)
    assert calls.legacy({"name": "", "arguments": ""}) == []
    assert not calls
    events = calls.legacy({"name": "f", "arguments": ""}) + calls.legacy({"arguments": "{}"})
    assert joined(events)[0][1:] == ("f", "{}")


def test_custom_calls_come_whole_behind_the_others() -> None:
    calls = ToolCalls(b"seed", 0)
    custom: dict[str, Any] = {"index": 0, "id": "q", "type": "custom"}
    assert calls.delta({**custom, "custom": {"name": "sql", "input": "sel"}}) == []
    assert calls.delta({"index": 0, "type": "custom", "custom": {"input": "ect"}}) == []
    calls.delta(item(1, "a", "f", "{}"))
    expected = {"name": "sql", "input": "select"}
    assert calls.close() == [
        Extra({"tool_calls": [{"index": 1, "id": "q", "type": "custom", "custom": expected}]}, 0)
    ]
