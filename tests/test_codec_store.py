from __future__ import annotations

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.codec_store import VERSION, dump, load
from reflex_core.errors import BackendError
from reflex_core.types import Choice, Completion, ToolCall

texts = st.text(max_size=12)
maybe = st.none() | texts
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts, values, max_size=3)
choices = st.builds(
    Choice,
    index=st.integers(0, 8),
    content=maybe,
    reasoning=maybe,
    refusal=maybe,
    tool_calls=st.lists(st.builds(ToolCall, texts, texts, texts), max_size=2).map(tuple),
    logprobs=st.none() | objects,
    annotations=st.lists(objects, max_size=2).map(tuple),
    finish_reason=maybe,
    extra=objects,
)
completions = st.builds(
    Completion,
    id=texts,
    created=st.integers(0, 2**40),
    model=texts,
    choices=st.lists(choices, max_size=3).map(tuple),
    usage=st.none() | objects,
    system_fingerprint=maybe,
    service_tier=maybe,
    extra=objects,
)
SAMPLE = Completion("c", 1, "m", (Choice(content="hello", finish_reason="stop"),))


@given(completions)
def test_lossless(completion: Completion) -> None:
    again = load(dump(completion))
    assert again == completion
    assert repr(again) == repr(completion)


@given(completions, st.data())
def test_any_damage_is_seen(completion: Completion, data: st.DataObject) -> None:
    stored = bytearray(dump(completion))
    bit = data.draw(st.integers(0, len(stored) * 8 - 1))
    stored[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BackendError):
        load(bytes(stored))


def test_every_truncation_is_seen() -> None:
    stored = dump(SAMPLE)
    for end in range(len(stored)):
        with pytest.raises(BackendError):
            load(stored[:end])


@given(st.binary(max_size=40))
def test_garbage(data: bytes) -> None:
    with pytest.raises(BackendError):
        load(data)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"id":"a","created":1,"model":"m","choices":[[]]}', b"3"]
)
def test_wrong_form(text: bytes) -> None:
    with pytest.raises(BackendError, match="wrong form"):
        load(bytes([VERSION]) + crc32(text).to_bytes(4, "big") + text)


def test_unknown_version() -> None:
    stored = dump(SAMPLE)
    with pytest.raises(BackendError, match=f"version {VERSION + 1}"):
        load(bytes([VERSION + 1]) + stored[1:])


def test_text_that_is_not_unicode_is_not_stored() -> None:
    with pytest.raises(BackendError):
        dump(Completion("c", 1, "m", (Choice(content="\ud83d"),)))
