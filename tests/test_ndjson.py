"""Framing of NDJSON and of JSON arrays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core import ndjson
from reflex_core.ndjson import JsonElements, JsonLines
from tests.wire import bytewise, cuts

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
containers = st.lists(json_values, max_size=3) | st.dictionaries(
    st.text(max_size=4), json_values, max_size=3
)
FRAMERS = (JsonLines, JsonElements)


def frames(framer: JsonLines | JsonElements, chunks: Any) -> list[bytes]:
    out = [frame for chunk in chunks for frame in framer.feed(chunk)]
    return out + framer.finish()


def test_lines_with_either_end_and_without_the_last_one():
    framer = JsonLines()
    assert framer.feed(b'{"a":1}\r\n\n  \n{"b"') == [b'{"a":1}']
    assert framer.feed(b":2}\n[3]") == [b'{"b":2}']
    assert framer.finish() == [b"[3]"]
    assert framer.finish() == []


def test_line_separators_inside_a_string_do_not_end_a_line():
    line = '{"a":"\u2028\u0085\x1c"}'.encode()
    assert JsonLines().feed(line + b"\n") == [line]


def test_elements_come_as_soon_as_their_last_bracket():
    framer = JsonElements()
    assert framer.feed(b' [{"a": "]}\\"') == []
    assert framer.feed(b'"}') == [b'{"a": "]}\\""}']
    assert framer.feed(b',\r\n{"b": {"c": [1]}}') == [b'{"b": {"c": [1]}}']
    assert framer.feed(b"]\n") == []
    assert framer.finish() == []


def test_elements_of_an_array_of_arrays_stay_whole():
    assert frames(JsonElements(), [b"[[1,2],[3]]"]) == [b"[1,2]", b"[3]"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<html>oops</html>", [b"<html>oops</html>"]),
        (b'[{"a":1}, 17, {"b":2}]', [b'{"a":1}', b"17", b'{"b":2}']),
        (b'[{"a":1},{"b":', [b'{"a":1}', b'{"b":']),
        (b"}{", [b"{"]),
        (b"", []),
        (b"[]", []),
    ],
)
def test_what_is_no_element_is_a_frame_of_its_own(body: bytes, expected: list[bytes]):
    assert frames(JsonElements(), [body]) == expected
    assert frames(JsonElements(), bytewise(body)) == expected


@given(st.lists(containers, max_size=5), st.sampled_from([None, 1]), st.integers(0, 9))
def test_arrays_give_back_their_elements_however_cut(
    values: list[Any], indent: int | None, seed: int
):
    body = json.dumps(values, indent=indent, ensure_ascii=seed % 2 == 0).encode()
    for chunks in ([body], bytewise(body), cuts(body, seed)):
        assert [json.loads(frame) for frame in frames(JsonElements(), chunks)] == values


@given(st.lists(json_values, max_size=5), st.sampled_from(["\n", "\r\n"]), st.integers(0, 9))
def test_lines_give_back_their_values_however_cut(values: list[Any], end: str, seed: int):
    body = "".join(json.dumps(value) + end for value in values).encode()
    for chunks in ([body], bytewise(body), cuts(body, seed)):
        assert [json.loads(frame) for frame in frames(JsonLines(), chunks)] == values


@given(st.binary(max_size=200) | st.text('[]{}",\\ 1', max_size=60).map(str.encode))
def test_garbage_is_framed_the_same_however_cut(body: bytes):
    for framer in FRAMERS:
        whole = frames(framer(), [body])
        assert frames(framer(), bytewise(body)) == whole


@pytest.mark.parametrize("framer", FRAMERS)
def test_a_frame_without_end_is_given_up(framer: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ndjson, "MAX_FRAME", 100)
    one = framer()
    assert one.feed(b'[{"a": "' + b"x" * 90) == []
    assert not one.overflow
    assert one.feed(b"x" * 10) == []
    assert one.overflow
    assert one.feed(b'"}]\n') == []
    assert one.finish() == []
