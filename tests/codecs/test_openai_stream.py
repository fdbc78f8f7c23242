"""Whatever bytes come, the decoder keeps its promises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.codecs.openai_chat import CODEC
from reflex_core.render import completion_json
from reflex_core.types import ErrorEvent, Event
from tests.codecs.openai_samples import NAMES, TARGET, sample
from tests.codecs.oracle_contract import (
    chat_request,
    check_events,
    decode_stream,
    fold,
    rendered,
)
from tests.wire import cuts

_JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=4) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
_NAMES = st.sampled_from(
    [
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
        "error",
        "index",
        "delta",
        "message",
        "finish_reason",
        "logprobs",
        "content",
        "role",
        "refusal",
        "reasoning",
        "reasoning_details",
        "tool_calls",
        "function_call",
        "function",
        "name",
        "arguments",
        "type",
        "custom",
        "input",
        "annotations",
        "audio",
        "text",
        "thinking",
        "x_groq",
        "base_resp",
        "status_code",
        "detail",
        "code",
    ]
)
_CHUNKISH = st.recursive(
    _JSONISH | st.sampled_from(["stop", "error", "custom", "text", "thinking", 0, 1, 10**30]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=5),
    max_leaves=25,
)
_DELTA = st.dictionaries(_NAMES, _CHUNKISH, max_size=5)
_CHOICE = st.fixed_dictionaries(
    {},
    optional={"index": st.integers(0, 2) | _CHUNKISH, "delta": _DELTA, "message": _DELTA}
    | {"finish_reason": _CHUNKISH, "logprobs": _CHUNKISH},
)
_CHUNK = st.fixed_dictionaries({"choices": st.lists(_CHOICE, max_size=3)}) | _CHUNKISH


def _never_raises(body: bytes) -> list[Event]:
    events = decode_stream(CODEC, chat_request(), TARGET, cuts(body, len(body)))
    assert [e for e in events[:-1] if isinstance(e, ErrorEvent)] == []
    rendered(events)
    fold(events)
    assert decode_stream(CODEC, chat_request(), TARGET, [body]) == events
    return events


@given(st.lists(_CHUNK, max_size=6), st.booleans())
def test_any_json_in_chunks(values: list[Any], done: bool) -> None:
    frames = [b"data: " + json.dumps(value).encode() + b"\n\n" for value in values]
    _never_raises(b"".join(frames) + (b"data: [DONE]\n\n" if done else b""))


@given(_CHUNK)
def test_any_json_as_a_whole_answer(value: Any) -> None:
    events = CODEC.decode_json(chat_request(stream=False), TARGET, json.dumps(value).encode())
    check_events(events)
    rendered(events)
    completion_json(fold(events))


@given(st.binary(max_size=300))
def test_garbage(body: bytes) -> None:
    assert isinstance(_never_raises(body)[-1], ErrorEvent)
    assert isinstance(CODEC.decode_json(chat_request(False), TARGET, body)[-1], ErrorEvent)
    assert CODEC.decode_error(500, {}, body).status == 500


@given(st.sampled_from([name for name in NAMES if name.endswith(".sse")]), st.data())
def test_truncation_and_damage(name: str, data: st.DataObject) -> None:
    body, expected = sample(name)
    at = data.draw(st.integers(0, len(body)))
    cut = _never_raises(body[:at])
    if "error" not in expected and at < len(body.rstrip()) - 200:
        kept = fold(cut)
        assert isinstance(cut[-1], ErrorEvent) or kept.complete
    _never_raises(body[:at] + data.draw(st.binary(max_size=8)) + body[at:])


@pytest.mark.parametrize("name", ["text.sse", "parallel-tools.sse", "two-choices.sse"])
def test_cut_at_every_byte_is_an_error_until_the_last_finish(name: str) -> None:
    body, _ = sample(name)
    for at in range(body.rindex(b'"finish_reason":"')):
        events = decode_stream(CODEC, chat_request(), TARGET, [body[:at]])
        assert isinstance(events[-1], ErrorEvent), at
