"""A prompt as the body of Ollama's POST /api/chat.

Source: github.com/ollama/ollama docs/api.md, docs/capabilities/thinking.mdx.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ..types import AudioPart, FilePart, ImagePart, Json, Message, Prompt, Target, Tool
from . import native
from .schema import inlined, parameters

_THINK: Mapping[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "max": "max",
}


def encode(asked: Prompt, target: Target) -> tuple[Json, list[str]]:
    """The body, and the names of dropped parameters. Raises BadRequest."""
    dropped = native.leftovers(asked, mapped=("top_k",))
    body: Json = {"model": target.model, "stream": asked.stream}
    body["messages"] = _messages(asked)
    body |= _tools(asked, dropped) | _answer(asked)
    if options := _options(asked, target):
        body["options"] = options
    return body, dropped


def _messages(asked: Prompt) -> list[Json]:
    names = native.tool_names(asked.messages)
    return [_message(message, names) for message in asked.messages]


def _message(message: Message, names: Mapping[str, str]) -> Json:
    role = "system" if message.role == "developer" else message.role
    out: Json = {"role": role, "content": message.text}
    if images := [_image(part, message) for part in message.parts if _is_media(part, message)]:
        out["images"] = images
    if message.reasoning:
        out["thinking"] = message.reasoning
    if message.tool_calls:
        out["tool_calls"] = [
            {
                "id": call.id,
                "function": {"name": call.name, "arguments": native.arguments(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        out["tool_name"] = native.tool_name(message, names)
        out["tool_call_id"] = message.tool_call_id
    return out


def _is_media(part: Any, message: Message) -> bool:
    if isinstance(part, AudioPart | FilePart):
        kind = "audio" if isinstance(part, AudioPart) else "files"
        native.refuse(f"{message.path}.content", f"Ollama takes text and images, no {kind}")
    return isinstance(part, ImagePart)


def _image(part: Any, message: Message) -> str:
    image = cast(ImagePart, part)
    if image.data is None:
        reason = "Ollama fetches no image URLs; send the image as a base64 data URL"
        native.refuse(f"{message.path}.content", reason)
    return image.data


def _tools(asked: Prompt, dropped: list[str]) -> Json:
    """Ollama lets the model choose: no tools for "none", and no way to force a call."""
    native.check_tool_choice(asked)
    choice = asked.tool_choice
    if choice and choice.mode in ("required", "named"):
        native.refuse("tool_choice", "Ollama cannot make a model call a tool")
    if asked.parallel_tool_calls is False:
        dropped.append("parallel_tool_calls")
    if any(tool.strict for tool in asked.tools):
        dropped.append("tools.strict")
    if not asked.tools or (choice and choice.mode == "none"):
        return {}
    return {"tools": [_tool(tool) for tool in asked.tools]}


def _tool(tool: Tool) -> Json:
    """References are written out: Ollama's prompt templates do not follow them."""
    function: Json = {"name": tool.name, "description": tool.description or ""}
    function["parameters"] = inlined(parameters(tool.parameters))
    return {"type": "function", "function": function}


def _answer(asked: Prompt) -> Json:
    """What the answer is to look like: format, thinking, logprobs."""
    if asked.n > 1:
        native.refuse("n", "Ollama gives one answer")
    out: Json = {}
    form = asked.response_format
    if form and form.kind == "json_object":
        out["format"] = "json"
    elif form and form.kind == "json_schema":
        out["format"] = form.schema or "json"
    if asked.reasoning_effort:
        out["think"] = _THINK[asked.reasoning_effort]
    if asked.logprobs:
        out["logprobs"] = True
        if asked.top_logprobs:
            out["top_logprobs"] = asked.top_logprobs
    return out


def _options(asked: Prompt, target: Target) -> Json:
    given: Json = {
        "num_predict": asked.max_tokens,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "top_k": asked.extra.get("top_k"),
        "stop": list(asked.stop) or None,
        "seed": asked.seed,
        "presence_penalty": asked.presence_penalty,
        "frequency_penalty": asked.frequency_penalty,
    }
    fixed: Json = dict(target.provider.quirks.get("options") or {})
    return fixed | {name: value for name, value in given.items() if value is not None}
