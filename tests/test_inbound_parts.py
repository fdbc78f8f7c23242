"""Message content -> typed parts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.errors import BadRequest
from reflex_core.inbound_parts import data_url, parts
from reflex_core.types import AudioPart, FilePart, ImagePart, TextPart

PARTS: list[tuple[dict[str, Any], Any]] = [
    ({"type": "text", "text": "t"}, TextPart("t")),
    ({"type": "refusal", "refusal": "r"}, TextPart("r")),
    (
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
        ImagePart("https://x/y.png", detail="low"),
    ),
    ({"type": "image_url", "image_url": "gs://b/y.png"}, ImagePart("gs://b/y.png")),
    (
        {"type": "image_url", "image_url": {"url": "data:image/png;a=b;base64,QUI=", "detail": 7}},
        ImagePart(media_type="image/png", data="QUI="),
    ),
    (
        {"type": "image_url", "image_url": {"url": "data:;base64,QUI="}},
        ImagePart(media_type="text/plain", data="QUI="),
    ),
    (
        {"type": "input_audio", "input_audio": {"data": "QUI=", "format": "mp3"}},
        AudioPart("QUI=", "mp3"),
    ),
    ({"type": "file", "file": {"file_id": "f", "filename": 3}}, FilePart("f")),
    (
        {"type": "file", "file": {"filename": "a.TXT", "file_data": "QUI="}},
        FilePart(filename="a.TXT", media_type="text/plain", data="QUI="),
    ),
    (
        {"type": "file", "file": {"file_data": "data:text/csv;base64,QUI="}},
        FilePart(media_type="text/csv", data="QUI="),
    ),
    (
        {"type": "file", "file": {"file_data": "QUI="}},
        FilePart(media_type="application/pdf", data="QUI="),
    ),
]


@pytest.mark.parametrize(("given", "expected"), PARTS)
def test_parts(given: dict[str, Any], expected: Any) -> None:
    assert parts([given, given], "content", "user") == (expected, expected)


def test_text() -> None:
    assert parts("x", "content", "user") == (TextPart("x"),)
    assert parts("", "content", "user") == (TextPart(""),)
    assert parts("", "content", "assistant") == ()
    assert parts(None, "content", "user") == parts([], "content", "user") == ()


WRONG: list[tuple[Any, str]] = [
    (7, ""),
    ({"type": "text"}, ""),
    (["x"], "[0]"),
    ([{"type": "text"}], "[0].text"),
    ([{"type": "text", "text": 7}], "[0].text"),
    ([{"type": "text", "text": "x"}, {}], "[1].type"),
    ([{"type": "video"}], "[0].type"),
    ([{"type": ["text"]}], "[0].type"),
    ([{"type": "image_url"}], "[0].image_url"),
    ([{"type": "image_url", "image_url": {}}], "[0].image_url.url"),
    ([{"type": "image_url", "image_url": {"url": "ftp://x"}}], "[0].image_url.url"),
    ([{"type": "image_url", "image_url": {"url": "data:image/png,x"}}], "[0].image_url.url"),
    ([{"type": "input_audio"}], "[0].input_audio"),
    ([{"type": "input_audio", "input_audio": {"format": "mp3"}}], "[0].input_audio.data"),
    ([{"type": "input_audio", "input_audio": {"data": "x"}}], "[0].input_audio.format"),
    ([{"type": "file", "file": []}], "[0].file"),
    ([{"type": "file", "file": {}}], "[0].file.file_data"),
    ([{"type": "file", "file": {"file_id": 7}}], "[0].file.file_id"),
]


@pytest.mark.parametrize(("value", "where"), WRONG, ids=lambda value: str(value)[:60])
def test_what_is_wrong_is_named(value: Any, where: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parts(value, "content", "user")
    assert caught.value.error.param == f"content{where}"


@pytest.mark.parametrize("role", ["system", "assistant", "tool"])
@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file"])
def test_only_users_show_things(role: str, kind: str) -> None:
    with pytest.raises(BadRequest, match="user messages"):
        parts([{"type": kind}], "content", role)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("data:image/png;base64,QUI=", ("image/png", "QUI=")),
        ("data:text/plain;charset=utf-8;base64,QUI=", ("text/plain", "QUI=")),
        ("data:;base64,", ("text/plain", "")),
        ("data:image/png,abc", None),
        ("https://x", None),
    ],
)
def test_data_urls(url: str, expected: tuple[str, str] | None) -> None:
    assert data_url(url) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
KINDS = st.sampled_from(["text", "refusal", "image_url", "input_audio", "file", "video"])


@given(
    st.lists(
        st.fixed_dictionaries(
            {"type": KINDS},
            optional=dict.fromkeys(["text", "image_url", "input_audio", "file"], JSON),
        )
    )
)
def test_any_parts(value: list[Any]) -> None:
    try:
        found = len(parts(value, "content", "user"))
    except BadRequest as error:
        found = int((error.error.param or "").partition("[")[2].partition("]")[0])
    assert 0 <= found <= len(value)
