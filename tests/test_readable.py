from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from reflex_core import readable
from reflex_core.render import completion_json, completion_sse
from reflex_core.types import Choice, Completion, ToolCall, usage

ANSWER = Completion(
    id="chatcmpl-1",
    created=1,
    model="gpt-4o",
    choices=(
        Choice(
            content="Hello\nworld",
            reasoning="let me think",
            tool_calls=(ToolCall("call_1", "get_weather", '{"city":"Zürich"}'),),
            finish_reason="tool_calls",
        ),
    ),
    usage=usage(9, 3, cached=2, reasoning=1),
)


def test_request() -> None:
    body = {
        "model": "gpt-4o",
        "stream": True,
        "temperature": 0.2,
        "messages": [
            {"role": "system", "content": "Be nice"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "call_1", "function": {"name": "look", "arguments": '{"at":1}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "a cat"},
        ],
        "tools": [{"type": "function", "function": {"name": "look"}}],
    }
    text = readable.request(body)
    assert text.startswith("gpt-4o, stream\ntemperature: 0.2\ntools: look\n")
    for part in (
        "[system]\n  Be nice",
        "[user]\n  What is this?\n  <image_url https://example.com/a.png>\n  <image_url, ",
        '  -> look (call_1)\n    {\n      "at": 1\n    }',
        "[tool (call_1)]\n  a cat",
    ):
        assert part in text
    assert "AAAA" not in text


def test_stream_and_json_read_alike() -> None:
    whole = readable.answer(completion_json(ANSWER, False))
    stream = readable.stream(completion_sse(ANSWER, True, False))
    assert whole is not None
    for text in (whole, stream):
        assert "gpt-4o, chatcmpl-1" in text
        assert "[reasoning]\n  let me think" in text
        assert "[assistant]\n  Hello\n  world" in text
        assert '  -> get_weather (call_1)\n    {\n      "city": "Zürich"\n    }' in text
        assert "finish: tool_calls" in text
        assert "usage: 9 in (2 cached), 3 out (1 reasoning), 12 in all" in text
    assert "events" in stream


def test_a_broken_stream_shows_what_came() -> None:
    whole = completion_sse(ANSWER, True, False)
    text = readable.stream(whole[: len(whole) // 2])
    assert "error: " in text
    failed = (
        whole[:200].rpartition(b"\n\n")[0] + b'\n\ndata: {"error": {"message": "Overloaded"}}\n\n'
    )
    assert "error: Overloaded" in readable.stream(failed)


def test_errors_and_other_json() -> None:
    error = {"error": {"message": "No.", "type": "invalid_request_error", "code": "bad"}}
    text = readable.answer(orjson.dumps(error))
    assert text == "error: No.\ntype: invalid_request_error, code: bad\n"
    for other in (b"{}", b"[]", b"nonsense", b'{"object": "list"}'):
        assert readable.answer(other) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "tool_calls", "function", "type", "text", "name"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["model", "messages", "tools", "stream", "stop", "n"]), JSON)
)
def test_any_request(body: dict[str, Any]) -> None:
    assert readable.request(body).endswith("\n")


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    readable.stream(data)
    readable.stream(b"data: " + data + b"\n\n")
    readable.answer(data)
