"""Prompt -> Anthropic Messages request body.

Source: platform.claude.com/docs/en/api/messages, API version 2023-06-01.
"""

from __future__ import annotations

import base64
import binascii

from ..types import (
    AudioPart,
    FilePart,
    ImagePart,
    Json,
    Message,
    Part,
    Prompt,
    ToolChoice,
)
from . import native
from .claude_models import Claude, claude
from .claude_params import (
    Output,
    check,
    object_schema,
    output,
    output_description,
    safe_id,
    sampling,
    says,
    strict_schemas,
    texts,
    thinking,
    unmapped,
)

_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_TIERS = {"auto": "auto", "default": "standard_only"}


def request_body(prompt: Prompt, model: str, max_tokens: int | None) -> tuple[Json, list[str]]:
    """The body, and the parameters that were dropped.

    `max_tokens` is sent where the client names none; None: the model's own maximum. Raises
    BadRequest for what the API cannot do.
    """
    check(prompt)
    facts = claude(model)
    dropped = unmapped(prompt, ("user", "safety_identifier", "top_k", "service_tier"))
    answer = answer_form(prompt, facts)
    dropped += answer.lost
    limit = prompt.max_tokens or max_tokens or facts.max_output
    body: Json = {
        "model": model,
        "max_tokens": limit,
        "messages": native.turns(prompt, _blocks, _is_result),
    }
    if system := _system(prompt, answer):
        body["system"] = system
    choice = _tool_choice(prompt, facts, answer)
    forced = choice is not None and choice["type"] in ("any", "tool")
    if tools := _tools(prompt, facts, answer, dropped):
        body["tools"] = tools
        if choice is not None:
            body["tool_choice"] = choice
    think = thinking(prompt, facts, limit, forced, dropped)
    if think.config is not None:
        body["thinking"] = think.config
    config: Json = {"effort": think.effort} if think.effort else {}
    if answer.how == "native":
        config["format"] = {"type": "json_schema", "schema": answer.schema}
    if config:
        body["output_config"] = config
    body.update(sampling(prompt, facts, think.on, dropped))
    if prompt.stop:
        body["stop_sequences"] = list(prompt.stop)
    body.update(_rest(prompt, dropped))
    return body, dropped


def answer_form(prompt: Prompt, facts: Claude) -> Output:
    """How the answer takes the asked form; the decoder must know it too."""
    return output(prompt, native=facts.structured, forced_tools=facts.forced_tools)


def _rest(prompt: Prompt, dropped: list[str]) -> Json:
    out: Json = {}
    user = prompt.user or prompt.extra.get("safety_identifier")
    if isinstance(user, str) and user:
        out["metadata"] = {"user_id": user}
    tier = prompt.extra.get("service_tier")
    if isinstance(tier, str) and tier in _TIERS:
        out["service_tier"] = _TIERS[tier]
    elif tier is not None:
        dropped.append("service_tier")
    return out


# --------------------------------------------------------------------------- messages


def _system(prompt: Prompt, answer: Output) -> list[Json]:
    """Instructions have one place, before the conversation, wherever they stood in it."""
    found = [
        text
        for message in prompt.messages
        if message.role in ("system", "developer")
        for text in texts(message)
    ]
    if answer.instruction:
        found.append(answer.instruction)
    return [{"type": "text", "text": text} for text in found]


def _is_result(block: Json) -> bool:
    return block["type"] == "tool_result"


def _blocks(message: Message) -> list[Json]:
    if message.role == "tool":
        result: Json = {"type": "tool_result", "tool_use_id": safe_id(message.tool_call_id or "")}
        if content := [{"type": "text", "text": text} for text in texts(message)]:
            result["content"] = content
        return [result]
    blocks = [_part(part, f"{message.path}.content") for part in message.parts if says(part)]
    blocks += [
        {
            "type": "tool_use",
            "id": safe_id(call.id),
            "name": call.name,
            "input": native.arguments(call.arguments),
        }
        for call in message.tool_calls
    ]
    if not blocks and message.role == "user":
        native.refuse(f"{message.path}.content", "this provider refuses an empty message")
    return blocks


def _part(part: Part, path: str) -> Json:
    if isinstance(part, AudioPart):
        native.refuse(path, "Claude does not take audio")
    if isinstance(part, ImagePart):
        return {"type": "image", "source": _image(part, path)}
    if isinstance(part, FilePart):
        return _document(part, path)
    return {"type": "text", "text": part.text}


def _image(part: ImagePart, path: str) -> Json:
    if part.url is not None:
        if not part.url.startswith(("http://", "https://")):
            native.refuse(path, "Anthropic fetches images from http(s) URLs only")
        return {"type": "url", "url": part.url}
    if part.media_type not in _IMAGES:
        native.refuse(path, f"Claude takes JPEG, PNG, GIF and WebP, not {part.media_type!r}")
    return {"type": "base64", "media_type": part.media_type, "data": part.data}


def _document(part: FilePart, path: str) -> Json:
    if part.file_id is not None:
        native.refuse(path, "Anthropic can't read a file uploaded to OpenAI: send 'file_data'")
    kind, data = part.media_type or "", part.data or ""
    if kind == "application/pdf":
        source: Json = {"type": "base64", "media_type": kind, "data": data}
    elif kind.startswith("text/") or kind == "application/json":
        source = {"type": "text", "media_type": "text/plain", "data": _text(data, path)}
    else:
        native.refuse(path, f"Claude takes PDF and text files, not {kind!r}")
    title: Json = {"title": part.filename} if part.filename else {}
    return {"type": "document", "source": source, **title}


def _text(data: str, path: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        native.refuse(path, "the file's data is not base64 of UTF-8 text")


# --------------------------------------------------------------------------- tools


def _tools(prompt: Prompt, facts: Claude, answer: Output, dropped: list[str]) -> list[Json]:
    strict = strict_schemas(prompt, facts.structured, answer, dropped)
    tools: list[Json] = []
    for i, tool in enumerate(prompt.tools):
        schema = strict.get(tool.name) or object_schema(tool, f"tools[{i}]")
        item: Json = {"name": tool.name, "input_schema": schema}
        if tool.description:
            item["description"] = tool.description
        if tool.name in strict:
            item["strict"] = True
        tools.append(item)
    if answer.tool:
        tools.append(
            {
                "name": answer.tool,
                "description": output_description(prompt),
                "input_schema": answer.schema,
            }
        )
    return tools


def _tool_choice(prompt: Prompt, facts: Claude, answer: Output) -> Json | None:
    choice = prompt.tool_choice
    serial = {"disable_parallel_tool_use": True} if prompt.parallel_tool_calls is False else {}
    if answer.tool:
        if not prompt.tools or (choice is not None and choice.mode == "none"):
            return {"type": "tool", "name": answer.tool, "disable_parallel_tool_use": True}
        return {"type": "any", **serial}
    if not prompt.tools:
        return None
    if choice is None or choice.mode == "auto":
        return {"type": "auto", **serial} if serial or choice else None
    if choice.mode == "none":
        return {"type": "none"}
    if not facts.forced_tools:
        native.refuse("tool_choice", "this Claude model takes 'auto' and 'none' only")
    return {**_forced(choice), **serial}


def _forced(choice: ToolChoice) -> Json:
    if choice.mode == "named":
        return {"type": "tool", "name": choice.name}
    return {"type": "any"}
