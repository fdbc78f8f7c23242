"""Ollama's chat protocol, judged by Ollama's own SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import ollama
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reflex_core import ndjson
from reflex_core.codecs import get
from reflex_core.codecs.ollama_chat import CODEC
from reflex_core.errors import BadRequest
from reflex_core.types import (
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
    recorded_requests,
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
@settings(max_examples=100)
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
    ],
)
def test_http_errors(status: int, body: bytes, message: str):
    error = CODEC.decode_error(status, {"retry-after": "3"}, body)
    assert (error.status, error.message, error.retry_after) == (status, message, 3)


# --------------------------------------------------------------------------- what we send


def sent(target: Any = TARGET, **body: Any) -> dict[str, Any]:
    request = CODEC.encode(chat_request(body.pop("stream", False), **body), target)
    return orjson.loads(request.body)


def refused(**body: Any) -> BadRequest:
    with pytest.raises(BadRequest) as seen:
        CODEC.encode(chat_request(False, **body), TARGET)
    return seen.value


def test_the_plain_request():
    request = CODEC.encode(chat_request(True), TARGET)
    assert (request.method, request.url) == ("POST", "http://localhost:11434/api/chat")
    assert dict(request.headers) == {
        "content-type": "application/json",
        "authorization": "Bearer key-of-provider",
    }
    assert orjson.loads(request.body) == {
        "model": "llama3.2",
        "stream": True,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    assert request.dropped == ()
    assert get(PROTOCOL) is CODEC


@pytest.mark.parametrize("base", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/api"])
def test_the_url_whatever_the_base_url_ends_in(base: str):
    target = target_for(PROTOCOL, base_url=base, api_key=None)
    request = CODEC.encode(STREAM, target)
    assert request.url == "http://h:1/api/chat"
    assert "authorization" not in dict(request.headers)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_tokens": 5}, {"options": {"num_predict": 5}}),
        ({"max_completion_tokens": 6}, {"options": {"num_predict": 6}}),
        ({"temperature": 0, "top_p": 0.5}, {"options": {"temperature": 0, "top_p": 0.5}}),
        ({"stop": "X", "seed": 0}, {"options": {"stop": ["X"], "seed": 0}}),
        (
            {"presence_penalty": 1, "frequency_penalty": -1, "top_k": 40},
            {"options": {"presence_penalty": 1, "frequency_penalty": -1, "top_k": 40}},
        ),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"format": "json"}),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"type": "object"}},
                }
            },
            {"format": {"type": "object"}},
        ),
        ({"reasoning_effort": "none"}, {"think": False}),
        ({"reasoning_effort": "minimal"}, {"think": "low"}),
        ({"reasoning_effort": "high"}, {"think": "high"}),
        ({"reasoning_effort": "xhigh"}, {"think": "max"}),
        ({"logprobs": True, "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"n": 1, "modalities": ["text"], "logit_bias": {}}, {}),
    ],
)
def test_parameters(given: dict[str, Any], expected: dict[str, Any]):
    body = sent(**given)
    assert {k: v for k, v in body.items() if k not in ("model", "stream", "messages")} == expected


def test_options_of_the_catalogue_row_come_under_those_of_the_request():
    target = target_for(PROTOCOL, quirks={"options": {"num_ctx": 32768, "seed": 1}})
    assert sent(target, seed=2)["options"] == {"num_ctx": 32768, "seed": 2}


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"$ref": "#/$defs/City"}},
            "required": ["city"],
            "$defs": {"City": {"type": "string"}},
        },
        "strict": True,
    },
}
BARE = {"type": "function", "function": {"name": "get_time"}}


def test_tools():
    body = sent(tools=[TOOL, BARE], tool_choice="auto")
    assert body["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "Weather of a city",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                },
            },
        },
        {
            "type": "function",
            "function": {
                "name": "get_time",
                "description": "",
                "parameters": {"type": "object", "properties": {}},
            },
        },
    ]
    assert "tools" not in sent(tools=[BARE], tool_choice="none")


def test_messages():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    call = {"id": "c1", "type": "function"}
    body = sent(
        messages=[
            {"role": "system", "content": "S"},
            {"role": "developer", "content": "D"},
            {"role": "user", "content": [{"type": "text", "text": "Look"}, image, image]},
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "Hm.",
                "tool_calls": [{**call, "function": {"name": "f", "arguments": '{"a": 1}'}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "12"},
            {"role": "assistant", "content": "Done."},
            {"role": "assistant", "function_call": {"name": "g", "arguments": "{}"}},
            {"role": "function", "name": "g", "content": "old"},
        ]
    )
    assert body["messages"] == [
        {"role": "system", "content": "S"},
        {"role": "system", "content": "D"},
        {"role": "user", "content": "Look", "images": ["AAAA", "AAAA"]},
        {
            "role": "assistant",
            "content": "",
            "thinking": "Hm.",
            "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"a": 1}}}],
        },
        {"role": "tool", "content": "12", "tool_name": "f", "tool_call_id": "c1"},
        {"role": "assistant", "content": "Done."},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_g", "function": {"name": "g", "arguments": {}}}],
        },
        {"role": "tool", "content": "old", "tool_name": "g", "tool_call_id": "call_g"},
    ]


def test_what_is_dropped_is_named():
    request = chat_request(
        False,
        user="u",
        metadata={"a": "b"},
        parallel_tool_calls=False,
        tools=[TOOL],
        service_tier="auto",
        store=True,
        verbosity="low",
    )
    assert CODEC.encode(request, TARGET).dropped == (
        "user",
        "metadata",
        "service_tier",
        "store",
        "verbosity",
        "parallel_tool_calls",
        "tools.function.strict",
    )


def user(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [BARE], "tool_choice": "required"}, "tool_choice"),
        (
            {
                "tools": [BARE],
                "tool_choice": {"type": "function", "function": {"name": "get_time"}},
            },
            "tool_choice",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "alloy"}}, "audio"),
        ({"web_search_options": {"search_context_size": "low"}}, "web_search_options"),
        (
            user({"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}),
            "messages[0].content",
        ),
        (
            user({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}),
            "messages[0].content",
        ),
        (user({"type": "file", "file": {"file_id": "file-1"}}), "messages[0].content"),
        (
            {"messages": [{"role": "tool", "tool_call_id": "c9", "content": "x"}]},
            "messages[0].tool_call_id",
        ),
    ],
)
def test_what_would_change_the_meaning_is_refused(body: dict[str, Any], param: str):
    error = refused(**body).error
    assert (error.status, error.param) == (400, param)
    assert param in error.message


# --------------------------------------------------------------------------- recorded requests


def from_ollama(body: dict[str, Any]) -> dict[str, Any]:
    """A recorded Ollama request as the OpenAI client would have written it."""
    out = {k: v for k, v in body.items() if k in ("model", "stream", "tools") and v}
    out["messages"] = list(_openai_messages(body["messages"]))
    options = dict(body.get("options") or {})
    for theirs, ours in (("num_predict", "max_tokens"), ("temperature",) * 2, ("seed",) * 2):
        if theirs in options:
            out[ours] = options[theirs]
    if body.get("format") and body["format"] != "json":
        schema = {"name": "answer", "schema": body["format"]}
        out["response_format"] = {"type": "json_schema", "json_schema": schema}
    if body.get("think") is False:
        out["reasoning_effort"] = "none"
    return out


def _openai_messages(messages: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    waiting: list[str] = []
    for at, message in enumerate(messages):
        out = {"role": message["role"], "content": message.get("content", "")}
        if message.get("thinking"):
            out["reasoning_content"] = message["thinking"]
        if calls := message.get("tool_calls"):
            waiting = [call.get("id", f"call_{at}_{i}") for i, call in enumerate(calls)]
            out["tool_calls"] = [
                {
                    "id": id,
                    "type": "function",
                    "function": {
                        "name": call["function"]["name"],
                        "arguments": orjson.dumps(call["function"]["arguments"]).decode(),
                    },
                }
                for id, call in zip(waiting, calls, strict=True)
            ]
        if message["role"] == "tool":
            out["tool_call_id"] = waiting.pop(0)
        yield out


@pytest.mark.parametrize("case", recorded_requests(PROTOCOL))
def test_recorded_requests_come_out_as_they_were(case: Case):
    body = case.request
    assert body is not None
    seen = sent(target_for(PROTOCOL, model=body["model"]), **from_ollama(body))
    assert seen["model"] == body["model"]
    assert seen["stream"] == body.get("stream", True)
    assert seen.get("options", {}) == (body.get("options") or {})
    assert seen.get("format") == (body.get("format") or None)
    if body.get("think") is not True:  # OpenAI has no word for thinking without a level
        assert seen.get("think") == body.get("think")
    assert len(seen["messages"]) == len(body["messages"])
    for ours, theirs in zip(seen["messages"], body["messages"], strict=True):
        for name in ("role", "content", "thinking", "images"):
            assert ours.get(name) == theirs.get(name)
        ours_calls = [call["function"] for call in ours.get("tool_calls", [])]
        their_calls = [call["function"] for call in theirs.get("tool_calls") or []]
        assert ours_calls == [{"name": f["name"], "arguments": f["arguments"]} for f in their_calls]
    assert [t["function"]["name"] for t in seen.get("tools", [])] == [
        t["function"]["name"] for t in body.get("tools") or []
    ]
