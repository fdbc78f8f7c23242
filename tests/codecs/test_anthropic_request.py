"""Chat requests in Anthropic's terms: what is sent, what is dropped, what is refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from reflex_core.codecs.anthropic_messages import CODEC
from tests.codecs.claude_requests import (
    CALL,
    CALLED,
    FUNCTION,
    OUR_TOOL,
    PROTOCOL,
    RESULT,
    SONNET_45,
    TOOL,
    USER,
    post,
    refused,
    sent,
    tuned,
)
from tests.codecs.oracle_contract import chat_request, target_for

HI = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}


# --------------------------------------------------------------------------- the request as such


def test_smallest_request() -> None:
    request = post(stream=True)
    assert (request.method, request.url) == ("POST", "https://provider.test/v1/messages")
    assert dict(request.headers) == {
        "content-type": "application/json",
        "x-api-key": "sk-ant-test",
        "anthropic-version": "2023-06-01",
    }
    assert json.loads(request.body) == {
        "model": SONNET_45,
        "max_tokens": 64_000,
        "messages": [HI],
        "stream": True,
    }
    assert request.dropped == ()


def test_headers_of_the_provider_row() -> None:
    fixed = (("Anthropic-Version", "2026-10-21"), ("anthropic-beta", "x"))
    target = target_for(PROTOCOL, model=SONNET_45, headers=fixed, auth="bearer", api_key="token")
    headers = CODEC.encode(chat_request(), target).headers
    assert [value for name, value in headers if name.lower() == "anthropic-version"] == [
        "2026-10-21"
    ]
    assert ("authorization", "Bearer token") in headers


def test_default_limit_of_another_host() -> None:
    target = target_for(PROTOCOL, model="other-model", quirks={"max_tokens": 1234})
    assert json.loads(CODEC.encode(chat_request(), target).body)["max_tokens"] == 1234
    assert sent("other-model")["max_tokens"] == 8192


# --------------------------------------------------------------------------- messages


def turns(*messages: Any) -> Any:
    return sent(messages=list(messages))["messages"]


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def test_instructions_become_system() -> None:
    out = sent(
        messages=[
            {"role": "system", "content": "Be brief."},
            USER,
            {"role": "developer", "content": [text("And kind.")]},
        ]
    )
    assert out["system"] == [text("Be brief."), text("And kind.")]
    assert out["messages"] == [HI]


def test_roles_alternate_and_results_come_first() -> None:
    second = {**CALL, "id": "call_2"}
    other = {"role": "tool", "tool_call_id": "call_2", "content": [text("43")]}
    use = {"type": "tool_use", "name": "f", "input": {"a": 1}}
    assert turns(
        USER,
        USER,
        {"role": "assistant", "content": "Looking.", "tool_calls": [CALL, second]},
        RESULT,
        {"role": "user", "content": "Well?"},
        other,
        {"role": "assistant", "content": "42"},
        {"role": "assistant", "content": "and 43."},
    ) == [
        {"role": "user", "content": [text("Hi"), text("Hi")]},
        {
            "role": "assistant",
            "content": [text("Looking."), {**use, "id": "call_1"}, {**use, "id": "call_2"}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [text("42")]},
                {"type": "tool_result", "tool_use_id": "call_2", "content": [text("43")]},
                text("Well?"),
            ],
        },
        {"role": "assistant", "content": [text("42"), text("and 43.")]},
    ]


def test_blank_text_is_left_out() -> None:
    empty = {"role": "assistant", "content": "\n\n"}
    assert turns(USER, empty, USER) == [{"role": "user", "content": [text("Hi"), text("Hi")]}]
    result = turns(USER, CALLED, {**RESULT, "content": ""})[-1]["content"]
    assert result == [{"type": "tool_result", "tool_use_id": "call_1"}]


def test_legacy_function_call() -> None:
    out = sent(
        messages=[
            USER,
            {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "42"},
        ],
        functions=[FUNCTION],
        function_call={"name": "f"},
    )
    use, result = out["messages"][1]["content"][0], out["messages"][2]["content"][0]
    assert use["id"] == result["tool_use_id"]
    assert (out["tools"], out["tool_choice"]) == ([OUR_TOOL], {"type": "tool", "name": "f"})


def test_prefill_is_sent_as_it_is() -> None:
    prefill = {"role": "assistant", "content": "The answer is ("}
    assert turns(USER, prefill)[-1] == {"role": "assistant", "content": [text("The answer is (")]}


def test_sent_back_reasoning_is_dropped() -> None:
    body = {
        "messages": [USER, {"role": "assistant", "content": "A", "reasoning_content": "R"}, USER]
    }
    assert "R" not in json.dumps(sent(**body)["messages"])
    assert post(**body).dropped == ("messages.reasoning_content",)


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def file(name: str, kind: str, data: str) -> dict[str, Any]:
    fields = {"filename": name, "file_data": f"data:{kind};base64,{data}"}
    return {"type": "file", "file": fields}


def test_images_and_documents() -> None:
    words = base64.b64encode("naïve".encode()).decode()
    parts = [
        image("https://example.com/a.png"),
        image("data:image/png;base64,AAAA"),
        file("a.pdf", "application/pdf", "JVBERi0="),
        file("a.md", "text/markdown", words),
    ]
    assert turns({"role": "user", "content": parts})[0]["content"] == [
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
        },
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
            "title": "a.pdf",
        },
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "naïve"},
            "title": "a.md",
        },
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-abc"}},
        file("a.zip", "application/zip", "AAAA"),
        file("a.txt", "text/plain", "!!"),
        image("data:image/tiff;base64,AAAA"),
        image("gs://bucket/a.png"),
    ],
)
def test_parts_that_are_refused(part: dict[str, Any]) -> None:
    assert refused(messages=[{"role": "user", "content": [part]}]) == "messages[0].content"


def test_messages_that_are_refused() -> None:
    assert refused(messages=[{"role": "system", "content": "Alone."}]) == "messages"
    for blank in ("", " \n"):
        assert refused(messages=[{"role": "user", "content": blank}]) == "messages[0].content"


def test_ids_of_calls_keep_to_the_alphabet() -> None:
    call = {**CALL, "id": "functions.f:0"}
    use, result = turns(
        USER, {**CALLED, "tool_calls": [call]}, {**RESULT, "tool_call_id": call["id"]}
    )[1:]
    id = use["content"][0]["id"]
    assert id == result["content"][0]["tool_use_id"] != call["id"]
    assert set(id) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


# --------------------------------------------------------------------------- tools


def choice(**body: Any) -> Any:
    return sent(tools=[TOOL], **body).get("tool_choice")


def test_tools_and_choices() -> None:
    assert sent(tools=[TOOL])["tools"] == [OUR_TOOL]
    assert choice() is None
    assert choice(tool_choice="auto") == {"type": "auto"}
    assert choice(tool_choice="none") == {"type": "none"}
    assert choice(tool_choice="required") == {"type": "any"}
    named = {"type": "function", "function": {"name": "f"}}
    assert choice(tool_choice=named) == {"type": "tool", "name": "f"}


def test_parallel_tool_calls() -> None:
    serial = {"disable_parallel_tool_use": True}
    assert choice(parallel_tool_calls=False) == {"type": "auto", **serial}
    assert choice(parallel_tool_calls=False, tool_choice="required") == {"type": "any", **serial}
    assert choice(parallel_tool_calls=True) is None
    assert "tool_choice" not in sent(parallel_tool_calls=False)


def test_parameters_of_tools() -> None:
    bare = {"type": "function", "function": {"name": "f"}}
    assert sent(tools=[bare])["tools"][0]["input_schema"] == {"type": "object", "properties": {}}
    wrong = {"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}
    assert refused(tools=[TOOL, wrong]) == "tools[1].function.parameters"


STRICT_SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1}},
    "required": ["n"],
    "additionalProperties": False,
}


def strict_tool(name: str, **schema: Any) -> dict[str, Any]:
    function = {"name": name, "strict": True, "parameters": {**STRICT_SCHEMA, **schema}}
    return {"type": "function", "function": function}


def test_strict_tools() -> None:
    tool = sent(tools=[strict_tool("f"), TOOL])["tools"][0]
    assert tool["strict"] is True
    number = {"type": "integer", "description": "{minimum: 1}"}
    assert tool["input_schema"] == {**STRICT_SCHEMA, "properties": {"n": number}}


@pytest.mark.parametrize(
    ("model", "tools"),
    [
        ("claude-sonnet-4-20250514", [strict_tool("f")]),
        (SONNET_45, [strict_tool("f", additionalProperties=True)]),
        (SONNET_45, [strict_tool(f"f{i}") for i in range(21)]),
    ],
    ids=["model", "open", "many"],
)
def test_strict_is_dropped_where_it_would_fail(model: str, tools: list[Any]) -> None:
    request = post(model, tools=tools)
    assert request.dropped == ("tools.strict",)
    assert all("strict" not in tool for tool in json.loads(request.body)["tools"])


def test_choices_that_are_refused() -> None:
    assert refused("claude-opus-5-5", tools=[TOOL], tool_choice="required") == "tool_choice"
    assert refused(tool_choice="required") == "tool_choice"
    named = {"type": "function", "function": {"name": "g"}}
    assert refused(tools=[TOOL], tool_choice=named) == "tool_choice.function.name"


# --------------------------------------------------------------------------- sampling


@pytest.mark.parametrize(
    ("model", "body", "out", "dropped"),
    [
        (SONNET_45, {"temperature": 0}, {"temperature": 0}, ()),
        (SONNET_45, {"temperature": 1, "top_p": 0.5}, {"top_p": 0.5}, ()),
        (SONNET_45, {"temperature": 1}, {"temperature": 1}, ()),
        (SONNET_45, {"temperature": 1, "top_p": 1}, {"top_p": 1}, ()),
        (SONNET_45, {"temperature": 1.5}, {"temperature": 1}, ("temperature>1",)),
        (SONNET_45, {"temperature": 0.2, "top_p": 0.5}, {"temperature": 0.2}, ("top_p",)),
        (SONNET_45, {"temperature": 0.2, "top_p": 1}, {"temperature": 0.2}, ()),
        ("claude-3-5-haiku-latest", {"temperature": 0.2, "top_p": 0.5}, None, ()),
        ("claude-opus-4-7", {"temperature": 0.2, "top_p": 0.5}, {}, ("temperature", "top_p")),
        ("claude-sonnet-5", {"temperature": 1, "top_p": 1}, {}, ()),
        (SONNET_45, {"top_k": 40}, {"top_k": 40}, ()),
        (SONNET_45, {"max_tokens": 9}, {"max_tokens": 9}, ()),
        (SONNET_45, {"max_tokens": 9, "max_completion_tokens": 7}, {"max_tokens": 7}, ()),
        (SONNET_45, {"stop": "END"}, {"stop_sequences": ["END"]}, ()),
        (SONNET_45, {"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}, ()),
        (SONNET_45, {"user": "u1"}, {"metadata": {"user_id": "u1"}}, ()),
        (SONNET_45, {"safety_identifier": "u2"}, {"metadata": {"user_id": "u2"}}, ()),
        (SONNET_45, {"service_tier": "auto"}, {"service_tier": "auto"}, ()),
        (SONNET_45, {"service_tier": "default"}, {"service_tier": "standard_only"}, ()),
        (SONNET_45, {"service_tier": "flex"}, {}, ("service_tier",)),
        (SONNET_45, {"seed": 7}, {}, ("seed",)),
        (SONNET_45, {"presence_penalty": 1}, {}, ("presence_penalty",)),
        (SONNET_45, {"frequency_penalty": 1}, {}, ("frequency_penalty",)),
        (SONNET_45, {"store": True, "x_new": 1}, {}, ("store", "x_new")),
        (SONNET_45, {"modalities": ["text"], "n": 1, "logprobs": False}, {}, ()),
    ],
)
def test_parameters(
    model: str, body: dict[str, Any], out: dict[str, Any] | None, dropped: tuple[str, ...]
) -> None:
    got, lost = tuned(model, **body)
    expected = body if out is None else out
    assert {k: v for k, v in got.items() if k != "max_tokens" or k in expected} == expected
    assert lost == dropped


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"stop": ["a", "\n"]}, "stop[1]"),
        ({"stop": ""}, "stop[0]"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"web_search_options": {"x": 1}}, "web_search_options"),
        ({"temperature": "hot"}, "temperature"),
    ],
)
def test_parameters_that_are_refused(body: dict[str, Any], param: str) -> None:
    assert refused(**body) == param
