"""Fields of OpenAI-compatible chunks: what each holds, and which are known.

Nothing is believed about types: a value of the wrong kind is as good as none.
"""

from __future__ import annotations

from typing import Any, cast

from ..types import FinishReason, Json

FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
}
FAILED = frozenset(["error", "network_error", "insufficient_system_resource", "abort", "aborted"])
"""Finish reasons of an answer that was not finished."""

CHUNK_FIELDS = frozenset(
    [
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
        "system_fingerprint",
        "service_tier",
        "error",
        "obfuscation",
        "p",
        "token_id",
        "token_ids",
        "prompt_token_ids",
    ]
)
CHOICE_FIELDS = frozenset(
    [
        "index",
        "delta",
        "message",
        "finish_reason",
        "finish_details",
        "logprobs",
        "text",
        "seed",
        "usage",
        "token_ids",
    ]
)
DELTA_FIELDS = frozenset(
    [
        "role",
        "content",
        "refusal",
        "tool_calls",
        "function_call",
        "annotations",
        "reasoning",
        "reasoning_content",
        "reasoning_text",
        "obfuscation",
        "padding",
        "p",
        "index",
        "token_id",
        "token_ids",
    ]
)
"""Fields that have events of their own, and padding."""


def string(value: Json, name: str) -> str | None:
    """The text of a member, None where there is none."""
    text = value.get(name)
    return text if isinstance(text, str) and text else None


def member(value: Json, name: str) -> Json:
    """The object of a member, empty where there is none."""
    found = value.get(name)
    return cast(Json, found) if isinstance(found, dict) else {}


def objects(value: Any) -> list[Json]:
    """The objects of a list."""
    items = cast(list[Any], value) if isinstance(value, list) else []
    return [cast(Json, item) for item in items if isinstance(item, dict)]


def content(value: Any) -> tuple[str, str, list[Json]]:
    """(reasoning, text, other parts) of `content`: a string, or Mistral's list of typed parts."""
    if isinstance(value, str):
        return "", value, []
    thoughts: list[str] = []
    texts: list[str] = []
    others: list[Json] = []
    for part in objects(value):
        match part.get("type"):
            case "text":
                texts.append(string(part, "text") or "")
            case "thinking":
                inner = part.get("thinking")
                if isinstance(inner, str):
                    thoughts.append(inner)
                thoughts += [string(item, "text") or "" for item in objects(inner)]
            case _:
                others.append(part)
    return "".join(thoughts), "".join(texts), others


def reasoning(delta: Json) -> str:
    """Reasoning under any of its names, once. OpenRouter says it twice in one delta."""
    for name in ("reasoning_content", "reasoning", "reasoning_text"):
        if text := string(delta, name):
            return text
    details = objects(delta.get("reasoning_details"))
    return "".join(string(item, "text") or string(item, "summary") or "" for item in details)


def token_logprobs(value: Any) -> Json | None:
    """`logprobs` of a choice without its empty lists, None when nothing is left."""
    if not isinstance(value, dict):
        return None
    kept = {name: items for name, items in cast(Json, value).items() if isinstance(items, list)}
    return {name: items for name, items in kept.items() if items} or None


def news(fields: Json, known: frozenset[str], seen: Json, *, pieces: bool = False) -> Json:
    """The fields OpenAI does not have, as far as they are new; `seen` is brought up to date.

    Hosts repeat some on every chunk. With `pieces` (a delta) lists add up, else they come whole.
    """
    new: Json = {}
    for name, value in fields.items():
        if name in known or _empty(value):
            continue
        old = seen.get(name)
        seen[name] = value
        if name == "audio" or (isinstance(value, list) and pieces):
            new[name] = value
        elif isinstance(value, list) and isinstance(old, list):
            if items := [item for item in cast(list[Any], value) if item not in old]:
                new[name] = items
        elif value != old:
            new[name] = value
    return new


def _empty(value: Any) -> bool:
    return value in (None, "", [], {}) or (
        isinstance(value, dict) and not any(cast(Json, value).values())
    )
