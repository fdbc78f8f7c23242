"""Cohere's chat protocol, version 2, judged by Cohere's own SDK."""

from __future__ import annotations

from typing import Any

import cohere
import httpx
import orjson
import pytest
from cohere.core.api_error import ApiError as CohereApiError
from hypothesis import given
from hypothesis import strategies as st

from reflex_core import sse
from reflex_core.codecs.cohere_v2 import CODEC
from reflex_core.types import (
    Annotations,
    ErrorEvent,
    Event,
    Extra,
    Finish,
    Ping,
    ReasoningDelta,
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
    check_events,
    error_of,
    fold,
    openai_summary,
    parse_arguments,
    same_however_cut,
    target_for,
)
from tests.codecs.samples import (
    check_cut_short,
    check_garbage,
    sample,
    sample_params,
)
from tests.wire import Case, params

PROTOCOL = "cohere-v2"
TARGET = target_for(PROTOCOL, model="command-a-03-2025", base_url="https://api.cohere.test/v2")
STREAM, WHOLE = chat_request(True), chat_request(False)
FINISH = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
}
NOT_READ = {"crlf-without-done.sse": "the SDK drops a last event without a blank line after it"}
"""What the SDK does not read, and why."""


# --------------------------------------------------------------------------- the SDK's reading


def sdk_client(body: bytes, kind: str, status: int = 200) -> cohere.ClientV2:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers={"content-type": kind}, content=body)

    http = httpx.Client(transport=httpx.MockTransport(answer))
    return cohere.ClientV2(
        api_key="k", base_url="https://api.cohere.test", httpx_client=http, max_retries=0
    )


def sdk_events(body: bytes) -> list[Any]:
    return list(sdk_client(body, "text/event-stream").chat_stream(model="m", messages=[]))


class Reading:
    """What Cohere's SDK reads, gathered over the events of a stream."""

    def __init__(self) -> None:
        self.text, self.reasoning = "", ""
        self.calls: list[list[str]] = []
        self.finish: str | None = None
        self.usage: Any = None
        self.error: str | None = None

    def stream(self, body: bytes) -> Reading:
        for event in sdk_events(body):
            message = getattr(event.delta, "message", None) if hasattr(event, "delta") else None
            match event.type:
                case "content-start" | "content-delta" if message.content:
                    self.text += getattr(message.content, "text", None) or ""
                    self.reasoning += getattr(message.content, "thinking", None) or ""
                case "tool-plan-delta":
                    self.text += message.tool_plan
                case "tool-call-start":
                    function = message.tool_calls.function
                    self.calls.append([function.name, function.arguments or ""])
                case "tool-call-delta":
                    self.calls[event.index][1] += message.tool_calls.function.arguments
                case "message-end":
                    self.finish, self.usage = event.delta.finish_reason, event.delta.usage
                    self.error = event.delta.error
                case _:
                    pass
        return self

    def whole(self, body: bytes) -> Reading:
        seen = sdk_client(body, "application/json").chat(model="m", messages=[])
        self.text = seen.message.tool_plan or ""
        for block in seen.message.content or ():
            self.text += getattr(block, "text", None) or ""
            self.reasoning += getattr(block, "thinking", None) or ""
        for call in seen.message.tool_calls or ():
            assert call.function is not None
            self.calls.append([call.function.name or "", call.function.arguments or ""])
        self.finish, self.usage = seen.finish_reason, seen.usage
        return self

    def summary(self) -> Summary:
        """In OpenAI's terms: the tool plan is text, image tokens are prompt tokens."""
        assert self.finish is not None
        choice = ChoiceSummary(
            text=self.text,
            reasoning=self.reasoning,
            tool_calls=tuple((n, parse_arguments(a) or {}) for n, a in self.calls),
            finish_reason=FINISH[self.finish],
        )
        tokens = self.usage.tokens
        read = int(tokens.input_tokens + (getattr(tokens, "image_tokens", None) or 0))
        written = int(tokens.output_tokens)
        return Summary((choice,), (read, written, read + written))


def decoded(body: bytes, stream: bool) -> list[Event]:
    if stream:
        return same_however_cut(CODEC, STREAM, TARGET, body)
    events = CODEC.decode_json(WHOLE, TARGET, body)
    check_events(events)
    return events


def agrees(body: bytes, stream: bool) -> None:
    events = decoded(body, stream)
    seen = Reading().stream(body) if stream else Reading().whole(body)
    if seen.finish in ("ERROR", "TIMEOUT"):
        error = error_of(events)
        assert error is not None
        assert error.error.status == (502 if seen.finish == "ERROR" else 504)
        assert error.error.message == (seen.error or "Cohere ended the answer with TIMEOUT.")
    else:
        assert openai_summary(events) == seen.summary()


@pytest.mark.parametrize("case", params(PROTOCOL, errors=False))
def test_recorded(case: Case):
    agrees(case.body, case.meta["response_file"].endswith(".sse"))


@pytest.mark.parametrize("case", params(PROTOCOL, errors=True))
def test_recorded_http_error(case: Case):
    error = CODEC.decode_error(case.status, {}, case.body)
    with pytest.raises(CohereApiError) as seen:
        sdk_client(case.body, "application/json", case.status).chat(model="m", messages=[])
    assert isinstance(seen.value.body, dict)
    assert (error.status, error.message) == (seen.value.status_code, seen.value.body["message"])
    codes = {400: "context_length_exceeded", 401: "invalid_api_key", 404: "model_not_found"}
    assert error.code == codes[case.status]


@pytest.mark.parametrize("name", sample_params(PROTOCOL, "*.*"))
def test_sample(name: str):
    body = sample(PROTOCOL, name)
    if name in NOT_READ:
        assert Reading().stream(body).finish is None
        body += b"\r\n\r\n"
        assert decoded(body, True) == decoded(sample(PROTOCOL, name), True)
    agrees(body, name.endswith(".sse"))


# --------------------------------------------------------------------------- what we read


def test_the_events_of_a_stream_with_tools():
    events = decoded(sample(PROTOCOL, "tools.sse"), True)
    assert [event for event in events if event != Ping()] == [
        Start(id="c14c80c3-18eb-4519-9460-6c92edd8cfb4"),
        TextDelta("I will look"),
        TextDelta(" it up."),
        ToolCallStart(0, "get_weather_a1", "get_weather"),
        ToolCallDelta(0, '{"ci'),
        ToolCallDelta(0, 'ty":"Oslo"}'),
        ToolCallStart(1, "get_time_b2", "get_time"),
        ToolCallDelta(1, "{}"),
        ToolCallStart(2, "ping_c3", "ping"),
        ToolCallDelta(2, "{}"),
        ToolCallStart(3, "roll_d4", "roll"),
        ToolCallDelta(3, '{"sides": 6}'),
        Finish("tool_calls"),
        UsageEvent({"prompt_tokens": 70, "completion_tokens": 7, "total_tokens": 77}),
    ]


def test_citations_are_kept_and_links_are_annotations():
    events = decoded(sample(PROTOCOL, "citations.sse"), True)
    links = [event for event in events if isinstance(event, Annotations)]
    kept = [event.fields["citations"] for event in events if isinstance(event, Extra)]
    assert links == [
        Annotations(
            (
                {
                    "type": "url_citation",
                    "url_citation": {
                        "url": "https://facts.example/oslo",
                        "title": "Oslo",
                        "start_index": 11,
                        "end_index": 17,
                    },
                },
            )
        )
    ]
    assert [[c["text"] for c in citations] for citations in kept] == [["Norway"], ["Oslo"]]
    assert events.index(links[0]) < events.index(TextDelta("."))
    assert len(fold(events).choices[0].extra["citations"]) == 2
    whole = fold(decoded(sample(PROTOCOL, "whole.json"), False)).choices[0]
    assert whole.annotations[0]["url_citation"]["title"] == "https://facts.example/oslo"
    assert whole.extra["citations"][0]["text"] == "Oslo"


def test_usage_details():
    events = decoded(sample(PROTOCOL, "thinking.sse"), True)
    assert events[-1] == UsageEvent(
        {
            "prompt_tokens": 1394,
            "completion_tokens": 54,
            "total_tokens": 1448,
            "prompt_tokens_details": {"cached_tokens": 1360},
            "completion_tokens_details": {"reasoning_tokens": 49},
        }
    )
    image = decoded(sample(PROTOCOL, "image-usage.sse"), True)[-1]
    assert isinstance(image, UsageEvent)
    assert image.usage["prompt_tokens"] == 761


def test_logprobs_stand_for_pieces_of_text():
    found = fold(decoded(sample(PROTOCOL, "logprobs.sse"), True)).choices[0].logprobs
    assert found == {
        "content": [
            {"token": "Hi", "logprob": -0.25, "bytes": [72, 105], "top_logprobs": []},
            {
                "token": " there",
                "logprob": -1.5,
                "bytes": [32, 116, 104, 101, 114, 101],
                "top_logprobs": [],
            },
        ]
    }
    whole = fold(decoded(sample(PROTOCOL, "whole.json"), False)).choices[0].logprobs
    assert whole is not None
    assert [token["token"] for token in whole["content"]] == ["Oslo"]


def test_each_event_goes_out_when_it_is_complete():
    decoder = CODEC.decoder(STREAM, TARGET)
    frames = sample(PROTOCOL, "thinking.sse").split(b"\n\n")
    seen = [decoder.feed(frame + b"\n\n") for frame in frames if frame]
    assert seen[2:4] == [[ReasoningDelta("They ask")], [ReasoningDelta(" for a sum.")]]
    assert seen[6] == [TextDelta("Four.")]
    assert seen[8][0] == Finish("stop")
    assert decoder.finish() == []


def test_refused_text_keeps_its_reason():
    events = decoded(sample(PROTOCOL, "toxic.sse"), True)
    assert Extra({"native_finish_reason": "ERROR_TOXIC"}, 0) in events


def frame(type: str | None, **fields: Any) -> bytes:
    value = fields if type is None else {"type": type, **fields}
    return b"data: " + orjson.dumps(value) + b"\n\n"


def call(type: str, index: Any, function: Any, **more: Any) -> bytes:
    calls = {"function": function, **more}
    return frame(type, index=index, delta={"message": {"tool_calls": calls}})


END = frame("message-end", delta={"finish_reason": "COMPLETE"})


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"data: <html>\n\n", 502, "bad_upstream_answer"),
        (b"data: [1]\n\n", 502, "bad_upstream_answer"),
        (call("tool-call-start", 0, {}), 502, "bad_upstream_answer"),
        (call("tool-call-start", 0, {"name": "f"}) * 2, 502, "bad_upstream_answer"),
        (call("tool-call-delta", 0, {"arguments": "{"}), 502, "bad_upstream_answer"),
        (frame(None, message="overloaded"), 500, None),
        (frame("message-end", delta={"finish_reason": "ERROR"}), 502, "error"),
    ],
)
def test_a_failure_is_the_last_event(body: bytes, status: int, code: str | None):
    error = error_of(same_however_cut(CODEC, STREAM, TARGET, body + END))
    assert error is not None
    assert (error.error.status, error.error.code) == (status, code)


def test_a_whole_answer_stops_at_what_cannot_be_read():
    bad = {"message": {"tool_calls": [{"id": "x"}, {"function": {"name": "f"}}]}}
    events = CODEC.decode_json(WHOLE, TARGET, orjson.dumps({**bad, "finish_reason": "COMPLETE"}))
    assert [type(event) for event in events] == [Start, ErrorEvent]


@pytest.mark.parametrize("body", [b"", frame("message-start", id="x"), frame("message-end"), b"\n"])
def test_a_stream_without_end_is_an_error(body: bytes):
    error = error_of(same_however_cut(CODEC, STREAM, TARGET, body))
    assert error is not None
    assert error.error.code == "upstream_closed"


def test_odd_values_are_passed_over():
    body = frame("content-delta", delta={"message": {"content": [1]}}, logprobs=7)
    body += frame("content-delta", delta=[]) + frame("novelty") + b": comment\n\n"
    body += frame("citation-start", delta={"message": {"citations": 1}})
    body += call("tool-call-end", 5, {}) + frame("content-delta", index=0, delta=_text("x"))
    body += frame("message-end", delta={"finish_reason": "NOVEL", "usage": {"tokens": {"x": 1}}})
    events = same_however_cut(CODEC, STREAM, TARGET, body + b"data: [DONE]\n\n")
    assert events[:6] == [Ping()] * 6
    assert events[-1] == Finish("content_filter")
    assert fold(events).choices[0].content == "x"


def _text(text: str) -> Any:
    return {"message": {"content": {"text": text}}}


def test_tool_calls_as_older_documents_show_them():
    """Lists of one call, no id, no end of a call, and COMPLETE."""
    start = [{"function": {"name": "f", "arguments": ""}}]
    body = frame("tool-call-start", index=3, delta={"message": {"tool_calls": start}})
    body += call("tool-call-delta", 3, {"arguments": ' {"a": 1}'}) + END
    start, delta, finish = same_however_cut(CODEC, STREAM, TARGET, body)
    assert isinstance(start, ToolCallStart)
    assert start.id.startswith("call_")
    assert (delta, finish) == (ToolCallDelta(0, ' {"a": 1}'), Finish("tool_calls"))


def test_billed_units_count_where_there_are_no_tokens():
    usage = {"billed_units": {"input_tokens": 3.0, "output_tokens": 5.0}}
    end = frame("message-end", delta={"finish_reason": "COMPLETE", "usage": usage})
    assert same_however_cut(CODEC, STREAM, TARGET, end)[-1] == UsageEvent(
        {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    )


def test_an_event_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sse, "MAX_FRAME", 50)
    decoder = CODEC.decoder(STREAM, TARGET)
    assert error_of(decoder.feed(b"data: " + b"x" * 60)) is not None
    assert decoder.feed(END) == []
    assert decoder.finish() == []


def test_a_stream_cut_anywhere_ends_in_one_error():
    for name in ("tools.sse", "crlf-without-done.sse", "error.sse"):
        check_cut_short(CODEC, STREAM, TARGET, sample(PROTOCOL, name))


fragments = st.sampled_from(
    [
        frame("content-delta", index=0, delta=_text("a")),
        call("tool-call-start", 0, {"name": "f", "arguments": ""}, id="i"),
        call("tool-call-start", 1, {"name": "g", "arguments": "n"}),
        call("tool-call-delta", 0, {"arguments": '{"a":'}),
        call("tool-call-delta", 1, {"arguments": "ull"}),
        call("tool-call-end", 0, {}),
        END,
        b"data: [DONE]\n\n",
        b"data: {",
        b"\r\n\r\n",
        b'{"id": "x", "message": {"content": [{"text": "a"}], "tool_calls": [1]}}',
        b'{"finish_reason": "COMPLETE"}',
    ]
)


@given(st.lists(fragments | st.binary(max_size=12), max_size=8))
def test_garbage(pieces: list[bytes]):
    check_garbage(CODEC, STREAM, TARGET, b"".join(pieces))


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (429, {"message": "trial key limit"}, "rate_limit_exceeded"),
        (403, {"message": "no"}, None),
        (422, {"message": "bad tool"}, None),
        (500, {"data": "x"}, None),
    ],
)
def test_http_errors(status: int, body: Any, code: str | None):
    error = CODEC.decode_error(status, {"retry-after": "7"}, orjson.dumps(body))
    assert (error.status, error.code, error.retry_after) == (status, code, 7)
    assert error.message == body.get("message", f"The provider answered with status {status}.")
