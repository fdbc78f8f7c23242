"""Bedrock Converse answers, judged by botocore's own parser."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import openai
import orjson
import pytest
from botocore.exceptions import ClientError, EventStreamError
from hypothesis import given, settings
from hypothesis import strategies as st

from reflex_core.codecs import get
from reflex_core.codecs.bedrock_converse import CODEC
from reflex_core.types import (
    Annotations,
    ErrorEvent,
    Event,
    Extra,
    Finish,
    Ping,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
)
from tests.codecs.aws import client, event, exception, frame, frames
from tests.codecs.oracle_contract import (
    ChoiceSummary,
    Summary,
    chat_request,
    decode_stream,
    error_of,
    fold,
    openai_reads_sse,
    openai_summary,
    parse_arguments,
    rendered,
    same_however_cut,
    target_for,
)
from tests.codecs.samples import check_cut_short, check_garbage, check_json, sample, sample_params
from tests.wire import Case, params

PROTOCOL = "bedrock-converse"
MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
TARGET = target_for(PROTOCOL, model=MODEL)
STREAM, WHOLE = chat_request(True), chat_request(False)

NOT_READ = {
    "dd-trace-js--bedrock-runtime-model-anthropic-claude-3-haiku-20240307-v1-0-332367": (
        "hand-written: a reasoningContent without members, which botocore refuses"
    ),
}
"""What botocore does not read, and why."""

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}


# --------------------------------------------------------------------------- the oracle


def sdk_reads_stream(body: bytes) -> list[dict[str, Any]]:
    answer = client(body).converse_stream(modelId="a.b", messages=[])
    return list(answer["stream"])


def sdk_reads_json(body: bytes) -> dict[str, Any]:
    return client(body).converse(modelId="a.b", messages=[])


def stream_summary(events: Iterable[dict[str, Any]]) -> Summary:
    """What an OpenAI client should see of Converse's events."""
    text = reasoning = ""
    calls: dict[int, tuple[str, str]] = {}
    reason, counts = "", {}
    for item in events:
        ((kind, fields),) = item.items()
        at = fields.get("contentBlockIndex", 0)
        delta = fields.get("delta", {})
        if kind == "contentBlockStart" and "toolUse" in fields["start"]:
            use = fields["start"]["toolUse"]
            if use.get("type") != "server_tool_use":
                calls[at] = (use["name"], "")
        elif "toolUse" in delta and at in calls:
            calls[at] = (calls[at][0], calls[at][1] + delta["toolUse"]["input"])
        elif kind == "messageStop":
            reason = fields["stopReason"]
        elif kind == "metadata":
            counts = fields["usage"]
        text += delta.get("text", "")
        reasoning += delta.get("reasoningContent", {}).get("text", "")
    found = [(name, parse_arguments(arguments)) for name, arguments in calls.values()]
    return whole_summary(text, reasoning, found, reason, counts)


def answer_summary(answer: dict[str, Any]) -> Summary:
    text = reasoning = ""
    calls: list[tuple[str, Any]] = []
    for block in answer["output"]["message"]["content"]:
        text += block.get("text", "")
        for piece in block.get("citationsContent", {}).get("content", []):
            text += piece["text"]
        reasoning += block.get("reasoningContent", {}).get("reasoningText", {}).get("text", "")
        use = block.get("toolUse")
        if use and use.get("type") != "server_tool_use":
            calls.append((use["name"], use["input"]))
    return whole_summary(text, reasoning, calls, answer["stopReason"], answer["usage"])


def whole_summary(
    text: str, reasoning: str, calls: list[Any], reason: str, counts: dict[str, int]
) -> Summary:
    finish = FINISH[reason]
    choice = ChoiceSummary(text, reasoning, "", tuple(calls), finish)
    cached = counts.get("cacheReadInputTokens", 0) + counts.get("cacheWriteInputTokens", 0)
    total = counts["totalTokens"]
    return Summary((choice,), (counts["inputTokens"] + cached, counts["outputTokens"], total))


# --------------------------------------------------------------------------- recorded traffic


@pytest.mark.parametrize("case", params(PROTOCOL, streaming=True, errors=False))
def test_recorded_stream(case: Case) -> None:
    events = same_however_cut(CODEC, STREAM, TARGET, case.body)
    assert openai_summary(events) == stream_summary(sdk_reads_stream(case.body))


@pytest.mark.parametrize("case", params(PROTOCOL, streaming=False, errors=False))
def test_recorded_answer(case: Case) -> None:
    events = check_json(CODEC, WHOLE, TARGET, case.body)
    assert not error_of(events)
    if case.name not in NOT_READ:
        assert openai_summary(events) == answer_summary(sdk_reads_json(case.body))


@pytest.mark.parametrize("case", params(PROTOCOL, errors=True))
def test_recorded_error(case: Case) -> None:
    error = CODEC.decode_error(case.status, {}, case.body)
    assert (error.status, error.message) == (case.status, json.loads(case.body)["message"])
    with pytest.raises(ClientError) as caught:
        client(case.body, case.status).converse(modelId="a.b", messages=[])
    assert caught.value.response["Error"]["Message"] == error.message


# --------------------------------------------------------------------------- our own samples


@pytest.mark.parametrize("name", sample_params(PROTOCOL, "*.jsonl"))
def test_sample_stream(name: str) -> None:
    body = frames(sample(PROTOCOL, name))
    events = same_however_cut(CODEC, STREAM, TARGET, body)
    check_cut_short(CODEC, STREAM, TARGET, body)
    if name == "malformed.jsonl":
        assert error_of(events)
    else:
        assert openai_summary(events) == stream_summary(sdk_reads_stream(body))


def test_sample_answer() -> None:
    body = sample(PROTOCOL, "whole.json")
    events = check_json(CODEC, WHOLE, TARGET, body)
    assert openai_summary(events) == answer_summary(sdk_reads_json(body))
    assert fold(events).service_tier == "flex"


def events_of_sample(name: str) -> list[Event]:
    body = frames(sample(PROTOCOL, name))
    return decode_stream(CODEC, STREAM, TARGET, [body])


def without_pings(name: str) -> list[Event]:
    return [item for item in events_of_sample(name) if not isinstance(item, Ping)]


def test_events_of_tools() -> None:
    *events, usage = without_pings("tools.jsonl")
    assert events == [
        TextDelta("Both."),
        ToolCallStart(0, "tooluse_a1", "tide_table"),
        ToolCallDelta(0, '{"harbour":'),
        ToolCallDelta(0, ' "Brest"}'),
        ToolCallStart(1, "tooluse_a2", "moon_phase"),
        ToolCallDelta(1, "{}"),
        Finish("tool_calls"),
    ]
    assert isinstance(usage, UsageEvent)


def test_reasoning() -> None:
    assert without_pings("reasoning.jsonl")[:3] == [
        ReasoningDelta("Tides follow"),
        ReasoningDelta(" the moon."),
        TextDelta("Twice a day."),
    ]


def test_cached_tokens() -> None:
    (usage,) = [item for item in without_pings("cached.jsonl") if isinstance(item, UsageEvent)]
    assert usage.usage == {
        "prompt_tokens": 1155,
        "completion_tokens": 5,
        "total_tokens": 1160,
        "prompt_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 128},
    }


def citing(events: list[Event]) -> tuple[str, Any, Any]:
    """The text, the web citation and the other citations."""
    text = fold(events).choices[0].content or ""
    (annotations,) = [item for item in events if isinstance(item, Annotations)]
    (extra,) = [item for item in events if isinstance(item, Extra)]
    ((web,), others) = annotations.items, extra.fields["citations"]
    return text, web["url_citation"], others


def test_citations() -> None:
    whole = CODEC.decode_json(WHOLE, TARGET, sample(PROTOCOL, "whole.json"))
    for events in (without_pings("citations.jsonl"), whole):
        text, web, others = citing(events)
        assert text[web["start_index"] : web["end_index"]] == "High water at 06:12"
        assert (web["url"], web["title"]) == ("https://tides.example/brest",) * 2
        assert [citation["title"] for citation in others] == ["notes"]


def test_what_ran_at_the_provider_is_no_tool_call() -> None:
    events = without_pings("citations.jsonl")
    assert not any(isinstance(item, ToolCallStart) for item in events)
    assert "not for the client" not in (fold(events).choices[0].content or "")


def test_answer_through_the_output_tool() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    asked = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    request, target = (
        chat_request(response_format=asked),
        target_for(PROTOCOL, model="amazon.nova-lite-v1:0"),
    )
    body = frames(sample(PROTOCOL, "json_tool.jsonl"))
    (choice,) = openai_summary(same_however_cut(CODEC, request, target, body)).choices
    assert json.loads(choice.text) == {"city": "Brest", "tides": 2}
    assert (choice.tool_calls, choice.finish_reason) == ((), "stop")


# --------------------------------------------------------------------------- failures in the stream


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("throttlingException", 429),
        ("serviceUnavailableException", 503),
        ("internalServerException", 500),
        ("modelStreamErrorException", 502),
        ("validationException", 400),
        ("someNewException", 500),
    ],
)
def test_exception_after_deltas(kind: str, status: int) -> None:
    head = frames(sample(PROTOCOL, "text.jsonl").splitlines()[0])
    head += event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "The tide"}})
    body = head + exception(kind, "Try again.") + event("messageStop", {"stopReason": "end_turn"})
    events = same_however_cut(CODEC, STREAM, TARGET, body)
    error = error_of(events)
    assert error is not None
    assert (error.error.status, error.error.message) == (status, "Try again.")
    assert TextDelta("The tide") in events
    with pytest.raises(EventStreamError):
        sdk_reads_stream(body)
    with pytest.raises(openai.APIError, match="Try again"):
        openai_reads_sse(rendered(events))


def test_unmodelled_error_message() -> None:
    body = frame(b"", message_type="error", error_code="InternalFailure", error_message="Broken.")
    (failure,) = same_however_cut(CODEC, STREAM, TARGET, body)
    assert isinstance(failure, ErrorEvent)
    assert (failure.error.status, failure.error.message) == (500, "Broken.")


def test_damage_is_an_error() -> None:
    good = frames(sample(PROTOCOL, "tools.jsonl"))
    for at in range(0, len(good) - 260, 7):
        bad = bytearray(good)
        bad[at] ^= 0x40
        events = decode_stream(CODEC, STREAM, TARGET, [bytes(bad)])
        error = error_of(events)
        assert error is not None, f"byte {at}"
        assert error.error.status == 502


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        event("messageStop", {}),
        event("contentBlockStart", {"start": {"toolUse": {"toolUseId": "x"}}}),
        frame(b"not json", message_type="event", event_type="metadata"),
    ],
)
def test_nonsense_is_one_error(body: bytes) -> None:
    error = error_of(same_however_cut(CODEC, STREAM, TARGET, body))
    assert error is not None
    assert error.error.status == 502


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"output": 1, "stopReason": 2}'])
def test_nonsense_answer_is_one_error(body: bytes) -> None:
    assert error_of(check_json(CODEC, WHOLE, TARGET, body))


def test_nothing_after_an_error() -> None:
    decoder = CODEC.decoder(STREAM, TARGET)
    assert len(decoder.feed(b"x" * 12)) == 1
    assert decoder.feed(frames(sample(PROTOCOL, "text.jsonl"))) == []
    assert decoder.finish() == []


def test_a_frame_of_a_megabyte() -> None:
    text = "𝄞 fermata " * 100_000
    body = event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})
    body += event("messageStop", {"stopReason": "end_turn"})
    chunks = [body[i : i + 65_536] for i in range(0, len(body), 65_536)]
    events = decode_stream(CODEC, STREAM, TARGET, chunks)
    assert fold(events).choices[0].content == text


# --------------------------------------------------------------------------- bytes of all kinds

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
KINDS = st.sampled_from(
    [
        "messageStart",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
        "newEvent",
    ]
)
USE = st.fixed_dictionaries({}, optional={"name": st.text(max_size=3) | JSON, "input": JSON})
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "contentBlockIndex": st.integers(0, 2) | JSON,
        "start": st.fixed_dictionaries({}, optional={"toolUse": USE | JSON}) | JSON,
        "delta": st.fixed_dictionaries(
            {}, optional={"text": JSON, "toolUse": USE | JSON, "citation": JSON}
        ),
        "stopReason": st.sampled_from(["end_turn", "tool_use", "malformed_tool_use"]) | JSON,
        "usage": JSON,
        "serviceTier": JSON,
    },
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(KINDS, FIELDS), max_size=8))
def test_events_of_any_shape(items: list[Any]) -> None:
    check_garbage(CODEC, STREAM, TARGET, b"".join(event(*item) for item in items))


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=100), st.sampled_from(["text.jsonl", None]))
def test_garbage(body: bytes, first: str | None) -> None:
    head = frames(sample(PROTOCOL, first).splitlines()[1]) if first else b""
    check_garbage(CODEC, STREAM, TARGET, head + body)


# --------------------------------------------------------------------------- HTTP errors


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "ValidationException", (400, "invalid_request_error")),
        (403, "AccessDeniedException", (403, "permission_error")),
        (403, "ExpiredTokenException", (401, "authentication_error")),
        (403, "UnrecognizedClientException", (401, "authentication_error")),
        (404, "ResourceNotFoundException", (404, "not_found_error")),
        (408, "ModelTimeoutException", (408, "invalid_request_error")),
        (424, "ModelErrorException", (502, "server_error")),
        (429, "ThrottlingException", (429, "rate_limit_error")),
        (429, "ModelNotReadyException", (503, "server_error")),
        (400, "ServiceQuotaExceededException", (429, "rate_limit_error")),
        (500, "InternalServerException", (500, "server_error")),
        (503, "ServiceUnavailableException", (503, "server_error")),
    ],
)
def test_error_status(status: int, kind: str, expected: tuple[int, str]) -> None:
    headers = {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/", "retry-after": "3"}
    error = CODEC.decode_error(status, headers, b'{"message": "No."}')
    assert (error.status, error.type) == expected
    assert (error.message, error.code, error.retry_after) == ("No.", kind, 3)


def test_errors_of_other_shapes() -> None:
    typed = orjson.dumps({"__type": "com.amazon#ThrottlingException", "Message": "Slow down."})
    error = CODEC.decode_error(400, {}, typed)
    assert (error.status, error.message) == (429, "Slow down.")
    long = b'{"message": "Input is too long for requested model."}'
    assert CODEC.decode_error(400, {}, long).code == "context_length_exceeded"
    assert CODEC.decode_error(424, {}, b"").status == 502


def test_is_registered_and_names_what_is_missing() -> None:
    assert get(PROTOCOL) is CODEC
    program = (
        "import sys; sys.modules['botocore'] = None\n"
        "from reflex_core.codecs import get\n"
        f"get({PROTOCOL!r})"
    )
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (
        "ImportError: Bedrock needs botocore: pip install 'mitmproxy-reflex[bedrock]'" in run.stderr
    )
