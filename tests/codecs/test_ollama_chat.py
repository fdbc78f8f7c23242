"""Ollama's chat protocol, judged by Ollama's own SDK."""

from __future__ import annotations

from typing import Any

import httpx
import ollama
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core import ndjson
from reflex_core.codecs.ollama_chat import CODEC
from reflex_core.types import (
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
    decode_stream,
    error_of,
    fold,
    openai_summary,
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

PROTOCOL = "ollama-chat"
TARGET = target_for(PROTOCOL, model="llama3.2", base_url="http://localhost:11434")
STREAM, WHOLE = chat_request(True), chat_request(False)

NOT_READ = {
    "line-separator.ndjson": "the SDK takes U+2028 for the end of a line",
    "prism--structured-with-multiple-tools-structured-mode-2": "an answer of /v1/chat/completions",
}
"""What the SDK does not read, and why."""


# --------------------------------------------------------------------------- the SDK's reading


def sdk_client(body: bytes, status: int = 200) -> ollama.Client:
    answer = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
    return ollama.Client(host="http://ollama.test", transport=answer)


def sdk_parts(body: bytes, stream: bool) -> list[ollama.ChatResponse]:
    client = sdk_client(body)
    if stream:
        return list(client.chat(model="m", messages=[], stream=True))
    return [client.chat(model="m", messages=[])]


def sdk_summary(parts: list[ollama.ChatResponse]) -> Summary:
    """What Ollama's SDK reads, in OpenAI's terms as Ollama's own OpenAI endpoint puts them."""
    calls = [call.function for part in parts for call in part.message.tool_calls or ()]
    last = parts[-1]
    reason = last.done_reason or "stop"
    if reason == "stop" and calls:
        reason = "tool_calls"
    counted = last.prompt_eval_count is not None or last.eval_count is not None
    read, written = last.prompt_eval_count or 0, last.eval_count or 0
    choice = ChoiceSummary(
        text="".join(part.message.content or "" for part in parts),
        reasoning="".join(part.message.thinking or "" for part in parts),
        tool_calls=tuple((call.name, dict(call.arguments)) for call in calls),
        finish_reason={"load": "stop", "custom": "content_filter"}.get(reason, reason),
    )
    return Summary((choice,), (read, written, read + written) if counted else None)


def decoded(body: bytes, stream: bool) -> list[Event]:
    if stream:
        return same_however_cut(CODEC, STREAM, TARGET, body)
    events = CODEC.decode_json(WHOLE, TARGET, body)
    check_events(events)
    return events


def agrees(body: bytes, stream: bool) -> None:
    assert openai_summary(decoded(body, stream)) == sdk_summary(sdk_parts(body, stream))


@pytest.mark.parametrize("case", params(PROTOCOL, errors=False))
def test_recorded(case: Case):
    stream = case.meta["response_file"].endswith(".ndjson")
    if case.name in NOT_READ:
        error = error_of(decoded(case.body, stream))
        assert error is not None
        assert error.error.code == "upstream_closed"
        return
    agrees(case.body, stream)


@pytest.mark.parametrize("case", params(PROTOCOL, errors=True))
def test_recorded_http_error(case: Case):
    error = CODEC.decode_error(case.status, {}, case.body)
    with pytest.raises(ollama.ResponseError) as seen:
        sdk_client(case.body, case.status).chat(model="m", messages=[])
    assert (error.status, error.message) == (seen.value.status_code, seen.value.error)
    assert (error.status, error.code, error.type) == (404, "model_not_found", "not_found_error")


@pytest.mark.parametrize("name", sample_params(PROTOCOL, "*.*json"))
def test_sample(name: str):
    body, stream = sample(PROTOCOL, name), name.endswith(".ndjson")
    if name == "error.ndjson":
        with pytest.raises(ollama.ResponseError) as seen:
            sdk_parts(body, stream)
        error = error_of(decoded(body, stream))
        assert error is not None
        assert (error.error.status, error.error.message) == (500, seen.value.error)
    elif name in NOT_READ:
        with pytest.raises(ValueError, match="Unterminated string"):
            sdk_parts(body, stream)
        assert fold(decoded(body, stream)) == fold(decoded(sample(PROTOCOL, "text.ndjson"), True))
    else:
        agrees(body, stream)


# --------------------------------------------------------------------------- what we read


def test_the_events_of_a_stream_with_tools():
    start, text, call, *rest = decoded(sample(PROTOCOL, "tools.ndjson"), True)
    assert start == Start(model="llama3.2", created=1770112800)
    assert text == TextDelta("Let me look.")
    assert isinstance(call, ToolCallStart)
    assert call.id.startswith("call_")
    assert rest == [
        ToolCallDelta(0, '{"city":"Oslo","days":[1,2]}'),
        ToolCallStart(1, "call_given", "get_time"),
        ToolCallDelta(1, "{}"),
        Finish("tool_calls"),
        UsageEvent({"prompt_tokens": 26, "completion_tokens": 12, "total_tokens": 38}),
    ]


def test_ids_are_stable_and_differ_within_an_answer():
    body = sample(PROTOCOL, "tools-at-once.ndjson")
    ids = [e.id for e in decoded(body, True) if isinstance(e, ToolCallStart)]
    assert ids == [e.id for e in decoded(body, True) if isinstance(e, ToolCallStart)]
    assert len(set(ids)) == 2


def test_logprobs_in_openais_shape():
    content = fold(decoded(sample(PROTOCOL, "logprobs.ndjson"), True)).choices[0].logprobs
    assert content == {
        "content": [
            {
                "token": "Hi",
                "logprob": -0.1,
                "bytes": [72, 105],
                "top_logprobs": [
                    {"token": "Hi", "logprob": -0.1, "bytes": [72, 105]},
                    {"token": "Yo", "logprob": -2.5, "bytes": [89, 111]},
                ],
            },
            {"token": " é", "logprob": -0.5, "bytes": [32, 195, 169], "top_logprobs": []},
        ]
    }


def test_each_line_goes_out_when_it_is_complete():
    decoder = CODEC.decoder(STREAM, TARGET)
    lines = sample(PROTOCOL, "thinking.ndjson").splitlines(keepends=True)
    seen = [decoder.feed(line) for line in lines]
    assert seen[0][1:] == [ReasoningDelta("The user")]
    assert seen[1:4] == [[ReasoningDelta(" greets.")], [TextDelta("Hello")], [TextDelta("!")]]
    assert seen[4][0] == Finish("stop")
    assert decoder.finish() == []


def line(**fields: Any) -> bytes:
    return orjson.dumps({"model": "m", "message": {"content": ""}, "done": False, **fields}) + b"\n"


def test_a_line_without_content_keeps_the_client_awake():
    events = decode_stream(CODEC, STREAM, TARGET, [line(), line(), line(done=True)])
    assert events == [Start(model="m"), Ping(), Finish("stop")]


def test_an_unknown_reason_to_stop_is_no_whole_answer():
    events = decode_stream(CODEC, STREAM, TARGET, [line(done=True, done_reason="novel")])
    assert events[1:] == [Extra({"native_finish_reason": "novel"}, 0), Finish("content_filter")]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"<html>\n", "bad_upstream_answer"),
        (b"[1]\n", "bad_upstream_answer"),
        (line(message={"tool_calls": [{"function": {}}]}), "bad_upstream_answer"),
        (line(message={"tool_calls": [3]}), "bad_upstream_answer"),
        (line(), "upstream_closed"),
        (b"", "upstream_closed"),
    ],
)
def test_what_cannot_be_read_is_one_error(bad: bytes, code: str):
    for body in (bad, bad + line(message={"content": "later"}, done=True))[: 1 + bool(bad.strip())]:
        error = error_of(same_however_cut(CODEC, STREAM, TARGET, body))
        if code == "upstream_closed" and body != bad:
            assert error is None
        else:
            assert error is not None
            assert (error.error.status, error.error.code) == (502, code)


def test_a_line_stops_at_what_cannot_be_read():
    calls = [{"function": {}}, {"function": {"name": "f"}}]
    body = line(message={"content": "a", "tool_calls": calls}, done=True)
    events = same_however_cut(CODEC, STREAM, TARGET, body)
    assert [type(event) for event in events] == [Start, TextDelta, ErrorEvent]


def test_odd_values_are_passed_over():
    body = line(message={"content": 3, "thinking": [], "tool_calls": {}}, created_at="never")
    body += line(message=7) + line(message={"content": "x"}, logprobs=[{"token": 1}, 2])
    body += line(done=True, done_reason=9, eval_count="many")
    events = decode_stream(CODEC, STREAM, TARGET, [body])
    assert events[-1] == Finish("stop")
    assert fold(events).choices[0].content == "x"


def test_arguments_that_are_text_stay_text():
    body = line(message={"tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1}'}}]})
    events = decode_stream(CODEC, STREAM, TARGET, [body + line(done=True)])
    assert ToolCallDelta(0, '{"a": 1}') in events


def test_a_line_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ndjson, "MAX_FRAME", 50)
    decoder = CODEC.decoder(STREAM, TARGET)
    error = error_of(decoder.feed(b"x" * 60))
    assert error is not None
    assert decoder.feed(line(done=True)) == []
    assert decoder.finish() == []


def test_a_stream_cut_anywhere_ends_in_one_error():
    for name in ("tools.ndjson", "crlf-no-last-line-end.ndjson", "error.ndjson"):
        check_cut_short(CODEC, STREAM, TARGET, sample(PROTOCOL, name))


fragments = st.sampled_from(
    [
        line(message={"content": "a"}),
        line(message={"tool_calls": [{"function": {"name": "f", "arguments": {"a": [1]}}}]}),
        line(done=True, done_reason="stop"),
        b'{"error": "x"}\n',
        b'{"message": null, "done": "yes"}\n',
        b"\n",
        b"{",
        b'"\\',
        b"\xff",
    ]
)


@given(st.lists(fragments | st.binary(max_size=12), max_size=8))
def test_garbage(pieces: list[bytes]):
    check_garbage(CODEC, STREAM, TARGET, b"".join(pieces))


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (
            400,
            b'{"error": "\\"llama3.2\\" does not support tools"}',
            '"llama3.2" does not support tools',
        ),
        (500, b'{"error": {"message": "cloud failed"}}', "cloud failed"),
        (502, b"Bad Gateway", "Bad Gateway"),
        (404, b'{"error": "model \'x\' not found"}', "model 'x' not found"),
    ],
)
def test_http_errors(status: int, body: bytes, message: str):
    error = CODEC.decode_error(status, {"retry-after": "3"}, body)
    assert (error.status, error.message, error.retry_after) == (status, message, 3)
    assert error.code == ("model_not_found" if status == 404 else None)
