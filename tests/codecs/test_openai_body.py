from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reflex_core.codecs.openai_body import edit


def test_every_other_byte_stays() -> None:
    raw = b' { "a" : [1, {"model": "q, }"}] ,"model":"x" ,"n":1e400,"t":"\\"}" } '
    assert edit(raw, json.loads(raw), {"model": b'"y"'}) == (
        b'{"a" : [1, {"model": "q, }"}],"model":"y","n":1e400,"t":"\\"}"}'
    )


def test_added_members_stand_in_front() -> None:
    assert edit(b' {"a":1} ', {"a": 1}, {"b": b"2"}) == b' {"b":2,"a":1} '
    assert edit(b"{ }", {}, {"b": b"2"}) == b'{"b":2 }'


def test_removed_members() -> None:
    assert edit(b'{"a":1,"b":{},"c":3}', {"a": 1, "b": 2, "c": 3}, {"b": None}) == b'{"a":1,"c":3}'
    assert edit(b'{"a":1}', {"a": 1}, {"a": None}) == b"{}"


def test_nothing_to_change_is_the_same_object() -> None:
    raw = b'{"a":1}'
    assert edit(raw, {"a": 1}, {}) is raw
    assert edit(raw, {"a": 1}, {"b": None}) is raw


def test_a_member_given_twice_stays_once() -> None:
    raw = b'{"model":"a","x":1,"model":"b"}'
    assert edit(raw, json.loads(raw), {"model": b'"c"'}) == b'{"x":1,"model":"c"}'


def test_escaped_names_are_found() -> None:
    raw = rb'{"mod\u0065l":"a"}'
    assert json.loads(edit(raw, json.loads(raw), {"model": b'"c"'})) == {"model": "c"}


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner),
    max_leaves=12,
)
_NAME = st.sampled_from(["a", "b", "model", 'q"', "\\", "é"]) | _TEXT


@given(
    st.dictionaries(_NAME, _VALUES, max_size=6),
    st.sets(_NAME, max_size=3),
    st.dictionaries(_NAME, _VALUES, max_size=3),
    st.sampled_from([None, 0, 2]),
    st.booleans(),
)
def test_edit_is_an_update(
    body: dict[str, Any], gone: set[str], new: dict[str, Any], indent: int | None, ascii: bool
) -> None:
    raw = json.dumps(body, indent=indent, ensure_ascii=ascii).encode()
    body = json.loads(raw)
    changes = dict.fromkeys(gone) | {
        name: json.dumps(value).encode() for name, value in new.items()
    }
    expected = {name: value for name, value in body.items() if name not in gone} | new
    assert json.loads(edit(raw, body, changes)) == json.loads(json.dumps(expected))
