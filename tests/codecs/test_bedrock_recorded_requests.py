"""Recorded Converse requests, said in OpenAI's terms, come out of the codec as they were.

The model is one without rules of its own, so that nothing is left out for its sake.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from reflex_core.codecs.bedrock_converse import CODEC
from tests.codecs.oracle_contract import chat_request, target_for
from tests.codecs.samples import recorded_requests
from tests.wire import Case

PROTOCOL = "bedrock-converse"


class NotExpressible(Exception):
    """An OpenAI client has no way to say this."""


def as_openai(request: Mapping[str, Any]) -> dict[str, Any]:
    """The same request as an OpenAI client would put it."""
    names = {"maxTokens": "max_tokens", "temperature": "temperature", "topP": "top_p"}
    names |= {"stopSequences": "stop"}
    body: dict[str, Any] = {names[k]: v for k, v in request.get("inferenceConfig", {}).items()}
    known = {"messages", "system", "inferenceConfig", "toolConfig"}
    if set(request) - known:
        raise NotExpressible
    if any(set(block) != {"text"} for block in request.get("system", [])):
        raise NotExpressible
    system = [{"role": "system", "content": block["text"]} for block in request.get("system", [])]
    body["messages"] = system + [m for turn in request["messages"] for m in openai_messages(turn)]
    config = request.get("toolConfig")
    if config:
        body["tools"] = [openai_tool(tool) for tool in config["tools"]]
        body["tool_choice"] = {"any": "required", "auto": "auto", None: None}[
            next(iter(config.get("toolChoice", {})), None)
        ]
    return body


def openai_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if "toolSpec" not in tool:
        raise NotExpressible
    spec = tool["toolSpec"]
    function = {"name": spec["name"], "parameters": spec["inputSchema"]["json"]}
    if "description" in spec:
        function["description"] = spec["description"]
    return {"type": "function", "function": function}


def openai_messages(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for block in turn["content"]:
        match block:
            case {"text": words}:
                parts.append({"type": "text", "text": words})
            case {"image": {"format": kind, "source": {"bytes": data}}}:
                url = f"data:image/{kind};base64,{data}"
                parts.append({"type": "image_url", "image_url": {"url": url}})
            case {"toolUse": use}:
                function = {"name": use["name"], "arguments": json.dumps(use["input"])}
                calls.append({"id": use["toolUseId"], "type": "function", "function": function})
            case {"toolResult": {"toolUseId": id, "content": [{"text": words}]}}:
                out.append({"role": "tool", "tool_call_id": id, "content": words})
            case _:
                raise NotExpressible
    if parts or calls:
        out.append({"role": turn["role"], "content": parts or None, "tool_calls": calls or None})
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
    assert len(out) >= 20, "too few recorded requests are understood here"
    return out


def plain(request: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is a default, and without members that say nothing."""
    out = json.loads(json.dumps(request))
    for turn in out["messages"]:
        for block in turn["content"]:
            if "toolResult" in block:
                block["toolResult"].pop("status", None)
    if not out.get("inferenceConfig", {}).get("stopSequences"):
        out.get("inferenceConfig", {}).pop("stopSequences", None)
    return {name: value for name, value in out.items() if value not in ({}, [])}


@pytest.mark.parametrize(("case", "body"), expressible())
def test_recorded_request(case: Case, body: dict[str, Any]) -> None:
    assert case.request is not None
    target = target_for(PROTOCOL, model="meta.llama3-8b-instruct-v1:0")
    request = CODEC.encode(chat_request(case.streaming, **body), target)
    assert json.loads(request.body) == plain(case.request)
    assert request.dropped == ()
