"""What is sent to Ollama's /api/chat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from reflex_core.codecs import get
from reflex_core.codecs.ollama_chat import CODEC
from reflex_core.errors import BadRequest
from tests.codecs.oracle_contract import chat_request, target_for
from tests.codecs.samples import recorded_requests
from tests.wire import Case

PROTOCOL = "ollama-chat"
TARGET = target_for(PROTOCOL, model="llama3.2", base_url="http://localhost:11434")
STREAM = chat_request(True)


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
        ({"logprobs": True}, {"logprobs": True}),
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
        "tools.strict",
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
