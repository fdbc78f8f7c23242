"""OpenAI's chat completions, as OpenAI, Azure and the many compatible hosts speak it.

Sources: platform.openai.com/docs/api-reference/chat,
learn.microsoft.com/azure/ai-foundry/openai/reference. Quirks of hosts are data in the catalogue;
`catalog.QUIRKS` lists those read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote, urlsplit, urlunsplit

import orjson

from ..errors import ApiError
from ..types import ChatRequest, Event, Json, ProviderRequest, Target
from .common import bad_answer, http_error, parse_object, sanitise
from .openai_body import edit
from .openai_chunks import AnswerReader
from .openai_stream import StreamDecoder

AZURE_API_VERSION = "2024-10-21"
"""Newest version of the dated API that is not a preview."""
AZURE_USAGE_SINCE = "2024-09-01"
"""Older versions of Azure's API refuse `stream_options`."""


class OpenAIChat:
    """`codecs.base.Codec` for OpenAI-compatible hosts."""

    name = "openai-chat"

    def encode(self, request: ChatRequest, target: Target) -> ProviderRequest:
        """The client's body with as little changed as the host's quirks allow. Never refuses."""
        url, body_model = _address(target)
        changes, dropped = _changes(request, target, body_model)
        headers = [
            ("content-type", "application/json"),
            ("accept", "text/event-stream" if request.stream else "application/json"),
            *_auth(target),
            *target.provider.headers,
        ]
        return ProviderRequest(
            method="POST",
            url=url,
            headers=tuple(headers),
            body=edit(request.raw, request.body, changes),
            dropped=dropped,
        )

    def decoder(self, request: ChatRequest, target: Target) -> StreamDecoder:
        return StreamDecoder(_reader(request, target))

    def decode_json(self, request: ChatRequest, target: Target, body: bytes) -> list[Event]:
        reader = _reader(request, target)
        value = parse_object(body)
        if value is None:
            return reader.fail(bad_answer(sanitise(body) or "an empty body"))
        return reader.chunk(value, whole=True) + reader.end(complete=True)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        return http_error(status, headers, body)


CODEC = OpenAIChat()


def _reader(request: ChatRequest, target: Target) -> AnswerReader:
    return AnswerReader(request.raw, hold_finish=bool(target.provider.quirks.get("early_finish")))


# --------------------------------------------------------------------------- address


def _address(target: Target) -> tuple[str, str | None]:
    """(URL, model name for the body or None to leave it as it is)."""
    path = "/chat/completions"
    if not target.provider.quirks.get("azure"):
        return _join(target.base_url, path), target.model
    base = urlsplit(target.base_url).path.rstrip("/")
    version = _azure_version(target)
    if base.endswith("/openai/v1"):
        return _join(target.base_url, path, version), target.model
    if base.endswith("/models"):
        return _join(target.base_url, path, version or "2024-05-01-preview"), target.model
    if "/deployments/" not in base:
        base_path = "" if base.endswith("/openai") else "/openai"
        path = f"{base_path}/deployments/{quote(target.model, safe='')}{path}"
    return _join(target.base_url, path, version or AZURE_API_VERSION), None


def _azure_version(target: Target) -> str | None:
    version = target.options.get("api_version")
    return version if isinstance(version, str) and version else None


def _join(base_url: str, path: str, api_version: str | None = None) -> str:
    """`path` below `base_url`, whose own query stays."""
    base = urlsplit(base_url)
    query = [base.query] if base.query else []
    if api_version and "api-version=" not in base.query:
        query.append(f"api-version={quote(api_version)}")
    return urlunsplit((base.scheme, base.netloc, base.path.rstrip("/") + path, "&".join(query), ""))


def _auth(target: Target) -> list[tuple[str, str]]:
    key = target.api_key
    if not key or target.provider.auth == "none":
        return []
    entra = target.provider.quirks.get("azure") and key.startswith("eyJ")
    if target.provider.auth == "bearer" or entra:
        return [("authorization", f"Bearer {key}")]
    return [(target.provider.auth, key)]


# --------------------------------------------------------------------------- body


def _changes(
    request: ChatRequest, target: Target, model: str | None
) -> tuple[dict[str, bytes | None], tuple[str, ...]]:
    """(members to set or to remove, names of the parameters that are lost)."""
    quirks, body = target.provider.quirks, request.body
    changes: dict[str, bytes | None] = {}
    if model is not None and body.get("model") != model:
        changes["model"] = orjson.dumps(model)
    dropped = [name for name in quirks.get("drop", ()) if body.get(name) is not None]
    changes |= dict.fromkeys((name for name in quirks.get("drop", ()) if name in body), None)
    for old, new in quirks.get("rename", {}).items():
        if old in body:
            changes[old] = None
            if body.get(new) is None and (text := _dump(body[old])) is not None:
                changes[new] = text
    if not _usage_can_be_asked(target):
        # The host reports usage unasked, or cannot: nothing of the answer is lost.
        changes |= {"stream_options": None} if "stream_options" in body else {}
    elif request.stream:
        options = body.get("stream_options")
        options = cast(Json, options) if isinstance(options, dict) else {}
        if options.get("include_usage") is not True:
            changes["stream_options"] = orjson.dumps({**options, "include_usage": True})
    if (messages := _messages(body.get("messages"), quirks)) is not None:
        changes["messages"] = messages
    return changes, tuple(dropped)


def _usage_can_be_asked(target: Target) -> bool:
    if target.provider.quirks.get("azure"):
        version = _azure_version(target)
        return version is None or not version[:1].isdigit() or version >= AZURE_USAGE_SINCE
    return target.provider.quirks.get("stream_options", True) is not False


def _messages(messages: Any, quirks: Mapping[str, Any]) -> bytes | None:
    """The messages as this host takes them, None when nothing changes."""
    role, reasoning = quirks.get("developer_role"), quirks.get("reasoning_input")
    if not isinstance(messages, list) or not (role or reasoning):
        return None
    old = cast(list[Any], messages)
    new = [_message(message, role, reasoning) for message in old]
    return None if new == old else _dump(new)


def _message(message: Any, role: str | None, reasoning: str | None) -> Any:
    if not isinstance(message, dict):
        return message
    fields = cast(Json, message)
    if role and fields.get("role") == "developer":
        fields = {**fields, "role": role}
    if reasoning and reasoning != "reasoning_content" and "reasoning_content" in fields:
        text = fields["reasoning_content"]
        fields = {name: value for name, value in fields.items() if name != "reasoning_content"}
        if reasoning != "drop" and text and not fields.get(reasoning):
            fields[reasoning] = text
    return fields


def _dump(value: Any) -> bytes | None:
    """None for what orjson cannot write (nesting over 254 levels): it then stays as it was."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return None
