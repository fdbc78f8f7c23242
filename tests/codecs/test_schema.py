"""References in schemas, and the object schema of a tool."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.codecs import schema

TREE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "children": {"type": "array", "items": {"$ref": "#"}},
    },
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, {"type": "object", "properties": {}}),
        ({}, {"type": "object", "properties": {}}),
        ({"type": "object"}, {"type": "object", "properties": {}}),
        (
            {"properties": {"a": {}}, "required": ["a"]},
            {"properties": {"a": {}}, "required": ["a"], "type": "object"},
        ),
        ({"type": "object", "properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
        ({"type": "string", "properties": 3}, {"type": "object", "properties": {}}),
    ],
)
def test_parameters_are_always_an_object(given: Any, expected: Any):
    assert schema.parameters(given) == expected


def test_references_are_replaced_and_definitions_are_gone():
    given = {
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/A", "description": "mine"},
            "b": {"anyOf": [{"$ref": "#/definitions/B~1b"}, {"type": "null"}]},
        },
        "$defs": {"A": {"type": "string", "description": "theirs"}},
        "definitions": {"B/b": {"type": "array", "items": {"$ref": "#/$defs/A"}}},
    }
    before = copy.deepcopy(given)
    assert schema.inlined(given) == {
        "type": "object",
        "properties": {
            "a": {"type": "string", "description": "mine"},
            "b": {
                "anyOf": [
                    {"type": "array", "items": {"type": "string", "description": "theirs"}},
                    {"type": "null"},
                ]
            },
        },
    }
    assert given == before


def test_a_property_may_be_called_like_a_keyword():
    given = {
        "properties": {"$ref": {"type": "string"}, "enum": {"$ref": "#/$defs/E"}, "default": {}},
        "$defs": {"E": {"type": "integer"}},
    }
    assert schema.inlined(given) == {
        "properties": {"$ref": {"type": "string"}, "enum": {"type": "integer"}, "default": {}}
    }


def test_values_that_are_data_stay_as_they_are():
    given = {"enum": [{"$ref": "#"}], "default": {"$ref": "#"}, "const": {"$defs": 1}}
    assert schema.inlined(given) == given


def test_recursion_is_cut_to_the_bare_type():
    seen, levels = schema.inlined(TREE), 0
    while "properties" in seen:
        levels, seen = levels + 1, seen["properties"]["children"]["items"]
    assert levels == schema.MAX_UNROLL + 1
    assert seen == {"type": "object"}


@pytest.mark.parametrize("ref", ["#/$defs/none", "other.json#/a", "#/a/0", "#/list/9", "", "#x"])
def test_a_reference_to_nothing_accepts_anything(ref: str):
    given = {"properties": {"p": {"$ref": ref, "title": "T"}}, "a": 1, "list": [{"type": "null"}]}
    assert schema.inlined(given)["properties"]["p"]["title"] == "T"


def test_references_that_multiply_are_bounded():
    """Each definition names the next one four times: 4^30 schemas if written out."""
    defs = {
        f"d{i}": {
            "type": "object",
            "properties": {k: {"$ref": f"#/$defs/d{i + 1}"} for k in "abcd"},
        }
        for i in range(30)
    }
    given = {"$ref": "#/$defs/d0", "$defs": {**defs, "d30": {"type": "string"}}}
    text = json.dumps(schema.inlined(given))
    assert text.count("type") <= 5 * schema.MAX_NODES


def test_what_is_too_deep_accepts_anything():
    deep: Any = {"type": "string"}
    for _ in range(schema.MAX_DEPTH):
        deep = {"items": deep} if len(json.dumps(deep)) % 2 else {"anyOf": [deep]}
    seen = json.dumps(schema.inlined({"items": deep}))
    assert "string" not in seen
    assert seen.count("{") + seen.count("[") <= schema.MAX_DEPTH + 2
    lists: Any = 1
    for _ in range(2 * schema.MAX_DEPTH):
        lists = [lists]
    assert "1" not in json.dumps(schema.inlined({"x-lists": lists}))


names = st.sampled_from(
    ["$ref", "$defs", "properties", "items", "anyOf", "allOf", "type", "a", "enum", "required"]
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["#", "#/$defs/a", "object", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(names, junk, max_size=5))
def test_anything_at_all_is_inlined(given: dict[str, Any]):
    before = copy.deepcopy(given)
    seen = schema.inlined(given)
    json.dumps(seen)
    assert given == before
    assert not seen.keys() & {"$defs", "definitions"}
    assert "$ref" not in seen or not isinstance(seen["$ref"], str)
