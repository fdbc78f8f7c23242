"""Thinking, structured output and ids: what Claude's parameters become."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reflex_core.codecs import get
from reflex_core.codecs.claude_params import safe_id
from reflex_core.errors import BadRequest
from tests.codecs.claude_requests import CALLED, RESULT, SONNET_45, TOOL, USER, tuned
from tests.codecs.oracle_contract import chat_request, target_for

# --------------------------------------------------------------------------- ids


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_safe_ids_stay_apart(one: str, other: str) -> None:
    first, second = safe_id(one, 64), safe_id(other, 64)
    assert (first == second) == (one == other)
    assert 1 <= len(first) <= 64
    assert safe_id(first, 64) == first


# --------------------------------------------------------------------------- any request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["object", "auto", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "items", "anyOf", "enum", "format", "required"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from(["top_k", "service_tier", "safety_identifier", "modalities"]),
    JSON,
)
MODELS = st.sampled_from([SONNET_45, "claude-opus-5-5", "claude-2.1", "amazon.nova-2-lite-v1:0"])


@settings(max_examples=50, deadline=None)
@given(FIELDS, st.dictionaries(st.sampled_from(["type", "properties", "$defs"]), JSON), MODELS)
def test_any_request_is_sent_or_refused(fields: Any, schema: Any, model: str) -> None:
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": schema}}
    request = chat_request(**fields, response_format=shape, tools=[tool])
    for name in ("anthropic-messages", "bedrock-converse"):
        codec, target = get(name), target_for(name, model=model)
        try:
            sent = codec.encode(request, target)
        except BadRequest:
            continue
        assert isinstance(json.loads(sent.body), dict)
        assert codec.decoder(request, target).finish()


# --------------------------------------------------------------------------- thinking


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "level"),
    [
        (SONNET_45, "minimal", {"type": "enabled", "budget_tokens": 1024}, None),
        (SONNET_45, "medium", {"type": "enabled", "budget_tokens": 8192}, None),
        (SONNET_45, "none", None, None),
        ("claude-opus-4-6", "minimal", {"type": "adaptive"}, "low"),
        ("claude-opus-4-6", "xhigh", {"type": "adaptive"}, "max"),
        ("claude-opus-4-8", "xhigh", {"type": "adaptive", "display": "summarized"}, "xhigh"),
        ("claude-opus-4-8", "none", None, None),
        ("claude-sonnet-5", "none", {"type": "disabled"}, None),
        ("claude-sonnet-5-5", "none", {"type": "between_tools"}, None),
        ("claude-haiku-5-5", "high", {"type": "adaptive", "display": "summarized"}, "high"),
        ("claude-fable-5", "none", None, "low"),
        ("claude-3-5-haiku-latest", "high", None, None),
    ],
)
def test_reasoning_effort(model: str, effort: str, thinking: Any, level: str | None) -> None:
    got, lost = tuned(model, reasoning_effort=effort)
    assert got.get("thinking") == thinking
    assert got.get("output_config") == ({"effort": level} if level else None)
    expected = {
        ("claude-fable-5", "none"): ("reasoning_effort=none",),
        ("claude-3-5-haiku-latest", "high"): ("reasoning_effort",),
    }
    assert lost == expected.get((model, effort), ())


def test_budget_stays_under_the_limit() -> None:
    got, _ = tuned(reasoning_effort="high", max_tokens=4000)
    assert got["thinking"]["budget_tokens"] == 2000
    got, _ = tuned(reasoning_effort="high", max_tokens=1100)
    assert got["thinking"]["budget_tokens"] == 1024
    got, lost = tuned(reasoning_effort="high", max_tokens=1024)
    assert ("thinking" in got, lost) == (False, ("reasoning_effort",))


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [TOOL], "tool_choice": "required"},
        {"messages": [USER, CALLED, RESULT], "tools": [TOOL]},
        {"messages": [USER, {"role": "assistant", "content": "I"}]},
    ],
    ids=["forced tool", "tool loop", "prefill"],
)
def test_budget_thinking_gives_way(body: dict[str, Any]) -> None:
    """It needs signed thinking blocks, which no OpenAI client sends back, and a free choice."""
    got, lost = tuned(reasoning_effort="high", **body)
    assert ("thinking" in got, lost) == (False, ("reasoning_effort",))
    got, lost = tuned("claude-sonnet-4-6", reasoning_effort="high", **body)
    assert (got["thinking"]["type"], lost) == ("adaptive", ())


def test_thinking_rules_out_sampling() -> None:
    got, lost = tuned(reasoning_effort="low", temperature=0.2, top_k=5)
    assert "temperature" not in got
    assert lost == ("temperature", "top_k")
    got, lost = tuned(reasoning_effort="low", temperature=1, top_p=0.96)
    assert (got["top_p"], lost) == (0.96, ())


# --------------------------------------------------------------------------- structured output

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
OLD = "claude-sonnet-4-20250514"


def asked(schema: Any = CITY, **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "place", "schema": schema, **more}}


def test_schema_natively() -> None:
    got, lost = tuned(response_format=asked())
    assert got["output_config"] == {"format": {"type": "json_schema", "schema": CITY}}
    assert ("tools" in got, lost) == (False, ())
    got, _ = tuned("claude-opus-4-6", response_format=asked(), reasoning_effort="low")
    assert set(got["output_config"]) == {"effort", "format"}


def test_schema_with_keywords_the_grammar_lacks() -> None:
    number = {"type": "integer", "maximum": 9}
    schema = {**CITY, "properties": {"city": number}}
    got, lost = tuned(response_format=asked(schema))
    shaped = got["output_config"]["format"]["schema"]["properties"]["city"]
    assert shaped == {"type": "integer", "description": "{maximum: 9}"}
    assert lost == ("response_format.json_schema.schema.maximum",)


def test_schema_by_a_forced_tool() -> None:
    got, _ = tuned(OLD, response_format=asked(description="A town."))
    (tool,) = got["tools"]
    assert (tool["name"], tool["input_schema"]) == ("json_output", CITY)
    assert tool["description"].endswith("A town.")
    assert got["tool_choice"] == {
        "type": "tool",
        "name": "json_output",
        "disable_parallel_tool_use": True,
    }
    open_map = {"type": "object", "additionalProperties": {"type": "string"}}
    assert "tools" in tuned(response_format=asked(open_map))[0]


def test_forced_tool_beside_the_clients_tools() -> None:
    taken = {"type": "function", "function": {"name": "json_output"}}
    got, _ = tuned(OLD, response_format=asked(), tools=[taken])
    assert [tool["name"] for tool in got["tools"]] == ["json_output", "json_output_"]
    assert got["tool_choice"] == {"type": "any"}


def test_schema_by_instruction() -> None:
    open_map = {"type": "object", "additionalProperties": True}
    got, _ = tuned("claude-opus-5-5", response_format=asked(open_map))
    assert json.dumps(open_map, separators=(",", ":")) in got["system"][0]["text"]
    got, _ = tuned(OLD, response_format=asked(), tools=[TOOL], tool_choice="required")
    assert (got["tool_choice"], len(got["tools"])) == ({"type": "any"}, 1)
    assert "schema" in got["system"][0]["text"]


def test_json_object_by_instruction() -> None:
    got, _ = tuned(response_format={"type": "json_object"})
    assert "JSON object" in got["system"][0]["text"]
    assert "system" not in tuned(response_format={"type": "text"})[0]
