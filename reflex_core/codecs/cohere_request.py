"""A prompt as the body of Cohere's POST /v2/chat.

Source: docs.cohere.com/reference/chat, /reference/chat-stream, /docs/structured-outputs.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..types import ImagePart, Json, Message, Part, Prompt, Target, TextPart
from . import native
from .schema import parameters

_BUDGET: Mapping[str, int | None] = {
    "minimal": 512,
    "low": 2048,
    "medium": 8192,
    "high": None,
    "xhigh": None,
    "max": None,
}
"""Thinking tokens for an effort, None for no limit. Cohere has no efforts: the steps are ours."""
_LOWEST_P, _HIGHEST_P = 0.01, 0.99


def encode(asked: Prompt, target: Target) -> tuple[Json, list[str]]:
    """The body, and the names of dropped parameters. Raises BadRequest."""
    dropped = native.leftovers(asked, mapped=("top_k",))
    if asked.n > 1:
        native.refuse("n", "Cohere gives one answer")
    body: Json = {"model": target.model, "stream": asked.stream}
    body["messages"] = [_message(message) for message in asked.messages]
    body |= _tools(asked, dropped) | _sampling(asked, dropped) | _answer(asked, dropped)
    return body, dropped


# --------------------------------------------------------------------------- messages


def _message(message: Message) -> Json:
    match message.role:
        case "assistant":
            return _assistant(message)
        case "tool":
            return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
        case "user":
            if all(isinstance(part, TextPart) for part in message.parts):
                return {"role": "user", "content": message.text}
            return {"role": "user", "content": [_part(part, message) for part in message.parts]}
        case _:
            return {"role": "system", "content": message.text}


def _part(part: Part, message: Message) -> Json:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if not isinstance(part, ImagePart):
        native.refuse(f"{message.path}.content", "Cohere takes text and images only")
    image: Json = {"url": part.url or f"data:{part.media_type};base64,{part.data}"}
    if part.detail:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def _assistant(message: Message) -> Json:
    """The text before tool calls is Cohere's `tool_plan`."""
    out: Json = {"role": "assistant"}
    content: list[Json] = []
    if message.reasoning:
        content.append({"type": "thinking", "thinking": message.reasoning})
    if message.tool_calls:
        out["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
        if message.text:
            out["tool_plan"] = message.text
    else:
        content.append({"type": "text", "text": message.text})
    if content:
        out["content"] = content
    return out


# --------------------------------------------------------------------------- parameters


def _tools(asked: Prompt, dropped: list[str]) -> Json:
    """A named tool is the only one that is sent, and required."""
    native.check_tool_choice(asked)
    if asked.parallel_tool_calls is False:
        dropped.append("parallel_tool_calls")
    if not asked.tools:
        return {}
    choice, tools, out = asked.tool_choice, asked.tools, Json()
    if choice and choice.mode == "named":
        tools = tuple(tool for tool in tools if tool.name == choice.name)
    out["tools"] = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description or "",
                "parameters": parameters(tool.parameters),
            },
        }
        for tool in tools
    ]
    if choice and choice.mode != "auto":
        out["tool_choice"] = "NONE" if choice.mode == "none" else "REQUIRED"
    if all(tool.strict for tool in tools):
        out["strict_tools"] = True
    elif any(tool.strict for tool in tools):
        dropped.append("tools.strict")
    return out


def _sampling(asked: Prompt, dropped: list[str]) -> Json:
    given: Json = {
        "max_tokens": asked.max_tokens,
        "temperature": asked.temperature and min(asked.temperature, 1),
        "p": None if asked.top_p is None else min(max(asked.top_p, _LOWEST_P), _HIGHEST_P),
        "k": asked.extra.get("top_k"),
        "stop_sequences": list(asked.stop) or None,
        "seed": asked.seed,
    }
    if (asked.temperature or 0) > 1:
        dropped.append("temperature>1")
    for name in ("presence_penalty", "frequency_penalty"):
        value: float | None = getattr(asked, name)
        if value is not None and value >= 0:
            given[name] = min(value, 1)
        if value is not None and not 0 <= value <= 1:
            dropped.append(f"{name}<0" if value < 0 else f"{name}>1")
    return {name: value for name, value in given.items() if value is not None}


def _answer(asked: Prompt, dropped: list[str]) -> Json:
    out: Json = {}
    form = asked.response_format
    if form and form.kind != "text":
        schema = {"json_schema": form.schema} if form.schema else {}
        out["response_format"] = {"type": "json_object", **schema}
    if asked.reasoning_effort == "none":
        out["thinking"] = {"type": "disabled"}
    elif asked.reasoning_effort:
        budget = _BUDGET[asked.reasoning_effort]
        limit = {"token_budget": budget} if budget else {}
        out["thinking"] = {"type": "enabled", **limit}
    if asked.logprobs:
        out["logprobs"] = True
    if asked.top_logprobs:
        dropped.append("top_logprobs")
    return out
