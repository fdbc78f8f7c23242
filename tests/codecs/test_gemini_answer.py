"""What we make of Gemini's answers, beyond what its SDK can judge."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from reflex_core.codecs.gemini import CODEC
from reflex_core.types import (
    ErrorEvent,
    Extra,
    Finish,
    Ping,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
)
from tests.codecs.gemini_parts import PROTOCOL, STREAM, TARGET, WHOLE, chunk, decoded
from tests.codecs.oracle_contract import error_of, fold, same_however_cut
from tests.codecs.samples import sample


def test_the_events_of_a_stream_with_tools():
    events = decoded(sample(PROTOCOL, "tools.sse"), True)
    first, second = (e.id for e in events if isinstance(e, ToolCallStart) and e.index < 2)
    assert events == [
        Start(id="Kx3maNqLO4", model="gemini-2.5-flash"),
        TextDelta("Let me look."),
        ToolCallStart(0, first, "get_weather"),
        Extra({"thought_signatures": {first: "c2lnLW9uZQ=="}}, 0),
        ToolCallDelta(0, '{"city":"Oslo","days":[1,2]}'),
        ToolCallStart(1, second, "get_weather"),
        ToolCallDelta(1, '{"city":"Bergen"}'),
        ToolCallStart(2, "fc-7", "get_time"),
        ToolCallDelta(2, "{}"),
        Finish("tool_calls"),
        UsageEvent({"prompt_tokens": 50, "completion_tokens": 35, "total_tokens": 85}),
    ]
    assert first != second
    assert fold(events).choices[0].extra == {"thought_signatures": {first: "c2lnLW9uZQ=="}}


def test_the_events_of_arguments_in_pieces():
    events = decoded(sample(PROTOCOL, "vertex-partial-args.sse"), True)
    assert events[0] == Start(id="v1Rt3x", model="gemini-3-flash-preview", created=1770112800)
    deltas = [e.arguments for e in events if isinstance(e, ToolCallDelta)]
    assert [json.loads(text) for text in deltas] == [
        {
            "guest": {"name": 'Ada "L"'},
            "nights": [3, 4.5],
            "late check-in": True,
            "note": None,
        },
        {},
        {"line": "unfinished"},
    ]


def test_events_go_out_with_the_part_they_came_in():
    decoder = CODEC.decoder(STREAM, TARGET)
    frames = sample(PROTOCOL, "thoughts.sse").split(b"\r\n\r\n")
    seen = [decoder.feed(frame + b"\r\n\r\n") for frame in frames if frame]
    assert seen[0][1:] == [ReasoningDelta("**Adding**\n\nTwo and two.")]
    assert seen[1:] == [
        [TextDelta("Four")],
        [
            Start("Kx3maNqLO4", "gemini-2.5-flash", service_tier="default"),
            TextDelta("."),
        ],
    ]
    usage = {"prompt_tokens": 5, "completion_tokens": 42, "total_tokens": 47}
    usage |= {"completion_tokens_details": {"reasoning_tokens": 40}}
    assert decoder.finish() == [Finish("stop"), UsageEvent(usage)]


def test_usage_counts_tools_as_prompt_and_thoughts_as_completion():
    usage = decoded(sample(PROTOCOL, "grounding.sse"), True)[-1]
    assert usage == UsageEvent(
        {
            "prompt_tokens": 120,
            "completion_tokens": 16,
            "total_tokens": 136,
            "prompt_tokens_details": {"cached_tokens": 8},
            "completion_tokens_details": {"reasoning_tokens": 4},
        }
    )


def test_code_and_its_result_are_kept():
    choice = fold(decoded(sample(PROTOCOL, "code-execution.sse"), True)).choices[0]
    assert choice.extra["code_execution"] == [
        {"type": "code", "language": "PYTHON", "code": "print(6*7)\n"},
        {"type": "result", "outcome": "OUTCOME_OK", "output": "42\n"},
    ]


def test_images_and_other_media_are_kept():
    choice = fold(decoded(sample(PROTOCOL, "image.json"), False)).choices[0]
    url = "data:image/png;base64,iVBORw0KGgo="
    assert choice.extra["images"] == [{"type": "image_url", "image_url": {"url": url}}]
    assert choice.extra["media"] == [{"mime_type": "audio/L16;rate=24000", "data": "AAAA"}]


def test_logprobs_in_openais_shape():
    found = fold(decoded(sample(PROTOCOL, "logprobs.json"), False)).choices[0].logprobs
    hi = {"token": "Hi", "logprob": -0.25, "bytes": [72, 105]}
    yo = {"token": "Yo", "logprob": -1.5, "bytes": [89, 111]}
    e = {"token": " é", "logprob": 0.0, "bytes": [32, 195, 169]}
    assert found == {"content": [{**hi, "top_logprobs": [hi, yo]}, {**e, "top_logprobs": [e]}]}


def test_what_was_withheld_keeps_its_reason():
    for name, reason in (("safety.sse", "SAFETY"), ("other-reason.sse", "OTHER")):
        events = decoded(sample(PROTOCOL, name), True)
        assert Extra({"native_finish_reason": reason}, 0) in events
        assert Finish("content_filter") in events
    blocked = decoded(sample(PROTOCOL, "blocked-prompt.sse"), True)
    refusal = RefusalDelta("The provider blocked the prompt (PROHIBITED_CONTENT).")
    assert refusal in blocked
    assert blocked.index(refusal) < blocked.index(Finish("content_filter"))


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        *(("STOP", "stop"), (1, "stop"), ("MAX_TOKENS", "length"), (2, "length")),
        *((reason, "content_filter") for reason in ("SAFETY", "RECITATION", "LANGUAGE", "OTHER")),
        *((reason, "content_filter") for reason in ("BLOCKLIST", "PROHIBITED_CONTENT", "SPII")),
        *((reason, "content_filter") for reason in ("IMAGE_SAFETY", "MODEL_ARMOR", "NO_IMAGE")),
        *((reason, "content_filter") for reason in (3, 4, 5, 16, 99, -1, "SOMETHING_NEW")),
    ],
)
def test_finish_reasons(reason: Any, expected: Any):
    assert decoded(chunk(finish=reason), True)[-1] == Finish(expected)


@pytest.mark.parametrize(
    "reason",
    [
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
        9,
        15,
    ],
)
def test_an_answer_that_cannot_be_used_is_an_error_worth_a_retry(reason: Any):
    both = chunk(finish="STOP", index=1) + chunk(finish=reason, finishMessage="why")
    error = error_of(decoded(both, True))
    assert error is not None
    assert (error.error.status, error.error.message) == (502, "why")


@pytest.mark.parametrize("reason", ["FINISH_REASON_UNSPECIFIED", 0, "", None, [1]])
def test_no_finish_reason_is_an_error(reason: Any):
    error = error_of(decoded(chunk(finish=reason, parts=[{"text": "a"}]), True))
    assert error is not None
    assert error.error.code == "upstream_closed"


@pytest.mark.parametrize(
    "body",
    [
        b"data: <html>\n\n",
        b"data: [1]\n\n",
        b'{"error": {"code": \n\n',
        b"[17]",
        b"[[1]]",
        b"[oops]",
        chunk(index=64),
        chunk(index=64) + chunk(finish="STOP"),
    ],
)
def test_what_cannot_be_read_is_one_error(body: bytes):
    error = error_of(same_however_cut(CODEC, STREAM, TARGET, body))
    assert error is not None
    assert (error.error.status, error.error.code) == (502, "bad_upstream_answer")


def test_odd_values_are_passed_over():
    body = b": hello\r\n\r\n" + chunk(parts=[{"text": 3}, {"functionCall": 1}, 7, {"x": 1}])
    body += b'data: {"candidates": {}, "promptFeedback": [], "usageMetadata": 4}\r\n\r\n'
    body += chunk(parts=[{"inlineData": 3}], logprobsResult={"chosenCandidates": [{}, 1]})
    body += chunk(finish="STOP", groundingMetadata={"groundingSupports": [1, {}]}, index="0")
    events = same_however_cut(CODEC, STREAM, TARGET, body + b"data: [DONE]\r\n\r\n")
    assert events == [
        *[Ping()] * 3,
        Extra({"media": [{"mime_type": "", "data": ""}]}, 0),
        *[Ping()] * 2,
        Extra({"grounding_metadata": {"groundingSupports": [1, {}]}}, 0),
        Finish("stop"),
    ]


def test_after_an_error_no_candidate_speaks():
    bad = {"index": 99}
    good = {"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}
    events = CODEC.decode_json(WHOLE, TARGET, orjson.dumps({"candidates": [bad, good]}))
    assert [type(event) for event in events] == [ErrorEvent]


def test_why_an_answer_was_withheld_is_kept():
    events = decoded(chunk(finish="SPII", finishMessage="A phone number."), True)
    kept = {"native_finish_reason": "SPII", "finish_message": "A phone number."}
    assert events == [Ping(), Extra(kept, 0), Finish("content_filter")]


def test_logprobs_belong_to_text_not_to_thoughts():
    parts = [{"text": "t", "thought": True}, {"text": "a"}]
    events = decoded(
        chunk(finish="STOP", parts=parts, logprobsResult={"chosenCandidates": [{"token": "a"}]}),
        True,
    )
    assert events[0] == ReasoningDelta("t")
    assert isinstance(events[1], TextDelta)
    assert events[1].logprobs is not None


def test_logprobs_without_text_stand_alone():
    body = chunk(finish="STOP", logprobsResult={"chosenCandidates": [{"token": "a"}]})
    text = decoded(body, True)[0]
    assert isinstance(text, TextDelta)
    assert text.text == ""
    assert text.logprobs is not None
