"""A Prompt's messages as Converse has them: system blocks, turns, images, documents."""

from __future__ import annotations

import re

from ..types import AudioPart, FilePart, ImagePart, Json, Message, Part, Prompt
from . import native
from .claude_params import safe_id, says, texts

MAX_ID = 64
"""Longest tool call id, in characters."""

_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "application/json": "txt",
    "text/markdown": "md",
}
_BAD_NAME = re.compile(r"[^a-zA-Z0-9()\[\]-]+")


def system_blocks(prompt: Prompt, more: list[str]) -> list[Json]:
    """Instructions have one place, before the conversation, wherever they stood in it."""
    found = [
        text
        for message in prompt.messages
        if message.role in ("system", "developer")
        for text in texts(message)
    ]
    return [{"text": text} for text in [*found, *more]]


def turns(prompt: Prompt) -> list[Json]:
    """As native.turns, with documents whose names differ."""
    out = native.turns(prompt, _blocks, lambda block: "toolResult" in block)
    for turn in out:
        _name_documents(turn["content"])
    return out


def _name_documents(blocks: list[Json]) -> None:
    """Make the names of a turn's documents differ, as the API wants."""
    seen: set[str] = set()
    for block in blocks:
        if document := block.get("document"):
            name, n = document["name"], 2
            while document["name"] in seen:
                document["name"] = f"{name} ({n})"
                n += 1
            seen.add(document["name"])


def _blocks(message: Message) -> list[Json]:
    if message.role == "tool":
        content = [{"text": text} for text in texts(message)]
        return [{"toolResult": {"toolUseId": _id(message.tool_call_id or ""), "content": content}}]
    blocks = [_part(part, f"{message.path}.content") for part in message.parts if says(part)]
    blocks += [
        {
            "toolUse": {
                "toolUseId": _id(call.id),
                "name": call.name,
                "input": native.arguments(call.arguments),
            }
        }
        for call in message.tool_calls
    ]
    if not blocks and message.role == "user":
        native.refuse(f"{message.path}.content", "this provider refuses an empty message")
    return blocks


def _id(id: str) -> str:
    return safe_id(id, MAX_ID)


def _part(part: Part, path: str) -> Json:
    if isinstance(part, ImagePart):
        return {"image": _image(part, path)}
    if isinstance(part, FilePart):
        return {"document": _document(part, path)}
    if isinstance(part, AudioPart):
        return {"audio": {"format": part.format, "source": {"bytes": part.data}}}
    return {"text": part.text}


def _image(part: ImagePart, path: str) -> Json:
    if part.url is not None:
        ending = part.url.rpartition(".")[2].lower().replace("jpg", "jpeg")
        if not part.url.startswith("s3://") or ending not in _IMAGES.values():
            native.refuse(path, "Bedrock fetches no web addresses: send a data URL")
        return {"format": ending, "source": {"s3Location": {"uri": part.url}}}
    kind = _IMAGES.get(part.media_type or "")
    if kind is None:
        native.refuse(path, f"Bedrock takes PNG, JPEG, GIF and WebP, not {part.media_type!r}")
    return {"format": kind, "source": {"bytes": part.data}}


def _document(part: FilePart, path: str) -> Json:
    if part.file_id is not None:
        native.refuse(path, "Bedrock can't read a file uploaded to OpenAI: send 'file_data'")
    kind = _DOCUMENTS.get(part.media_type or "")
    if kind is None:
        native.refuse(path, f"Bedrock takes no files of type {part.media_type!r}")
    stem = (part.filename or "").rpartition(".")[0] or part.filename or ""
    name = _BAD_NAME.sub(" ", stem).strip()[:190] or "document"
    return {"format": kind, "name": name, "source": {"bytes": part.data}}
