"""Schemas for grammars: what they become, and which can't be expressed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reflex_core.codecs.closed_schema import MAX_OPTIONAL, MAX_UNIONS, close, fits


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def closed(value: dict[str, Any]) -> dict[str, Any]:
    before = copy.deepcopy(value)
    out = close(value)
    assert out is not None
    assert value == before
    return out.schema


def test_objects_are_closed() -> None:
    inner = {"type": "object", "properties": {"b": {"type": "string"}}}
    assert closed(schema(a=inner)) == {
        "type": "object",
        "properties": {
            "a": {
                "type": "object",
                "properties": {"b": {"type": "string"}},
                "required": [],
                "additionalProperties": False,
            }
        },
        "required": ["a"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}, set()),
        (
            {"type": "string", "format": "color", "description": "Hex"},
            {"type": "string", "description": 'Hex\n\n{format: "color"}'},
            {"format"},
        ),
        (
            {"type": "number", "minimum": 1, "maximum": 9},
            {"type": "number", "description": "{minimum: 1, maximum: 9}"},
            {"minimum", "maximum"},
        ),
        (
            {"type": "array", "items": {"type": "null"}, "minItems": 1},
            {"type": "array", "items": {"type": "null"}, "minItems": 1},
            set(),
        ),
        (
            {"type": "array", "items": {"type": "null"}, "minItems": 3},
            {"type": "array", "items": {"type": "null"}, "description": "{minItems: 3}"},
            {"minItems"},
        ),
        (
            {"type": "string", "format": ["date"]},
            {"type": "string", "description": '{format: ["date"]}'},
            {"format"},
        ),
        ({"enum": ["a", 1, None], "title": "T"}, {"enum": ["a", 1, None], "title": "T"}, set()),
        ({"const": 1, "$comment": "no"}, {"const": 1}, set()),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}, set()),
        (
            {"oneOf": [{"type": "string"}, {"type": "null"}]},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            set(),
        ),
        ({"allOf": [{"type": "string"}]}, {"allOf": [{"type": "string"}]}, set()),
    ],
)
def test_values(before: dict[str, Any], after: dict[str, Any], moved: set[str]) -> None:
    out = close(schema(a=before))
    assert out is not None
    assert out.schema["properties"]["a"] == after
    assert out.moved == moved


def test_references() -> None:
    point = schema(x={"type": "number"})
    value = {**schema(at={"$ref": "#/$defs/Point"}), "$defs": {"Point": point}}
    out = closed(value)
    assert out["properties"]["at"] == {"$ref": "#/$defs/Point"}
    assert out["$defs"]["Point"]["additionalProperties"] is False
    rooted = {"$ref": "#/$defs/Point", "$defs": {"Point": point}}
    assert closed(rooted)["$ref"] == "#/$defs/Point"


NODE = {"$defs": {"Node": schema(next={"$ref": "#/$defs/Node"})}}


@pytest.mark.parametrize(
    "value",
    [
        {"type": "string"},
        {},
        {"type": "object", "additionalProperties": True},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "patternProperties": {"^a": {"type": "string"}}},
        {"type": "object", "properties": ["a"]},
        {"type": "object", "required": "a"},
        schema(a=True),
        schema(a={}),
        schema(a={"not": {"type": "string"}}),
        schema(a={"type": "array"}),
        schema(a={"type": "tuple"}),
        schema(a={"type": [["object"]]}),
        schema(a={"$ref": "https://example.com/schema"}),
        schema(a={"$ref": "#/$defs/Missing"}),
        {**schema(a={"$ref": "#/$defs/Node"}), **NODE},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}},
    ],
)
def test_what_no_grammar_can_say(value: dict[str, Any]) -> None:
    assert close(value) is None


def test_limits_count_over_all_schemas() -> None:
    half = {f"p{i}": {"type": "string"} for i in range(MAX_OPTIONAL // 2)}
    some = close({"type": "object", "properties": half})
    one_more = close({"type": "object", "properties": {"x": {"type": "string"}}})
    assert some is not None
    assert one_more is not None
    assert some.optional == MAX_OPTIONAL // 2
    assert fits([some, some])
    assert not fits([some, some, one_more])
    union = {"type": ["string", "null"]}
    many = close(schema(**{f"u{i}": union for i in range(MAX_UNIONS + 1)}))
    assert many is not None
    assert not fits([many])


LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": ["integer", "null"]},
        {"enum": ["a"]},
        {"type": "number", "minimum": 0},
    ]
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda item: {"type": "array", "items": item}, inner),
        st.builds(lambda some: {"anyOf": some}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(
            lambda properties: {"type": "object", "properties": properties},
            st.dictionaries(st.text(max_size=3), inner, max_size=3),
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(SCHEMAS)
def test_closing_twice_changes_nothing_more(value: dict[str, Any]) -> None:
    out = close(schema(a=value))
    assert out is not None
    again = close(out.schema)
    assert again is not None
    assert again.schema == out.schema
    assert again.moved == set()


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["type", "properties", "items", "anyOf", "$ref", "$defs", "enum", "format"]
                ),
                inner | st.sampled_from(["object", "array", "string"]),
            )
        ),
    )
)
def test_schemas_of_any_shape(value: Any) -> None:
    if isinstance(value, dict):
        out = close(value)
        assert out is None or isinstance(out.schema, dict)
