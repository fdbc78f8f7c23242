"""Arguments that Vertex AI streams in pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reflex_core.types import ToolCallDelta
from tests.codecs.gemini_parts import chunk, decoded


def partial(*pieces: dict[str, Any]) -> Any:
    first = chunk(parts=[{"functionCall": {"name": "f", "willContinue": True}}])
    rest = chunk(parts=[{"functionCall": {"partialArgs": list(pieces)}}], finish="STOP")
    (delta,) = [e for e in decoded(first + rest, True) if isinstance(e, ToolCallDelta)]
    return json.loads(delta.arguments)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([{"jsonPath": "$.a[0].b", "stringValue": "x"}], {"a": [{"b": "x"}]}),
        ([{"jsonPath": "$[\"a.b\"]['c\\'d']", "boolValue": False}], {"a.b": {"c'd": False}}),
        ([{"jsonPath": "$.a[2]", "numberValue": 1}], {"a": [None, None, 1]}),
        (
            [
                {"jsonPath": "$.a[0]", "stringValue": "x", "willContinue": True},
                {"jsonPath": "$.a[0]", "stringValue": "y"},
                {"jsonPath": "$.a[1].b", "nullValue": "NULL_VALUE"},
                {"jsonPath": "$.a[1].c", "boolValue": True},
            ],
            {"a": ["xy", {"b": None, "c": True}]},
        ),
        ([{"jsonPath": "$.a[999999]", "numberValue": 1}], {"a": []}),
        ([{"jsonPath": "$.a"}, {"stringValue": "x"}, {"jsonPath": "a", "stringValue": "x"}], {}),
        ([{"jsonPath": "$.a b[", "stringValue": "x"}, {"jsonPath": "$", "numberValue": 1}], {}),
        ([{"jsonPath": "$" + ".a" * 200, "stringValue": "x"}], {}),
        (
            [
                {"jsonPath": "$.a", "stringValue": "x", "willContinue": True},
                {"jsonPath": "$.a", "stringValue": "y"},
                {"jsonPath": "$.b", "stringValue": "1", "willContinue": True},
                {"jsonPath": "$.b", "numberValue": 2},
            ],
            {"a": "xy", "b": 2},
        ),
        (
            [
                {"jsonPath": "$.a", "stringValue": "x"},
                {"jsonPath": "$.a.b", "stringValue": "y"},
                {"jsonPath": "$.a[0]", "stringValue": "z"},
                {"jsonPath": "$.a", "stringValue": "again"},
            ],
            {"a": "again"},
        ),
    ],
)
def test_paths_of_pieces(pieces: list[dict[str, Any]], expected: Any):
    assert partial(*pieces) == expected
