"""Anthropic Messages answers, judged by Anthropic's own SDK."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import openai
import orjson
import pytest
from anthropic.types import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from reflex_core.codecs import get
from reflex_core.codecs.anthropic_messages import CODEC
from reflex_core.types import (
    Annotations,
    ErrorEvent,
    Event,
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
from tests.codecs.oracle_contract import (
    ChoiceSummary,
    Summary,
    chat_request,
    decode_stream,
    error_of,
    fold,
    openai_reads_sse,
    openai_summary,
    rendered,
    same_however_cut,
    target_for,
)
from tests.codecs.samples import check_cut_short, check_garbage, check_json, sample, sample_params
from tests.wire import Case, params

PROTOCOL = "anthropic-messages"
MODEL = "claude-sonnet-4-5-20250929"
TARGET = target_for(PROTOCOL, model=MODEL, auth="x-api-key")
STREAM, WHOLE = chat_request(True), chat_request(False)

SEVERAL_ANSWERS = {
    "vercel-ai--anthropic-programmatic-tool-calling-1",
    "vercel-ai--anthropic-tool-search-bm25-1",
    "vercel-ai--anthropic-tool-search-deferred-bm25",
}
"""Answers of a whole agent loop, put into one file by the recorder: the SDK adds them up, while we
stop at the first `message_stop`."""
DONE_FRAME = {"rig--streaming-gateway-message-delta-metadata"}
"""A gateway ends the stream with OpenAI's `[DONE]`, which Anthropic's SDK takes for broken JSON."""

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "compaction": "length",
    "refusal": "content_filter",
}


# --------------------------------------------------------------------------- the oracle


def sdk(body: bytes, content_type: str, status: int = 200) -> anthropic.Anthropic:
    """Anthropic's SDK with a provider that answers `body` to everything."""

    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": content_type}, content=body)

    http = httpx2.Client(transport=httpx2.MockTransport(answer), trust_env=False)
    return anthropic.Anthropic(
        api_key="test", base_url="http://test", http_client=http, max_retries=0
    )


ASK: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "Hi"}],
}


def sdk_reads_stream(body: bytes) -> Message:
    with sdk(body, "text/event-stream") as client, client.messages.stream(**ASK) as stream:
        return stream.get_final_message()


def sdk_reads_json(body: bytes) -> Message:
    with sdk(body, "application/json") as client:
        return client.messages.create(**ASK)


def sdk_summary(message: Message) -> Summary:
    """What an OpenAI client should see of Anthropic's message."""
    calls = tuple((b.name, b.input) for b in message.content if b.type == "tool_use")
    reason = FINISH[str(message.stop_reason)]
    details = message.stop_details
    counts = message.usage
    prompt = counts.input_tokens + (counts.cache_read_input_tokens or 0)
    prompt += counts.cache_creation_input_tokens or 0
    return Summary(
        (
            ChoiceSummary(
                text="".join(b.text for b in message.content if b.type == "text"),
                reasoning="".join(b.thinking for b in message.content if b.type == "thinking"),
                refusal=(details and details.explanation) or "",
                tool_calls=calls,
                finish_reason="stop" if reason == "tool_calls" and not calls else reason,
            ),
        ),
        (prompt, counts.output_tokens, prompt + counts.output_tokens),
    )


def complete_calls(seen: Summary) -> Summary:
    """Without the arguments of a call that was cut by max_tokens: the SDK mends their JSON."""
    (choice,) = seen.choices
    calls = choice.tool_calls
    if choice.finish_reason == "length" and calls:
        calls = (*calls[:-1], (calls[-1][0], None))
    return Summary(
        (
            ChoiceSummary(
                choice.text, choice.reasoning, choice.refusal, calls, choice.finish_reason
            ),
        ),
        seen.usage,
    )


def assert_agrees(events: list[Event], message: Message) -> None:
    assert complete_calls(openai_summary(events)) == complete_calls(sdk_summary(message))


# --------------------------------------------------------------------------- recorded traffic


@pytest.mark.parametrize("case", params(PROTOCOL, streaming=True, errors=False))
def test_recorded_stream(case: Case) -> None:
    events = same_however_cut(CODEC, STREAM, TARGET, case.body)
    if "error_in_stream" in case.features:
        with pytest.raises(anthropic.APIStatusError), sdk(case.body, "text/event-stream") as client:
            client.messages.create(**ASK, stream=True).__enter__().__next__()
        assert error_of(events)
        return
    assert not error_of(events)
    if case.name in SEVERAL_ANSWERS:
        return
    body = case.body
    if case.name in DONE_FRAME:
        body = body[: body.index(b"event: data")]
    assert_agrees(events, sdk_reads_stream(body))


@pytest.mark.parametrize("case", params(PROTOCOL, streaming=False, errors=False))
def test_recorded_answer(case: Case) -> None:
    events = check_json(CODEC, WHOLE, TARGET, case.body)
    assert_agrees(events, sdk_reads_json(case.body))


@pytest.mark.parametrize("case", params(PROTOCOL, errors=True))
def test_recorded_error(case: Case) -> None:
    error = CODEC.decode_error(case.status, {}, case.body)
    said = json.loads(case.body)["error"]["message"]
    assert error.message == said
    assert error.status == (503 if case.status == 529 else case.status)


# --------------------------------------------------------------------------- our own samples

BROKEN = {"overloaded.sse"}


@pytest.mark.parametrize("name", sample_params(PROTOCOL, "*.sse"))
def test_sample_stream(name: str) -> None:
    body = sample(PROTOCOL, name)
    events = same_however_cut(CODEC, STREAM, TARGET, body)
    check_cut_short(CODEC, STREAM, TARGET, body)
    assert bool(error_of(events)) == (name in BROKEN)
    if name not in BROKEN:
        assert_agrees(events, sdk_reads_stream(body))


@pytest.mark.parametrize("name", sample_params(PROTOCOL, "*.json"))
def test_sample_answer(name: str) -> None:
    body = sample(PROTOCOL, name)
    assert_agrees(check_json(CODEC, WHOLE, TARGET, body), sdk_reads_json(body))


def events_of_sample(name: str) -> list[Event]:
    return decode_stream(CODEC, STREAM, TARGET, [sample(PROTOCOL, name)])


def without_pings(name: str) -> list[Event]:
    return [event for event in events_of_sample(name) if not isinstance(event, Ping)]


def usage_of(events: list[Event]) -> Any:
    return next(event.usage for event in reversed(events) if isinstance(event, UsageEvent))


def test_events_of_tools() -> None:
    start, so_far, *events, finish, usage = without_pings("tools.sse")
    assert start == Start("msg_sample01", MODEL, service_tier="standard")
    assert isinstance(so_far, UsageEvent)
    assert isinstance(usage, UsageEvent)
    assert so_far.usage["prompt_tokens"] == usage.usage["prompt_tokens"]
    assert so_far.usage["completion_tokens"] < usage.usage["completion_tokens"]
    assert events == [
        TextDelta("Both at once."),
        ToolCallStart(0, "toolu_a1", "tide_table"),
        ToolCallDelta(0, '{"har'),
        ToolCallDelta(0, 'bour": "Bre'),
        ToolCallDelta(0, 'st", "days": 2}'),
        ToolCallStart(1, "toolu_a2", "moon_phase"),
        ToolCallDelta(1, "{}"),
    ]
    assert finish == Finish("tool_calls")


def test_every_event_of_the_provider_gives_one_of_ours() -> None:
    body = sample(PROTOCOL, "thinking.sse")
    decoder = CODEC.decoder(STREAM, TARGET)
    for frame in body.split(b"\n\n")[:-1]:
        assert decoder.feed(frame + b"\n\n")


def test_reasoning_and_its_tokens() -> None:
    events = without_pings("thinking.sse")
    thought = [event for event in events if isinstance(event, ReasoningDelta)]
    assert thought == [ReasoningDelta("Tides follow"), ReasoningDelta(" the moon.")]
    assert usage_of(events)["completion_tokens_details"] == {"reasoning_tokens": 31}


def test_cached_tokens() -> None:
    assert usage_of(without_pings("cached.sse")) == {
        "prompt_tokens": 1155,
        "completion_tokens": 5,
        "total_tokens": 1160,
        "prompt_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 128},
    }


def test_citations() -> None:
    events = without_pings("citations.sse")
    text = fold(events).choices[0].content or ""
    assert text == "Let me look. High water is at 06:12, and gulls nest in May"
    (annotations,) = [event for event in events if isinstance(event, Annotations)]
    (cited,) = annotations.items
    place = cited["url_citation"]
    assert text[place["start_index"] : place["end_index"]] == "High water is at 06:12"
    assert (place["url"], place["title"]) == ("https://tides.example/brest", "Brest tides")
    (extra,) = [event for event in events if isinstance(event, Extra)]
    assert extra.choice == 0
    assert [c["cited_text"] for c in extra.fields["citations"]] == ["gulls nest in May"]


def test_refusal() -> None:
    assert without_pings("refusal.sse")[2:-1] == [
        RefusalDelta("This was declined."),
        Finish("content_filter"),
    ]


def test_what_ran_at_the_provider_is_no_tool_call() -> None:
    for name in ("citations.sse", "other_blocks.sse", "pause_turn.sse"):
        assert not any(isinstance(event, ToolCallStart) for event in events_of_sample(name))


def test_overloaded_after_deltas() -> None:
    events = events_of_sample("overloaded.sse")
    error = error_of(events)
    assert error is not None
    assert (error.error.status, error.error.code) == (503, "overloaded")
    assert TextDelta("The tide is") in events
    with pytest.raises(openai.APIError, match="Overloaded"):
        openai_reads_sse(rendered(events))


def test_answer_through_the_output_tool() -> None:
    """A response_format that an older model gives by a forced tool comes back as text."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    asked = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    target = target_for(PROTOCOL, model="claude-3-5-haiku-latest", auth="x-api-key")
    request = chat_request(True, response_format=asked)
    events = same_however_cut(CODEC, request, target, sample(PROTOCOL, "json_tool.sse"))
    (choice,) = openai_summary(events).choices
    assert json.loads(choice.text) == {"city": "Brest", "tides": 2}
    assert (choice.tool_calls, choice.finish_reason) == ((), "stop")


# --------------------------------------------------------------------------- bytes of all kinds


def stream_of(*bodies: Any) -> bytes:
    return b"".join(b"data: " + orjson.dumps(body) + b"\n\n" for body in bodies)


def test_a_frame_of_a_megabyte() -> None:
    text = "𝄞 fermata " * 100_000
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 1}}}
    delta = {"type": "content_block_delta", "index": 0}
    body = stream_of(
        start,
        {**delta, "delta": {"type": "text_delta", "text": text}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}},
        {"type": "message_stop"},
    )
    for chunks in ([body], [body[i : i + 65_536] for i in range(0, len(body), 65_536)]):
        events = decode_stream(CODEC, STREAM, TARGET, chunks)
        assert fold(events).choices[0].content == text


def test_a_frame_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reflex_core.sse.MAX_FRAME", 1000)
    decoder = CODEC.decoder(STREAM, TARGET)
    events = decoder.feed(b"data: " + b"x" * 2000) + decoder.feed(b"\n\n") + decoder.finish()
    assert [type(item) for item in events] == [ErrorEvent]


def test_crlf_comments_and_no_last_newline() -> None:
    body = sample(PROTOCOL, "text.sse").replace(b"\n\n", b"\n\n: hello\n\n").rstrip(b"\n")
    body = body.replace(b"\n", b"\r\n")
    events = same_however_cut(CODEC, STREAM, TARGET, body)
    assert fold(events) == fold(events_of_sample("text.sse"))


def test_error_object_without_sse() -> None:
    body = b'{"type": "error",\n "error": {"type": "rate_limit_error", "message": "Slow down"}}'
    (failure,) = same_however_cut(CODEC, STREAM, TARGET, body)
    assert isinstance(failure, ErrorEvent)
    assert (failure.error.status, failure.error.message) == (429, "Slow down")


def test_nothing_after_the_end() -> None:
    body = sample(PROTOCOL, "text.sse")
    once = decode_stream(CODEC, STREAM, TARGET, [body])
    assert decode_stream(CODEC, STREAM, TARGET, [body, body, b"garbage"]) == once


@pytest.mark.parametrize(
    "body",
    [
        b"data: not json\n\n",
        b"data: [1]\n\n",
        stream_of({"type": "message_stop"}),
        stream_of({"type": "content_block_start", "content_block": {"type": "tool_use"}}),
        b"",
    ],
)
def test_nonsense_is_one_error(body: bytes) -> None:
    events = same_however_cut(CODEC, STREAM, TARGET, body)
    error = error_of(events)
    assert error is not None
    assert error.error.status == 502


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"content": [{"type": "tool_use"}]}', b"\xff"]
)
def test_nonsense_answer_is_one_error(body: bytes) -> None:
    assert error_of(check_json(CODEC, WHOLE, TARGET, body))


def test_error_in_a_200_answer() -> None:
    body = b'{"type": "error", "error": {"type": "api_error", "message": "Oops"}}'
    (failure,) = CODEC.decode_json(WHOLE, TARGET, body)
    assert isinstance(failure, ErrorEvent)
    assert (failure.error.status, failure.error.message) == (500, "Oops")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
KINDS = st.sampled_from(
    [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
        "text",
        "tool_use",
        "thinking",
        "text_delta",
        "input_json_delta",
    ]
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "type": KINDS | JSON,
        "index": JSON,
        "name": st.text(max_size=3) | JSON,
        "text": JSON,
        "partial_json": JSON,
        "stop_reason": st.sampled_from(["end_turn", "tool_use", "refusal"]) | JSON,
        "usage": JSON,
        "citations": JSON,
        "input": JSON,
    },
)
FRAMES = st.fixed_dictionaries(
    {"type": KINDS | JSON},
    optional={
        "index": st.integers(0, 2) | JSON,
        "message": FIELDS | JSON,
        "content_block": FIELDS | JSON,
        "delta": FIELDS | JSON,
        "usage": st.dictionaries(st.just("output_tokens"), JSON) | JSON,
        "error": JSON,
    },
)


@settings(max_examples=40, deadline=None)
@given(st.lists(FRAMES, max_size=8))
def test_frames_of_any_shape(frames: list[Any]) -> None:
    check_garbage(CODEC, STREAM, TARGET, b"".join(map(framed, frames)))


def framed(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200))
def test_garbage(body: bytes) -> None:
    check_garbage(CODEC, STREAM, TARGET, body)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_damaged_stream(data: st.DataObject) -> None:
    body = bytearray(sample(PROTOCOL, "tools.sse"))
    for at in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=4)):
        body[at] = data.draw(st.integers(0, 255))
    check_garbage(CODEC, STREAM, TARGET, bytes(body))


# --------------------------------------------------------------------------- HTTP errors


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "invalid_request_error", (400, "invalid_request_error", None)),
        (401, "authentication_error", (401, "authentication_error", "invalid_api_key")),
        (402, "billing_error", (429, "rate_limit_error", "insufficient_quota")),
        (403, "permission_error", (403, "permission_error", None)),
        (404, "not_found_error", (404, "not_found_error", None)),
        (409, "conflict_error", (409, "conflict_error", None)),
        (413, "request_too_large", (413, "invalid_request_error", None)),
        (429, "rate_limit_error", (429, "rate_limit_error", "rate_limit_exceeded")),
        (500, "api_error", (500, "server_error", None)),
        (504, "timeout_error", (504, "server_error", None)),
        (529, "overloaded_error", (503, "server_error", "overloaded")),
    ],
)
def test_error_status(status: int, kind: str, expected: tuple[int, str, str | None]) -> None:
    body = orjson.dumps({"type": "error", "error": {"type": kind, "message": "No."}})
    error = CODEC.decode_error(status, {"retry-after": "7"}, body)
    assert (error.status, error.type, error.code) == expected
    assert (error.message, error.retry_after) == ("No.", 7)
    (midway,) = CODEC.decode_json(WHOLE, TARGET, body)
    assert isinstance(midway, ErrorEvent)
    assert midway.error.status == expected[0]


def test_error_codes_from_messages() -> None:
    missing = b'{"error": {"type": "not_found_error", "message": "model: claude-x"}}'
    assert CODEC.decode_error(404, {}, missing).code == "model_not_found"
    long = b'{"error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}}'
    assert CODEC.decode_error(400, {}, long).code == "context_length_exceeded"
    page = b"<html><head><title>502 Bad Gateway</title></head></html>"
    assert CODEC.decode_error(502, {}, page).message == "502 Bad Gateway"


def test_is_registered() -> None:
    assert get(PROTOCOL) is CODEC
