"""Chat requests and answers as a transcript for people. Never raises for what a body may hold."""

from __future__ import annotations

import time
from typing import Any, cast

import orjson

from . import codecs, key
from .catalog_rows import PROVIDERS
from .exchange import Exchange
from .types import ChatRequest, Choice, Completion, Event, Json, Target, ToolCall

_INDENT = "  "
_MAX_VALUE = 120
"""Characters of a parameter's value that are shown."""


def request(body: Json) -> str:
    """The parameters on one line each, then the conversation."""
    lines = [_head(body), *_parameters(body), *_tools(body.get("tools"))]
    for message in _list(body.get("messages")):
        lines += ["", *_message(_dict(message))]
    return "\n".join(lines) + "\n"


def answer(body: bytes) -> str | None:
    """A whole answer or an error; None for JSON that is neither."""
    value = _json(body)
    if isinstance(value.get("error"), dict):
        error = cast(Json, value["error"])
        return (
            f"error: {error.get('message')}\ntype: {error.get('type')}, code: {error.get('code')}\n"
        )
    if value.get("object") != "chat.completion":
        return None
    call, target = _call()
    return _completed(codecs.get("openai-chat").decode_json(call, target, body), 1)


def stream(body: bytes) -> str:
    """A streamed answer, as far as it came."""
    decoder = codecs.get("openai-chat").decoder(*_call())
    return _completed([*decoder.feed(body), *decoder.finish()], body.count(b"\ndata:") + 1)


def loads(body: bytes) -> Json:
    """The object that the JSON holds, empty for anything else."""
    return _json(body)


# --------------------------------------------------------------------------- requests


def _head(body: Json) -> str:
    words = [str(body.get("model", "no model"))]
    if body.get("stream"):
        words.append("stream")
    return ", ".join(words)


def _parameters(body: Json) -> list[str]:
    shown = {
        name: value
        for name, value in body.items()
        if name not in ("model", "messages", "tools", "stream") and value is not None
    }
    return [f"{name}: {_short(value)}" for name, value in shown.items()]


def _tools(tools: Any) -> list[str]:
    names: list[str] = []
    for tool in _list(tools):
        fields = _dict(tool)
        name = _dict(fields.get("function")).get("name") or fields.get("type")
        names.append(str(name))
    return [f"tools: {', '.join(names)}"] if names else []


def _message(message: Json) -> list[str]:
    title = str(message.get("role", "?"))
    if message.get("name"):
        title += f" {message['name']}"
    if message.get("tool_call_id"):
        title += f" ({message['tool_call_id']})"
    lines = [f"[{title}]", *_content(message.get("content"))]
    for call in _list(message.get("tool_calls")):
        fields = _dict(call)
        function = _dict(fields.get("function"))
        made = ToolCall(
            str(fields.get("id")), str(function.get("name")), str(function.get("arguments"))
        )
        lines += _tool_call(made)
    return lines


def _content(content: Any) -> list[str]:
    if isinstance(content, str):
        return _indented(content)
    lines: list[str] = []
    for part in _list(content):
        fields = _dict(part)
        text = fields.get("text")
        lines += _indented(text) if isinstance(text, str) else _indented(_part(fields))
    return lines


def _part(fields: Json) -> str:
    kind = str(fields.get("type", "?"))
    size = len(key.canonical(fields))
    url = _dict(fields.get("image_url")).get("url")
    if isinstance(url, str) and not url.startswith("data:"):
        return f"<{kind} {url}>"
    return f"<{kind}, {size} bytes>"


# --------------------------------------------------------------------------- answers


def _call() -> tuple[ChatRequest, Target]:
    row = PROVIDERS["openai"]
    return ChatRequest(b"", {}, "", stream=True), Target(row, "", row.base_url)


def _completed(events: list[Event], frames: int) -> str:
    exchange = Exchange("", int(time.time()), "")
    exchange.take(events)
    completion = exchange.completion()
    lines = [", ".join(filter(None, [completion.model, completion.id]))]
    for choice in completion.choices:
        lines += ["", *_choice(choice, len(completion.choices) > 1)]
    lines += ["", *_end(completion, frames)]
    if exchange.error is not None:
        lines.append(f"error: {exchange.error.message}")
    return "\n".join(lines) + "\n"


def _choice(choice: Choice, several: bool) -> list[str]:
    title = f"assistant {choice.index}" if several else "assistant"
    lines: list[str] = []
    if choice.reasoning:
        lines += ["[reasoning]", *_indented(choice.reasoning), ""]
    lines += [f"[{title}]", *_indented(choice.content or "")]
    if choice.refusal:
        lines += ["refusal:", *_indented(choice.refusal)]
    for call in choice.tool_calls:
        lines += _tool_call(call)
    for note in choice.annotations:
        citation = _dict(note.get("url_citation"))
        if citation.get("url"):
            lines.append(f"{_INDENT}source: {citation['url']}")
    return [*lines, f"finish: {choice.finish_reason or 'none'}"]


def _end(completion: Completion, frames: int) -> list[str]:
    usage = completion.usage
    lines = [f"{frames} events"] if frames > 1 else []
    if usage:
        cached = _dict(usage.get("prompt_tokens_details")).get("cached_tokens")
        thought = _dict(usage.get("completion_tokens_details")).get("reasoning_tokens")
        prompt = f"{usage.get('prompt_tokens')} in" + (f" ({cached} cached)" if cached else "")
        written = f"{usage.get('completion_tokens')} out"
        written += f" ({thought} reasoning)" if thought else ""
        lines.append(f"usage: {prompt}, {written}, {usage.get('total_tokens')} in all")
    return lines


def _tool_call(call: ToolCall) -> list[str]:
    return [f"{_INDENT}-> {call.name} ({call.id})", *_indented(_pretty(call.arguments), 2)]


# --------------------------------------------------------------------------- pieces


def _pretty(text: str) -> str:
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2).decode()
    except (orjson.JSONDecodeError, TypeError):
        return text


def _short(value: Any) -> str:
    text = key.canonical(value).decode("utf-8", "replace")
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}... ({len(text)} characters)"


def _indented(text: str, depth: int = 1) -> list[str]:
    return [_INDENT * depth + line for line in text.splitlines()]


def _json(body: bytes) -> Json:
    try:
        return _dict(orjson.loads(body))
    except orjson.JSONDecodeError:
        return {}


def _dict(value: Any) -> Json:
    return cast(Json, value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []
