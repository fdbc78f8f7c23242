"""Schemas in Gemini's keywords."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.codecs.gemini_schema import KEYWORDS, gemini


def schemas_in(node: Any) -> Iterator[dict[str, Any]]:
    """Every subschema of a reshaped schema."""
    yield node
    more = [node["items"]] if "items" in node else []
    more += node.get("anyOf", []) + node.get("prefixItems", [])
    more += list(node.get("properties", {}).values())
    if isinstance(node.get("additionalProperties"), dict):
        more.append(node["additionalProperties"])
    for child in more:
        yield from schemas_in(child)


def check(node: Any) -> None:
    """Only documented keywords, each with a value of the kind Gemini documents."""
    for part in schemas_in(node):
        assert isinstance(part, dict)
        assert part.keys() <= KEYWORDS
        kinds = part.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        known = {"string", "number", "integer", "boolean", "array", "object", "null"}
        assert set(kinds) <= known
        assert len(set(kinds) - {"null"}) <= 1, "a type list may only add null"
        assert part.get("enum", ["x"]), "an enum lists something"
        for value in part.get("enum", []):
            assert type(value) in (str, int, float)
        assert set(part.get("required", [])) <= set(part.get("properties", {}))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "STRING"}, {"type": "string"}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"type": ["null", "string"]}, {"type": ["string", "null"]}),
        ({"type": ["string"]}, {"type": "string"}),
        ({"type": "str"}, {}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        (
            {"type": ["array", "string"], "items": {"type": "string"}, "description": "D"},
            {
                "description": "D",
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            },
        ),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": ["string", "null"]}),
        (
            {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "description": "D"},
            {"description": "D", "minimum": 1, "type": ["integer", "null"]},
        ),
        ({"anyOf": [{"type": "string", "title": "T"}]}, {"title": "T", "type": "string"}),
        ({"anyOf": [{"title": "T"}, {"type": "null"}]}, {"title": "T"}),
        (
            {"anyOf": [{"enum": ["a"]}, {"type": "null"}]},
            {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
        ),
        (
            {"oneOf": [{"type": "string"}, {"type": "integer"}, False]},
            {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        ),
        (
            {"anyOf": [{"anyOf": [{"type": "string"}, {"type": "integer"}]}, {"type": "null"}]},
            {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
        ),
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"const": 3}, {"type": "integer", "enum": [3]}),
        ({"const": None}, {"type": "null"}),
        ({"const": True, "type": "boolean"}, {"type": "boolean", "description": "(one of [true])"}),
        ({"enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
        ({"enum": [1, 2.5]}, {"type": "number", "enum": [1, 2.5]}),
        (
            {"enum": ["a", None], "type": ["string", "null"]},
            {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
        ),
        ({"enum": ["a", 1], "description": "D"}, {"description": 'D (one of ["a",1])'}),
        ({"enum": []}, {}),
        (
            {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9.5},
            {"type": "integer", "minimum": 1, "maximum": 9},
        ),
        (
            {"type": "number", "exclusiveMinimum": 0, "minimum": 2},
            {"type": "number", "minimum": 2},
        ),
        (
            {"type": "number", "exclusiveMinimum": True, "minimum": 2},
            {"type": "number", "minimum": 2},
        ),
        ({"type": "string", "minimum": 2}, {"type": "string"}),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        (
            {"type": "string", "format": "uuid", "pattern": "^a", "maxLength": 9, "default": "a"},
            {
                "type": "string",
                "description": "(format: uuid; pattern: ^a; maxLength: 9; default: a)",
            },
        ),
        ({"type": "array"}, {"type": "array", "items": {}}),
        (
            {"type": "array", "items": [{"type": "string"}], "minItems": 1, "uniqueItems": True},
            {
                "type": "array",
                "prefixItems": [{"type": "string"}],
                "minItems": 1,
                "description": "(uniqueItems: true)",
            },
        ),
        ({"type": "object"}, {"type": "object"}),
        ({"type": "object", "properties": {}}, {"type": "object", "properties": {}}),
        (
            {"properties": {"a": True, "b": False, "c": {"type": "null"}}, "required": ["a", "b"]},
            {
                "type": "object",
                "properties": {"a": {}, "c": {"type": "null"}},
                "required": ["a"],
            },
        ),
        (
            {"type": "object", "additionalProperties": False, "properties": {}, "required": ["x"]},
            {"type": "object", "additionalProperties": False, "properties": {}},
        ),
        (
            {"type": "object", "additionalProperties": {"const": "v"}},
            {"type": "object", "additionalProperties": {"type": "string", "enum": ["v"]}},
        ),
        (
            {
                "allOf": [
                    {"properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"properties": {"b": {"type": "string"}}, "required": ["b"]},
                ],
                "title": "Both",
            },
            {
                "title": "Both",
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "required": ["a", "b"],
            },
        ),
        (
            {"$schema": "x", "$id": "y", "$comment": "z", "examples": [1], "not": {}, "if": {}},
            {},
        ),
        (
            {
                "type": "object",
                "properties": {"p": {"$ref": "#/$defs/P", "description": "here"}},
                "$defs": {"P": {"enum": ["x"], "description": "there"}},
            },
            {
                "type": "object",
                "properties": {"p": {"description": "here", "type": "string", "enum": ["x"]}},
            },
        ),
    ],
)
def test_each_keyword(given: Any, expected: Any):
    before = copy.deepcopy(given)
    assert gemini(given) == expected
    assert given == before
    check(expected)


def test_a_recursive_schema_ends():
    tree = {
        "type": "object",
        "properties": {"left": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["left"],
    }
    node, levels = gemini(tree), 0
    while "properties" in node:
        levels, node = levels + 1, node["properties"]["left"]
    assert levels == 3
    assert node == {"type": ["object", "null"]}


keywords = st.sampled_from(
    [
        *sorted(KEYWORDS),
        *("$ref", "$defs", "const", "oneOf", "allOf", "exclusiveMinimum", "exclusiveMaximum"),
        *("not", "default", "pattern", "patternProperties", "additionalItems", "a", "uniqueItems"),
    ]
)
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["#", "#/$defs/a", "object", "string", "null", "date", "\u00e9"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keywords, inner, max_size=5),
    max_leaves=25,
)


@given(st.dictionaries(keywords, junk, max_size=6))
def test_anything_at_all_becomes_something_gemini_takes(given: dict[str, Any]):
    before = copy.deepcopy(given)
    seen = gemini(given)
    check(seen)
    json.dumps(seen)
    assert given == before
    check(gemini(seen))


def _unions(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda name, branches: {name: branches},
        st.sampled_from(["anyOf", "oneOf"]),
        st.lists(inner, min_size=1, max_size=3),
    )


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda properties, required, more: {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": more,
        },
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        st.lists(st.sampled_from("abc"), max_size=2, unique=True),
        st.booleans() | inner,
    )


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b", 0.5]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=6,
)
kinds = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])
proper = st.recursive(
    st.builds(lambda kind: {"type": kind}, kinds)
    | st.builds(lambda a, b: {"type": sorted({a, b})}, kinds, kinds)
    | st.builds(lambda v: {"const": v}, values)
    | st.builds(lambda v: {"enum": v}, st.lists(values, min_size=1, max_size=3))
    | st.builds(lambda n, lo: {"type": n, "exclusiveMinimum": lo}, kinds, st.integers(-2, 2))
    | st.builds(lambda n, hi: {"type": n, "maximum": hi}, kinds, st.integers(-2, 2)),
    lambda inner: (
        _unions(inner)
        | _objects(inner)
        | st.builds(lambda items: {"type": "array", "items": items, "maxItems": 2}, inner)
    ),
    max_leaves=6,
)


@given(proper, st.lists(values, max_size=12))
def test_what_was_valid_stays_valid(given: dict[str, Any], instances: list[Any]):
    before, after = (
        jsonschema.Draft202012Validator(given),
        jsonschema.Draft202012Validator(gemini(given)),
    )
    for value in instances:
        if before.is_valid(value):
            assert after.is_valid(value), (value, gemini(given))
