from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from reflex_core import sse
from reflex_core.sse import Frame, SSEParser
from tests.wire import bytewise, cuts


def parse(*chunks: bytes) -> list[Frame]:
    parser = SSEParser()
    frames = [frame for chunk in chunks for frame in parser.feed(chunk)]
    return frames + parser.finish()


def datas(*chunks: bytes) -> list[bytes | None]:
    return [frame.data for frame in parse(*chunks)]


# --------------------------------------------------------------------------- the specification


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\r\n\ndata: b\n\r\n", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: one\ndata: two\n\n", [b"one\ntwo"]),
        (b"data\n\n", [b""]),
        (b"data:\n\n", [b""]),
        (b"data: a", [b"a"]),
        (b"data: a\n", [b"a"]),
        (b"\n\n\n", []),
        (b"id: 7\nretry: 10\n\n", []),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        ("data: a\u2028b\x0bc\x85d\n\n".encode(), ["a\u2028b\x0bc\x85d".encode()]),
        (b"data: a:b: c\n\n", [b"a:b: c"]),
    ],
)
def test_data(body: bytes, expected: list[bytes]) -> None:
    assert datas(body) == expected
    assert datas(*bytewise(body)) == expected


def test_only_the_first_bom_is_skipped() -> None:
    frames = parse(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n")
    assert frames == [Frame(other=(b"\xef\xbb\xbfdata: a",))]


def test_event_comments_and_other_lines() -> None:
    frames = parse(b': hi\nevent: error\ndata: x\n\n:\n\nerror: {"a": 1}\n\n{\n"b": 2}\n\n')
    assert frames == [
        Frame(event="error", data=b"x", comments=(b"hi",)),
        Frame(comments=(b"",)),
        Frame(other=(b'error: {"a": 1}',)),
        Frame(other=(b"{", b'"b": 2}')),
    ]


def test_event_name_does_not_outlive_its_frame() -> None:
    assert [frame.event for frame in parse(b"event: a\ndata: 1\n\ndata: 2\n\n")] == ["a", None]


def test_frame_of_one_megabyte() -> None:
    big = b"x" * (1 << 20)
    body = b"data: " + big + b"\n\ndata: after\n\n"
    assert datas(body) == [big, b"after"]
    assert datas(*cuts(body, 1)) == [big, b"after"]


def test_frames_come_with_the_byte_that_completes_them() -> None:
    parser = SSEParser()
    counts = [len(parser.feed(byte)) for byte in bytewise(b"data: a\n\ndata: b\r\n\r\n")]
    assert [i for i, count in enumerate(counts) if count] == [8, 18], "a CR ends a line at once"


def test_a_frame_too_large_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_FRAME", 100)
    parser = SSEParser()
    assert [frame.data for frame in parser.feed(b"data: a\n\ndata: " + b"x" * 200)] == [b"a"]
    assert parser.overflow
    assert parser.feed(b"data: b\n\n") == []
    assert parser.finish() == []


def test_many_lines_of_one_frame_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_FRAME", 100)
    parser = SSEParser()
    for _ in range(30):
        parser.feed(b"data: x\n")
    assert parser.overflow


# --------------------------------------------------------------------------- properties

_PIECES = st.sampled_from(
    [
        b"data: ",
        b"data",
        b"event: e",
        b":",
        b" ",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"a",
        b"id: 1",
        b"\xef\xbb\xbf",
        "é\u2028".encode(),
        b"\xff",
        b"error: {}",
        b"{}",
        b"\x00",
    ]
)
BODIES = st.lists(_PIECES, max_size=40).map(b"".join)


def reference(body: bytes) -> list[Frame]:
    """The specification on a whole body, as plainly as can be."""
    frames: list[Frame] = []
    lines = re.split(rb"\r\n|\r|\n", body.removeprefix(sse.BOM))
    for block in _blocks([*lines, b""]):
        event, data, comments, other = None, [], [], []
        for line in block:
            name, colon, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                data.append(value)
            elif name == b"event":
                event = value.decode("utf-8", "replace")
            elif name == b"" and colon:
                comments.append(value)
            elif name not in (b"id", b"retry"):
                other.append(line)
        if event or data or comments or other:
            joined = b"\n".join(data) if data else None
            frames.append(Frame(event, joined, tuple(comments), tuple(other)))
    return frames


def _blocks(lines: list[bytes]) -> list[list[bytes]]:
    blocks: list[list[bytes]] = [[]]
    for line in lines:
        if line:
            blocks[-1].append(line)
        else:
            blocks.append([])
    return blocks


@given(BODIES | st.binary(max_size=200))
def test_agrees_with_reference(body: bytes) -> None:
    assert parse(body) == reference(body)


@given(BODIES, st.integers(0, 1000))
def test_same_however_cut(body: bytes, seed: int) -> None:
    whole = parse(body)
    assert parse(*bytewise(body)) == whole
    assert parse(*cuts(body, seed)) == whole


_TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=30)


@given(st.lists(_TEXT, max_size=8), st.sampled_from(["\n", "\r\n", "\r"]), st.integers(0, 99))
def test_agrees_with_the_clients_parser(texts: list[str], end: str, seed: int) -> None:
    """What the openai SDK reads in a stream, we read."""
    body = "".join(f": c{end}data: {text}{end}{end}" for text in texts).encode()
    theirs = [event.data for event in SSEDecoder().iter_bytes(iter([body]))]
    assert [data.decode() for data in datas(*cuts(body, seed)) if data is not None] == theirs


@given(st.binary(max_size=60).filter(lambda data: b"\n" not in data and b"\r" not in data))
def test_encode_is_read_back(data: bytes) -> None:
    assert parse(sse.encode(data)) == [Frame(data=data)]
    assert parse(sse.encode(data, "error")) == [Frame(event="error", data=data)]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_a_comment_is_never_anything_else(text: str) -> None:
    frames = parse(sse.comment(text) + sse.DONE)
    assert [frame.data for frame in frames] == [None, b"[DONE]"]
    assert frames[0].other == ()
