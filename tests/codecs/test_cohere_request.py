"""What is sent to Cohere's /v2/chat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from reflex_core.codecs import get
from reflex_core.codecs.cohere_v2 import CODEC
from reflex_core.errors import BadRequest
from tests.codecs.oracle_contract import chat_request, target_for
from tests.codecs.samples import recorded_requests
from tests.wire import Case

PROTOCOL = "cohere-v2"
TARGET = target_for(PROTOCOL, model="command-a-03-2025", base_url="https://api.cohere.test/v2")
STREAM = chat_request(True)


def sent(target: Any = TARGET, **body: Any) -> dict[str, Any]:
    request = CODEC.encode(chat_request(body.pop("stream", False), **body), target)
    return orjson.loads(request.body)


def test_the_plain_request():
    request = CODEC.encode(STREAM, TARGET)
    assert (request.method, request.url) == ("POST", "https://api.cohere.test/v2/chat")
    assert dict(request.headers) == {
        "content-type": "application/json",
        "authorization": "Bearer key-of-provider",
    }
    assert orjson.loads(request.body) == {
        "model": "command-a-03-2025",
        "stream": True,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    assert request.dropped == ()
    assert get(PROTOCOL) is CODEC


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens": 6}),
        ({"temperature": 0, "seed": 0}, {"temperature": 0, "seed": 0}),
        ({"temperature": 2}, {"temperature": 1}),
        ({"top_p": 0.5, "top_k": 3}, {"p": 0.5, "k": 3}),
        ({"top_p": 1}, {"p": 0.99}),
        ({"top_p": 0}, {"p": 0.01}),
        ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
        (
            {"presence_penalty": 0.5, "frequency_penalty": 2},
            {"presence_penalty": 0.5, "frequency_penalty": 1},
        ),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"response_format": {"type": "json_object"}},
            {"response_format": {"type": "json_object"}},
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": SCHEMA},
                }
            },
            {"response_format": {"type": "json_object", "json_schema": SCHEMA}},
        ),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        (
            {"reasoning_effort": "low"},
            {"thinking": {"type": "enabled", "token_budget": 2048}},
        ),
        ({"reasoning_effort": "high"}, {"thinking": {"type": "enabled"}}),
        ({"logprobs": True}, {"logprobs": True}),
        ({"n": 1, "modalities": ["text"]}, {}),
    ],
)
def test_parameters(given: dict[str, Any], expected: dict[str, Any]):
    body = sent(**given)
    assert {k: v for k, v in body.items() if k not in ("model", "stream", "messages")} == expected


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def test_tools():
    tools = [tool("f", description="D", parameters=SCHEMA), tool("g")]
    bare = {"type": "object", "properties": {}}
    assert sent(tools=tools)["tools"] == [
        tool("f", description="D", parameters=SCHEMA),
        tool("g", description="", parameters=bare),
    ]


@pytest.mark.parametrize(
    ("choice", "names", "expected"),
    [
        ("auto", ["f", "g"], None),
        ("none", ["f", "g"], "NONE"),
        ("required", ["f", "g"], "REQUIRED"),
        ({"type": "function", "function": {"name": "g"}}, ["g"], "REQUIRED"),
    ],
)
def test_tool_choice(choice: Any, names: list[str], expected: str | None):
    body = sent(tools=[tool("f"), tool("g")], tool_choice=choice)
    assert [t["function"]["name"] for t in body["tools"]] == names
    assert body.get("tool_choice") == expected


def test_strict_tools():
    strict, loose = tool("f", strict=True), tool("g")
    assert sent(tools=[strict])["strict_tools"] is True
    mixed = CODEC.encode(chat_request(False, tools=[strict, loose]), TARGET)
    assert "strict_tools" not in orjson.loads(mixed.body)
    assert mixed.dropped == ("tools.strict",)


def test_messages():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    remote = {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}}
    function = {"name": "f", "arguments": '{"a": 1}'}
    calls = [{"id": "c1", "type": "function", "function": function}]
    body = sent(
        messages=[
            {"role": "system", "content": "S"},
            {"role": "developer", "content": "D"},
            {"role": "user", "content": [{"type": "text", "text": "a"}] * 2},
            {"role": "user", "content": [{"type": "text", "text": "Look"}, image, remote]},
            {
                "role": "assistant",
                "content": "Let me see.",
                "reasoning_content": "Hm.",
                "tool_calls": calls,
            },
            {"role": "tool", "tool_call_id": "c1", "content": "12"},
            {"role": "assistant", "content": "Done."},
            {"role": "assistant", "content": None, "tool_calls": calls},
        ]
    )
    assert body["messages"] == [
        {"role": "system", "content": "S"},
        {"role": "system", "content": "D"},
        {"role": "user", "content": "aa"},
        {"role": "user", "content": [{"type": "text", "text": "Look"}, image, remote]},
        {
            "role": "assistant",
            "tool_calls": calls,
            "tool_plan": "Let me see.",
            "content": [{"type": "thinking", "thinking": "Hm."}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "12"},
        {"role": "assistant", "content": [{"type": "text", "text": "Done."}]},
        {"role": "assistant", "tool_calls": calls},
    ]


def test_what_is_dropped_is_named():
    request = chat_request(
        False,
        user="u",
        prompt_cache_key="k",
        parallel_tool_calls=False,
        tools=[tool("f")],
        presence_penalty=-1,
        frequency_penalty=1.5,
        temperature=1.5,
        logprobs=True,
        top_logprobs=2,
    )
    assert CODEC.encode(request, TARGET).dropped == (
        "user",
        "prompt_cache_key",
        "parallel_tool_calls",
        "temperature>1",
        "presence_penalty<0",
        "frequency_penalty>1",
        "top_logprobs",
    )


def user(part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}]}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"tool_choice": "required"}, "tool_choice"),
        (
            {
                "tools": [tool("f")],
                "tool_choice": {"type": "function", "function": {"name": "g"}},
            },
            "tool_choice.function.name",
        ),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        (
            user({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}),
            "messages[0].content",
        ),
        (
            user({"type": "file", "file": {"file_data": "AA", "filename": "a.pdf"}}),
            "messages[0].content",
        ),
    ],
)
def test_what_would_change_the_meaning_is_refused(body: dict[str, Any], param: str):
    with pytest.raises(BadRequest) as seen:
        CODEC.encode(chat_request(False, **body), TARGET)
    assert (seen.value.error.status, seen.value.error.param) == (400, param)
    assert param in seen.value.error.message


# --------------------------------------------------------------------------- recorded requests


def from_cohere(body: dict[str, Any]) -> dict[str, Any]:
    """A recorded Cohere request as the OpenAI client would have written it."""
    names = {"stop_sequences": "stop", "p": "top_p", "k": "top_k"}
    kept = ("model", "stream", "tools", "max_tokens", "temperature", "seed", "response_format")
    out = {names.get(k, k): v for k, v in body.items() if k in (*kept, *names) and v is not None}
    out["messages"] = list(_openai_messages(body["messages"]))
    if "tool_choice" in body:
        out["tool_choice"] = body["tool_choice"].lower()
    if "thinking" in body:
        out["reasoning_effort"] = "high"
    return out


def _openai_messages(messages: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for message in messages:
        out = {k: v for k, v in message.items() if k in ("role", "tool_call_id", "tool_calls")}
        if not out.get("tool_calls"):
            out.pop("tool_calls", None)
        content = message.get("content") or ""
        if isinstance(content, list) and message["role"] == "assistant":
            thought = [p["thinking"] for p in content if "thinking" in p]
            if thought:
                out["reasoning_content"] = "".join(thought)
            content = "".join(p.get("text", "") for p in content)
        elif isinstance(content, list) and message["role"] == "tool":
            content = orjson.dumps(content).decode()
        yield {**out, "content": message.get("tool_plan") or content}


def flat(message: dict[str, Any]) -> Any:
    """A message but for the form of its content, and for what a client cannot send."""
    content = message.get("content") or ""
    if isinstance(content, list) and message["role"] != "user":
        content = "".join(part.get("text", "") for part in content)
    elif isinstance(content, list) and all(part["type"] == "text" for part in content):
        content = "".join(part["text"] for part in content)
    kept = {k: message.get(k) or None for k in ("role", "tool_calls", "tool_plan", "tool_call_id")}
    return {**kept, "content": "" if message["role"] == "tool" else content}


@pytest.mark.parametrize("case", recorded_requests(PROTOCOL))
def test_recorded_requests_come_out_as_they_were(case: Case):
    body = case.request
    assert body is not None
    seen = sent(target_for(PROTOCOL, model=body["model"]), **from_cohere(body))
    assert seen.pop("stream") == body.get("stream", False)
    assert [flat(m) for m in seen.pop("messages")] == [flat(m) for m in body["messages"]]
    tools = {t["function"]["name"]: t for t in seen.pop("tools", [])}
    assert tools.keys() == {t["function"]["name"] for t in body.get("tools") or []}
    rest = ("stream", "messages", "tools", "documents")
    assert seen == {k: v for k, v in body.items() if k not in rest and v is not None}
