from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.errors import ApiError
from reflex_core.fold import Folder
from reflex_core.render import ChunkRenderer, completion_json, completion_sse
from reflex_core.types import (
    Annotations,
    Choice,
    Completion,
    ErrorEvent,
    Event,
    Extra,
    Finish,
    Ping,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
    usage,
)
from tests.codecs.oracle_contract import (
    ChoiceSummary,
    Summary,
    check_chunks,
    openai_chunks,
    openai_reads_json,
    openai_reads_sse,
    openai_summary,
    summary,
)

CALL: list[Event] = [
    ToolCallStart(0, "call_1", "get"),
    ToolCallDelta(0, '{"a":'),
    ToolCallDelta(0, "1}"),
    Finish("tool_calls"),
]


def render(*events: Event, include_usage: bool = False, legacy: bool = False) -> bytes:
    renderer = ChunkRenderer("id-1", 7, "gpt-4o", include_usage, legacy)
    return b"".join(map(renderer.feed, events)) + renderer.finish()


def chunks(body: bytes) -> list[dict[str, Any]]:
    frames = [frame for frame in body.split(b"\n\n") if frame.startswith(b"data: {")]
    return [json.loads(frame.removeprefix(b"data: ")) for frame in frames]


def folded(*events: Event) -> Completion:
    folder = Folder("id-1", 7, "gpt-4o")
    for event in events:
        folder.feed(event)
    return folder.completion()


# --------------------------------------------------------------------------- streams


def test_a_plain_answer_byte_by_byte() -> None:
    head = '{"id":"id-1","object":"chat.completion.chunk","created":7,"model":"gpt-4o","choices":['
    assert render(TextDelta("Hi"), Finish("stop")).decode() == (
        f'data: {head}{{"index":0,"delta":{{"role":"assistant","content":""}},'
        f'"finish_reason":null}}]}}\n\n'
        f'data: {head}{{"index":0,"delta":{{"content":"Hi"}},"finish_reason":null}}]}}\n\n'
        f'data: {head}{{"index":0,"delta":{{}},"finish_reason":"stop"}}]}}\n\n'
        f"data: [DONE]\n\n"
    )


def test_usage_chunk_only_when_asked_for() -> None:
    events = [UsageEvent(usage(1, 2)), TextDelta("a"), Finish("stop"), UsageEvent(usage(1, 3))]
    assert not any("usage" in chunk for chunk in chunks(render(*events)))
    *rest, last = chunks(render(*events, include_usage=True))
    assert all(chunk["usage"] is None for chunk in rest)
    assert last["usage"] == usage(1, 3)
    assert last["choices"] == []


def test_no_usage_chunk_when_the_provider_gave_none() -> None:
    *_, last = chunks(render(TextDelta("a"), Finish("stop"), include_usage=True))
    assert last["choices"]


def test_start_gives_later_chunks_fingerprint_and_tier() -> None:
    first, *_, last = chunks(
        render(TextDelta("a"), Start(system_fingerprint="fp", service_tier="flex"), Finish("stop"))
    )
    assert "system_fingerprint" not in first
    assert (last["system_fingerprint"], last["service_tier"]) == ("fp", "flex")


def test_ping_is_a_comment() -> None:
    assert render(Ping("wait\nhere")).startswith(b": wait here\n\n")


def test_error_is_the_last_event() -> None:
    body = render(TextDelta("a"), ErrorEvent(ApiError(429, "slow down")), TextDelta("b"))
    assert body.endswith(
        b'data: {"error":{"message":"slow down","type":"rate_limit_error",'
        b'"param":null,"code":null}}\n\n'
    )
    assert b"[DONE]" not in body
    with pytest.raises(openai.APIError, match="slow down"):
        openai_chunks(body)


def test_roles_come_in_order_of_index_whoever_speaks_first() -> None:
    body = render(TextDelta("b", 1), TextDelta("a", 0), Finish("stop", 0), Finish("stop", 1))
    check_chunks(body)
    seen = summary(openai_reads_sse(body))
    assert [choice.text for choice in seen.choices] == ["a", "b"]


def test_lists_in_deltas_are_numbered_for_the_sdk() -> None:
    """openai.lib.streaming raises for a second list of objects without `index`."""
    citations = [{"type": "url_citation", "url_citation": {"url": u}} for u in "abc"]
    body = render(
        TextDelta("x"),
        Annotations(tuple(citations[:1])),
        Annotations(tuple(citations[1:])),
        Extra({"steps": [{"n": 1}]}, 0),
        Extra({"steps": [{"n": 2, "index": 5}], "tags": ["a"]}, 0),
        Finish("stop"),
    )
    message = openai_reads_sse(body).choices[0].message.to_dict()
    urls = [item["url_citation"]["url"] for item in message["annotations"]]  # pyright: ignore
    assert urls == ["a", "b", "c"]
    assert message["steps"] == [{"index": 0, "n": 1}, {"n": 2, "index": 5}]
    assert message["tags"] == ["a"]


def test_extra_of_the_answer_is_a_chunk_without_choices() -> None:
    chunk = chunks(render(Extra({"citations": ["u"]})))[0]
    assert chunk["citations"] == ["u"]
    assert chunk["choices"] == []


def test_logprobs_stand_beside_their_delta() -> None:
    body = render(
        TextDelta("a", logprobs={"content": [{"token": "a", "logprob": -1.0}]}),
        RefusalDelta("b", logprobs={"refusal": [{"token": "b", "logprob": -2.0}]}),
        Finish("stop"),
    )
    logprobs = openai_reads_sse(body).choices[0].logprobs
    assert logprobs is not None
    assert [token.token for token in logprobs.content or ()] == ["a"]
    assert [token.token for token in logprobs.refusal or ()] == ["b"]


# --------------------------------------------------------------------------- legacy functions


def test_legacy_stream() -> None:
    second: list[Event] = [ToolCallStart(1, "call_2", "other"), ToolCallDelta(1, "{}")]
    deltas = [
        choice
        for chunk in chunks(render(*CALL[:3], *second, CALL[3], legacy=True))
        for choice in chunk["choices"]
    ]
    assert [choice["delta"] for choice in deltas] == [
        {"role": "assistant", "content": ""},
        {"function_call": {"name": "get", "arguments": ""}},
        {"function_call": {"arguments": '{"a":'}},
        {"function_call": {"arguments": "1}"}},
        {},
    ]
    assert deltas[-1]["finish_reason"] == "function_call"


def test_legacy_json_and_replay() -> None:
    stored = folded(*CALL)
    message = openai_reads_json(completion_json(stored, legacy_functions=True)).choices[0]
    assert message.finish_reason == "function_call"
    assert message.message.tool_calls is None
    assert message.message.function_call is not None
    assert message.message.function_call.arguments == '{"a":1}'
    replay = completion_sse(stored, include_usage=False, legacy_functions=True)
    assert b'"function_call":{"name":"get"' in replay
    assert b"tool_calls" not in replay


def test_legacy_leaves_other_answers_alone() -> None:
    events: list[Event] = [TextDelta("no call"), Finish("stop")]
    assert render(*events, legacy=True) == render(*events)
    stored = folded(*events)
    assert completion_json(stored, legacy_functions=True) == completion_json(stored)


# --------------------------------------------------------------------------- JSON


def test_json_of_an_answer_with_everything() -> None:
    body = json.loads(
        completion_json(
            Completion(
                "id-1",
                7,
                "gpt-4o",
                (
                    Choice(
                        content="x",
                        reasoning="r",
                        tool_calls=(ToolCall("c", "f", "{}"),),
                        annotations=({"type": "url_citation"},),
                        logprobs={"content": []},
                        finish_reason="tool_calls",
                        extra={"audio": {"id": "a"}, "content": "never"},
                    ),
                ),
                usage(1, 2),
                "fp",
                "flex",
                {"citations": ["u"], "id": "never"},
            )
        )
    )
    assert body == {
        "id": "id-1",
        "object": "chat.completion",
        "created": 7,
        "model": "gpt-4o",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "x",
                    "refusal": None,
                    "reasoning_content": "r",
                    "tool_calls": [
                        {
                            "id": "c",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                    "annotations": [{"type": "url_citation"}],
                    "audio": {"id": "a"},
                },
                "logprobs": {"content": []},
                "finish_reason": "tool_calls",
            }
        ],
        "usage": usage(1, 2),
        "service_tier": "flex",
        "system_fingerprint": "fp",
        "citations": ["u"],
    }


def test_custom_tool_calls_stand_beside_functions() -> None:
    custom = {"id": "c2", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    events = [*CALL[:3], Extra({"tool_calls": [{"index": 1, **custom}]}, 0), CALL[3]]
    expected = Summary(
        (
            ChoiceSummary(
                tool_calls=(("get", {"a": 1}), ("sql", "select 1")), finish_reason="tool_calls"
            ),
        )
    )
    assert summary(openai_reads_json(completion_json(folded(*events)))) == expected
    assert summary(openai_reads_sse(render(*events))) == expected


# --------------------------------------------------------------------------- properties

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_CHOICE = st.integers(0, 2)
_DELTAS = st.lists(
    st.builds(TextDelta, _TEXT, _CHOICE)
    | st.builds(ReasoningDelta, _TEXT, _CHOICE)
    | st.builds(RefusalDelta, _TEXT, _CHOICE)
    | st.builds(Ping, _TEXT)
    | st.builds(Annotations, st.just(({"type": "url_citation"},)), _CHOICE)
    | st.builds(Extra, st.just({"citations": [{"u": 1}]}), _CHOICE),
    max_size=15,
)


@given(_DELTAS, st.booleans())
def test_the_sdk_reads_stream_replay_and_json_alike(deltas: list[Event], called: bool) -> None:
    calls: list[Event] = (
        [ToolCallStart(0, "c", "f", 1), ToolCallDelta(0, "{}", 1)] if called else []
    )
    ends: list[Event] = [Finish("stop", choice) for choice in range(3)]
    openai_summary([*deltas, *calls, *ends, UsageEvent(usage(1, 2))])
