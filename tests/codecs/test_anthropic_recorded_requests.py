"""Recorded Anthropic requests, said in OpenAI's terms, come out of the codec as they were."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from reflex_core.codecs.anthropic_messages import CODEC
from tests.codecs.oracle_contract import chat_request, target_for
from tests.codecs.samples import recorded_requests
from tests.wire import Case

PROTOCOL = "anthropic-messages"


class NotExpressible(Exception):
    """An OpenAI client has no way to say this."""


def as_openai(request: Mapping[str, Any]) -> dict[str, Any]:
    """The same request as an OpenAI client would put it."""
    body: dict[str, Any] = {}
    messages: list[dict[str, Any]] = []
    for name, value in request.items():
        match name:
            case "max_tokens" | "stream" | "temperature" | "top_p" | "top_k" | "model":
                body[name] = value
            case "stop_sequences":
                body["stop"] = value
            case "metadata":
                body["user"] = value["user_id"]
            case "system":
                texts = [value] if isinstance(value, str) else [block["text"] for block in value]
                messages = [{"role": "system", "content": t} for t in texts] + messages
            case "messages":
                messages += [m for message in value for m in openai_messages(message)]
            case "tools":
                body["tools"] = [openai_tool(tool) for tool in value]
            case "tool_choice":
                body[name] = openai_choice(value)
            case "output_config":
                if set(value) != {"format"}:
                    raise NotExpressible(name)
                shape = {"name": "x", "schema": value["format"]["schema"]}
                body["response_format"] = {"type": "json_schema", "json_schema": shape}
            case "thinking":
                if value != {"type": "enabled", "budget_tokens": 1024}:
                    raise NotExpressible(name)
                body["reasoning_effort"] = "minimal"
            case _:
                raise NotExpressible(name)
    return {**body, "messages": messages}


def openai_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type", "custom") != "custom" or {"allowed_callers", "defer_loading"} & set(tool):
        raise NotExpressible("tool")
    function = {"name": tool["name"], "parameters": tool["input_schema"]}
    function |= {k: tool[k] for k in ("description", "strict") if k in tool}
    return {"type": "function", "function": function}


def openai_choice(choice: Mapping[str, Any]) -> Any:
    if choice["type"] == "tool":
        return {"type": "function", "function": {"name": choice["name"]}}
    return {"any": "required"}.get(choice["type"], choice["type"])


def openai_messages(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    role, content = message["role"], message["content"]
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    out: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for block in content:
        match block["type"]:
            case "text":
                parts.append({"type": "text", "text": block["text"]})
            case "image" if block["source"]["type"] == "base64":
                source = block["source"]
                url = f"data:{source['media_type']};base64,{source['data']}"
                parts.append({"type": "image_url", "image_url": {"url": url}})
            case "tool_use":
                function = {"name": block["name"], "arguments": json.dumps(block["input"])}
                calls.append({"id": block["id"], "type": "function", "function": function})
            case "tool_result" if not block.get("is_error"):
                said = block["content"]
                if not isinstance(said, str) and any(item["type"] != "text" for item in said):
                    raise NotExpressible("tool_result")
                result = {"role": "tool", "tool_call_id": block["tool_use_id"]}
                out.append({**result, "content": plain(said)})
            case kind:
                raise NotExpressible(kind)
    if parts or calls:
        out.append({"role": role, "content": parts or None, "tool_calls": calls or None})
    return out


def plain(value: Any) -> Any:
    """Without what does not change the meaning: cache marks, defaults, shorthand."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    gone = ("cache_control", "caller", "eager_input_streaming", "is_error")
    out = {k: plain(v) for k, v in value.items() if k not in gone}
    for name in ("content", "system"):
        if isinstance(out.get(name), str):
            out[name] = [{"type": "text", "text": out[name]}]
    if out.get("type") == "custom":
        del out["type"]
    if "input_schema" in out and out.get("description") == "":
        del out["description"]
    return out


def expressible() -> list[Any]:
    """Recorded requests that an OpenAI client could have made, beside that client's body."""
    out: list[Any] = []
    for param in recorded_requests(PROTOCOL):
        case = param.values[0]
        if case is None:
            return [pytest.param(None, None, marks=param.marks, id=param.id)]
        try:
            out.append(pytest.param(case, as_openai(case.request), id=case.id))
        except NotExpressible:
            continue
    assert len(out) >= 30, "too few recorded requests are understood here"
    return out


@pytest.mark.parametrize(("case", "body"), expressible())
def test_recorded_request(case: Case, body: dict[str, Any]) -> None:
    rest = {name: value for name, value in body.items() if name not in ("model", "stream")}
    target = target_for(PROTOCOL, model=body["model"])
    request = CODEC.encode(chat_request(body.get("stream", False), **rest), target)
    expected = plain(case.request)
    if not expected.get("stream"):
        expected.pop("stream", None)
    assert json.loads(request.body) == expected
    assert request.dropped == ()
