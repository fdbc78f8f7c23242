"""Client bytes -> requests: lenient where the provider judges, strict where we translate."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.errors import BadRequest
from reflex_core.inbound import MAX_DEPTH, parse, prompt, uses_functions
from reflex_core.types import (
    Message,
    Prompt,
    ResponseFormat,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)

HI: list[Any] = [{"role": "user", "content": "Hi"}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


def typed(**fields: Any) -> Prompt:
    return prompt(parse(orjson.dumps({"model": "m", "messages": HI, **fields})))


def refused(**fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        typed(**fields)
    assert caught.value.error.status == 400
    return caught.value


def message(**fields: Any) -> Message:
    """The last of several messages."""
    return typed(messages=[*HI, fields]).messages[-1]


# ---------------------------------------------------------------------- parse


def test_raw_and_body_are_kept() -> None:
    raw = b'{ "model":"m", "messages":[], "unknown": 1e400 }'.replace(b"1e400", b"7")
    request = parse(raw)
    assert request.raw is raw
    assert request.body == {"model": "m", "messages": [], "unknown": 7}
    assert (request.model, request.stream, request.include_usage) == ("m", False, False)


@pytest.mark.parametrize(
    ("fields", "stream", "usage"),
    [
        ({"stream": True}, True, False),
        ({"stream": "yes"}, False, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, True, True),
        ({"stream": True, "stream_options": {"include_usage": 1}}, True, False),
        ({"stream": True, "stream_options": "x"}, True, False),
    ],
)
def test_how_it_is_answered(fields: dict[str, Any], stream: bool, usage: bool) -> None:
    request = parse(orjson.dumps({"model": "m", **fields}))
    assert (request.stream, request.include_usage) == (stream, usage)


def test_the_model_may_stand_in_the_path() -> None:
    assert parse(b"{}", "deployment").model == "deployment"
    assert parse(b'{"model": "m"}', "deployment").model == "m"


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b"null", None),
        (b'{"model": "\xff"}', None),
        (b"[" * 5000, None),
        (b"{}", "model"),
        (b'{"model": ""}', "model"),
        (b'{"model": 5}', "model"),
    ],
)
def test_what_cannot_be_read(raw: bytes, param: str | None) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(raw)
    assert (caught.value.error.status, caught.value.error.param) == (400, param)


@given(st.binary())
def test_any_bytes(raw: bytes) -> None:
    try:
        request = parse(raw)
    except BadRequest:
        return
    assert request.body == orjson.loads(raw)


# ---------------------------------------------------------------------- prompt


def test_nothing_said_is_none() -> None:
    assert typed() == Prompt("m", (Message("user", (TextPart("Hi"),), path="messages[0]"),))


def test_every_field() -> None:
    schema = {"type": "object"}
    seen = typed(
        tools=[{"type": "function", "function": {"name": "f", "parameters": schema}}],
        tool_choice={"type": "function", "function": {"name": "f"}},
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        max_tokens=5,
        temperature=0,
        top_p=0.5,
        stop="\n",
        seed=-3,
        n=2.0,
        presence_penalty=-2,
        frequency_penalty=2,
        reasoning_effort="low",
        user="u",
        metadata={"a": "b"},
        logprobs=True,
        top_logprobs=4,
        stream=True,
        stream_options={"include_usage": True},
        logit_bias={"1": 2},
        store=None,
    )
    assert seen.tools == (Tool("f", parameters=schema),)
    assert seen.tool_choice == ToolChoice("named", "f")
    assert seen.parallel_tool_calls is False
    assert seen.response_format == ResponseFormat("json_schema", "n", schema)
    assert (seen.max_tokens, seen.temperature, seen.top_p, seen.stop) == (5, 0, 0.5, ("\n",))
    assert (seen.seed, seen.n, seen.presence_penalty, seen.frequency_penalty) == (-3, 2, -2, 2)
    assert (seen.reasoning_effort, seen.user, seen.metadata) == ("low", "u", {"a": "b"})
    assert (seen.logprobs, seen.top_logprobs, seen.stream) == (True, 4, True)
    assert seen.extra == {"logit_bias": {"1": 2}}, "fields without an attribute, and only those set"


def test_the_newer_limit_counts() -> None:
    assert typed(max_tokens=5, max_completion_tokens=7).max_tokens == 7
    assert typed(max_tokens=5, max_completion_tokens=None).max_tokens == 5


def test_stop_and_choices() -> None:
    assert typed(stop=["a", "b"]).stop == ("a", "b")
    assert [typed(tool_choice=c).tool_choice for c in ("auto", "none", "required")] == [
        ToolChoice("auto"),
        ToolChoice("none"),
        ToolChoice("required"),
    ]
    assert typed(response_format={"type": "text"}).response_format == ResponseFormat("text")
    assert typed(response_format={"type": "json_object"}).response_format == ResponseFormat(
        "json_object"
    )


def test_legacy_functions() -> None:
    request = parse(
        orjson.dumps(
            {
                "model": "m",
                "messages": [
                    *HI,
                    {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
                    {"role": "function", "name": "f", "content": "42"},
                ],
                "functions": [{"name": "f"}],
                "function_call": {"name": "f"},
            }
        )
    )
    seen = prompt(request)
    assert uses_functions(request)
    assert seen.tools == (Tool("f"),)
    assert seen.tool_choice == ToolChoice("named", "f")
    assert seen.messages[1].tool_calls == (ToolCall("call_f", "f", "{}"),)
    assert (seen.messages[2].role, seen.messages[2].tool_call_id) == ("tool", "call_f")
    assert not uses_functions(parse(b'{"model": "m", "functions": [1], "tools": [1]}'))


# ---------------------------------------------------------------------- messages


def test_roles() -> None:
    for role in ("system", "developer", "user"):
        assert message(role=role, content="x").role == role
    assert message(role="assistant").parts == ()
    assert message(role="assistant", content="").parts == ()
    assert message(role="user", content="").parts == (TextPart(""),)
    assert message(role="assistant", content="a", refusal="b").text == "ab"
    assert message(role="assistant", reasoning_content="r", content="a").reasoning == "r"
    assert message(role="tool", tool_call_id="c", content="42").tool_call_id == "c"
    assert message(role="user", name="Ada", content="x").name == "Ada"
    assert message(role="user", content="x").path == "messages[1]"


def test_calls() -> None:
    bare = {"function": {"name": "g"}}
    seen = message(role="assistant", tool_calls=[CALL, bare])
    assert seen.tool_calls == (ToolCall("call_1", "f", '{"a": 1}'), ToolCall("call_1_1", "g", "{}"))


# ---------------------------------------------------------------------- refusals


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def tool(**function: Any) -> list[Any]:
    return [{"type": "function", "function": function}]


def user(*content: Any) -> list[Any]:
    return [{"role": "user", "content": [*content]}]


def assistant(**fields: Any) -> list[Any]:
    return [{"role": "assistant", **fields}]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": None}, "messages"),
    ({"messages": "x"}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": ["x"]}, "messages[0]"),
    ({"messages": [{"content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": ["user"]}]}, "messages[0].role"),
    ({"messages": [{"role": "boss", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": "x", "name": 7}]}, "messages[0].name"),
    ({"messages": [*HI, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id"),
    ({"messages": [*HI, {"role": "function", "content": "x"}]}, "messages[1].name"),
    ({"messages": user({"type": "video"})}, "messages[0].content[0].type"),
    ({"messages": user({"type": "text"})}, "messages[0].content[0].text"),
    ({"messages": assistant(tool_calls="x")}, "messages[0].tool_calls"),
    ({"messages": assistant(tool_calls=["x"])}, "messages[0].tool_calls[0]"),
    ({"messages": assistant(tool_calls=[{}])}, "messages[0].tool_calls[0].function"),
    (
        {"messages": assistant(tool_calls=[{"function": {}}])},
        "messages[0].tool_calls[0].function.name",
    ),
    (
        {"messages": assistant(tool_calls=[{"function": {"name": "f", "arguments": "{"}}])},
        "messages[0].tool_calls[0].function.arguments",
    ),
    (
        {"messages": assistant(tool_calls=[{"function": {"name": "f", "arguments": "[]"}}])},
        "messages[0].tool_calls[0].function.arguments",
    ),
    ({"messages": assistant(function_call={})}, "messages[0].function_call.name"),
    ({"messages": assistant(refusal=7)}, "messages[0].refusal"),
    ({"tools": {}}, "tools"),
    ({"tools": ["x"]}, "tools[0]"),
    ({"tools": [{"type": "custom"}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": tool()}, "tools[0].function.name"),
    ({"tools": tool(name="f", strict="x")}, "tools[0].function.strict"),
    ({"tools": tool(name="f", description=1)}, "tools[0].function.description"),
    ({"tools": tool(name="f", parameters=[])}, "tools[0].function.parameters"),
    ({"tools": tool(name="f", parameters=deep(MAX_DEPTH + 1))}, "tools[0].function"),
    ({"functions": [{}]}, "functions[0].name"),
    ({"tool_choice": "maybe"}, "tool_choice"),
    ({"tool_choice": {"type": "custom"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "function"}}, "tool_choice.function.name"),
    ({"function_call": {}}, "function_call.name"),
    ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": []}}},
        "response_format.json_schema.schema",
    ),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_completion_tokens": True}, "max_completion_tokens"),
    ({"temperature": 2.5}, "temperature"),
    ({"temperature": "warm"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": -0.1}, "top_p"),
    ({"stop": 7}, "stop"),
    ({"stop": ["a", 7]}, "stop[1]"),
    ({"seed": "x"}, "seed"),
    ({"n": 0}, "n"),
    ({"presence_penalty": 3}, "presence_penalty"),
    ({"frequency_penalty": "x"}, "frequency_penalty"),
    ({"reasoning_effort": "huge"}, "reasoning_effort"),
    ({"reasoning_effort": ["low"]}, "reasoning_effort"),
    ({"user": 7}, "user"),
    ({"metadata": []}, "metadata"),
    ({"metadata": deep(MAX_DEPTH + 1)}, "metadata"),
    ({"logprobs": "x"}, "logprobs"),
    ({"top_logprobs": -1}, "top_logprobs"),
    ({"stream": "x"}, "stream"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG, ids=lambda value: str(value)[:60])
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    error = refused(**fields).error
    assert error.param == param
    assert f"'{param}'" in error.message


def test_as_deep_as_allowed() -> None:
    assert typed(tools=tool(name="f", parameters=deep(MAX_DEPTH - 2))).tools[0].parameters


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.floats(-3, 3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = sorted({name for fields, _ in WRONG for name in fields})


def typed_or_param(**fields: Any) -> Prompt | str:
    try:
        return typed(**fields)
    except BadRequest as error:
        return error.error.param or ""


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_any_json(fields: dict[str, Any]) -> None:
    """It is typed, or one field is named."""
    seen = typed_or_param(**fields)
    if isinstance(seen, str):
        assert seen.partition("[")[0].partition(".")[0] in fields
    else:
        assert seen.messages


@given(st.lists(st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "name"]), JSON)))
def test_any_messages(messages: list[Any]) -> None:
    for one in messages:
        one.setdefault("role", "user")
    seen = typed_or_param(messages=messages)
    if isinstance(seen, str):
        assert seen.startswith("messages")
    else:
        assert [m.path for m in seen.messages] == [f"messages[{i}]" for i in range(len(messages))]
