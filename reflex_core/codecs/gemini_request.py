"""A prompt as the body of Gemini's generateContent.

Source: ai.google.dev/api/generate-content, ai.google.dev/gemini-api/docs/thought-signatures,
/docs/thinking and /docs/openai (how Google itself maps reasoning_effort).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..types import (
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Json,
    Message,
    Part,
    Prompt,
    ResponseFormat,
    Target,
    TextPart,
)
from . import native
from .common import parse_json
from .gemini_schema import gemini
from .loose import items, obj, text
from .schema import parameters

NO_SIGNATURE = "skip_thought_signature_validator"
"""What Google documents for calls whose signature is lost; Gemini 3 refuses calls without any."""

_BUDGET: Mapping[str, int] = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 24576,
    "max": 24576,
}
_PRO_BUDGET = 128
"""The least Gemini 2.5 Pro can think."""
_LEVEL: Mapping[str, str] = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
    "max": "HIGH",
}
_MIME = {
    "bmp": "image/bmp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "pdf": "application/pdf",
    "png": "image/png",
    "webp": "image/webp",
}


def encode(request: ChatRequest, asked: Prompt, target: Target) -> tuple[Json, list[str]]:
    """The body, and the names of dropped parameters. Raises BadRequest."""
    model = target.model
    dropped = native.leftovers(asked, mapped=("top_k", "web_search_options"))
    if any(isinstance(p, ImagePart) and p.detail for m in asked.messages for p in m.parts):
        dropped.append("image_url.detail")
    body = _conversation(asked, _Calls(request.body, asked, target))
    body |= _tools(asked, dropped)
    if config := _sampling(asked) | _answer(asked) | _thinking(asked, model, dropped):
        body["generationConfig"] = config
    return body, dropped


def generation(model: str) -> int:
    """The major version in a model's name; aliases such as gemini-flash-latest are the newest."""
    name = model.rpartition("/")[2]
    if not name.startswith("gemini-"):
        return 0
    found = re.match(r"gemini-(\d+)", name)
    return int(found[1]) if found else 3


# --------------------------------------------------------------------------- messages


class _Calls:
    """Function calls and their results in the conversation.

    Their thought signatures are those the client sent back, else a placeholder where one must be.
    Ids go to AI Studio only: Vertex AI's v1 does not know them, and takes results in order.
    """

    def __init__(self, body: Json, asked: Prompt, target: Target) -> None:
        self._names = native.tool_names(asked.messages)
        self._ids = not target.provider.quirks.get("vertex")
        self._needed = generation(target.model) >= 3
        self._known: dict[str, str] = {}
        for message in map(obj, items(body.get("messages"))):
            for id, value in obj(message.get("thought_signatures")).items():
                self._keep(id, value)
            for call in map(obj, items(message.get("tool_calls"))):
                google = obj(obj(call.get("extra_content")).get("google"))
                self._keep(call.get("id"), google.get("thought_signature"))

    def _keep(self, id: Any, value: Any) -> None:
        if isinstance(id, str) and text(value):
            self._known[id] = value

    def _named(self, id: str | None, name: str) -> Json:
        return {"id": id, "name": name} if self._ids else {"name": name}

    def given(self, message: Message) -> list[Json]:
        """Only the first call of a step must have a signature."""
        parts: list[Json] = []
        for call in message.tool_calls:
            arguments = {"args": native.arguments(call.arguments)}
            part: Json = {"functionCall": self._named(call.id, call.name) | arguments}
            placeholder = None if parts or not self._needed else NO_SIGNATURE
            if signature := self._known.get(call.id) or placeholder:
                part["thoughtSignature"] = signature
            parts.append(part)
        return parts

    def result(self, message: Message) -> Json:
        """A result must be an object: anything else is its `output`."""
        value = parse_json(message.text.encode())
        if not isinstance(value, dict):
            value = {"output": value if isinstance(value, list) else message.text}
        named = self._named(message.tool_call_id, native.tool_name(message, self._names))
        return {"functionResponse": {**named, "response": value}}


def _conversation(asked: Prompt, calls: _Calls) -> Json:
    """`contents`, neighbours of one role joined, and `systemInstruction`."""
    system = [m for m in asked.messages if m.role in ("system", "developer")]
    rest = [m for m in asked.messages if m.role not in ("system", "developer")]
    if not rest:
        system, rest = system[:-1], system[-1:]
    contents: list[Json] = []
    for message in rest:
        role = "model" if message.role == "assistant" else "user"
        parts = [_part(part, message) for part in message.parts] + calls.given(message)
        if message.role == "tool":
            parts = [calls.result(message)]
        if parts and contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        elif parts:
            contents.append({"role": role, "parts": parts})
    body: Json = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": [{"text": m.text} for m in system]}
    return body


def _part(part: Part, message: Message) -> Json:
    match part:
        case TextPart(said):
            return {"text": said}
        case ImagePart(url=None):
            return _inline(part.media_type, part.data)
        case ImagePart():
            return _remote(part.url or "", "image/jpeg")
        case AudioPart():
            return _inline(f"audio/{part.format}", part.data)
        case FilePart(file_id=None):
            return _inline(part.media_type, part.data)
        case _:
            return _uploaded(part, message)


def _inline(kind: str | None, data: str | None) -> Json:
    return {"inlineData": {"mimeType": kind, "data": data}}


def _remote(url: str, kind: str) -> Json:
    """Gemini wants a type beside a URL: that of the ending, else the likeliest."""
    ending = url.partition("?")[0].rpartition(".")[2].lower()
    return {"fileData": {"mimeType": _MIME.get(ending, kind), "fileUri": url}}


def _uploaded(part: FilePart, message: Message) -> Json:
    id = part.file_id or ""
    if not id.startswith(("https://", "gs://")):
        reason = "'file_id' must be a Gemini file URI; files uploaded to OpenAI are not there"
        native.refuse(f"{message.path}.content", reason)
    return _remote(id, "application/pdf")


# --------------------------------------------------------------------------- parameters


def _tools(asked: Prompt, dropped: list[str]) -> Json:
    native.check_tool_choice(asked)
    if asked.parallel_tool_calls is False:
        dropped.append("parallel_tool_calls")
    if any(tool.strict for tool in asked.tools):
        dropped.append("tools.strict")
    tools: list[Json] = []
    if asked.tools:
        declared: list[Json] = []
        for tool in asked.tools:
            function: Json = {"name": tool.name, "description": tool.description or ""}
            if tool.parameters:
                function["parametersJsonSchema"] = gemini(parameters(tool.parameters))
            declared.append(function)
        tools.append({"functionDeclarations": declared})
    if asked.extra.get("web_search_options") is not None:
        tools.append({"googleSearch": {}})
    if not tools:
        return {}
    return {"tools": tools, **(_choice(asked) if asked.tools else {})}


def _choice(asked: Prompt) -> Json:
    choice = asked.tool_choice
    if choice is None:
        return {}
    mode = {"auto": "AUTO", "none": "NONE"}.get(choice.mode, "ANY")
    config: Json = {"mode": mode}
    if choice.mode == "named":
        config["allowedFunctionNames"] = [choice.name]
    return {"toolConfig": {"functionCallingConfig": config}}


def _sampling(asked: Prompt) -> Json:
    given: Json = {
        "maxOutputTokens": asked.max_tokens,
        "temperature": asked.temperature,
        "topP": asked.top_p,
        "topK": asked.extra.get("top_k"),
        "stopSequences": list(asked.stop) or None,
        "seed": None if asked.seed is None else _seed(asked.seed),
        "candidateCount": asked.n if asked.n > 1 else None,
        "presencePenalty": asked.presence_penalty,
        "frequencyPenalty": asked.frequency_penalty,
        "responseLogprobs": asked.logprobs or None,
        "logprobs": (asked.top_logprobs or None) if asked.logprobs else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _seed(seed: int) -> int:
    """Gemini's are 32 bits wide; any number does, as long as it is always the same."""
    return seed if -(2**31) <= seed < 2**31 else seed % 2**31


def _answer(asked: Prompt) -> Json:
    form = asked.response_format
    if form is None or form.kind == "text":
        return {}
    out: Json = {"responseMimeType": "application/json"}
    if form.schema:
        out["responseJsonSchema"] = _answer_schema(form)
    return out


def _answer_schema(form: ResponseFormat) -> Json:
    schema = gemini(form.schema or {})
    if form.description:
        schema.setdefault("description", form.description)
    return schema


def _thinking(asked: Prompt, model: str, dropped: list[str]) -> Json:
    """Levels from Gemini 3 on, a budget for 2.5; older models do not think.

    Where thinking cannot be turned off, the least there is stands for "none".
    """
    effort, name = asked.reasoning_effort, model.rpartition("/")[2]
    if effort is None:
        return {}
    if generation(model) >= 3:
        level = _LEVEL[effort]
        if "pro" in name and level == "MINIMAL":
            level = "LOW"
        if name.startswith("gemini-3-pro") and level == "MEDIUM":
            level = "HIGH"
        config: Json = {"thinkingLevel": level}
    elif name.startswith("gemini-2.5"):
        least = _PRO_BUDGET if "pro" in name else 0
        config = {"thinkingBudget": max(_BUDGET[effort], least)}
    else:
        dropped.append("reasoning_effort")
        return {}
    if effort != "none":
        config["includeThoughts"] = True
    elif config != {"thinkingBudget": 0}:
        dropped.append("reasoning_effort=none")
    return {"thinkingConfig": config}
