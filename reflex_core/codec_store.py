"""Completion <-> the bytes that are stored.

One version byte, the CRC-32 of the rest (4 bytes, big endian), then JSON. SQLite does not notice a
bit that flips inside a value; the sum does, so a damaged answer is never served.
"""

from __future__ import annotations

from typing import Any, cast
from zlib import crc32

import orjson

from .errors import BackendError
from .types import Choice, Completion, Json, ToolCall

VERSION = 1
_HEAD = 5


def dump(completion: Completion) -> bytes:
    """Lossless for what orjson can parse. Raises BackendError for text that is not valid Unicode."""
    body: Json = {
        "id": completion.id,
        "created": completion.created,
        "model": completion.model,
        "choices": [_dump_choice(choice) for choice in completion.choices],
    }
    if completion.usage is not None:
        body["usage"] = completion.usage
    if completion.system_fingerprint is not None:
        body["fingerprint"] = completion.system_fingerprint
    if completion.service_tier is not None:
        body["tier"] = completion.service_tier
    if completion.extra:
        body["extra"] = completion.extra
    try:
        data = orjson.dumps(body)
    except TypeError as error:
        raise BackendError(f"an answer cannot be stored: {error}") from None
    return bytes([VERSION]) + crc32(data).to_bytes(4, "big") + data


def load(data: bytes) -> Completion:
    """Raises BackendError for another version and for damaged bytes."""
    if len(data) < _HEAD or data[0] != VERSION:
        version = data[0] if data else "none"
        raise BackendError(f"a stored answer has version {version}, this Reflex reads {VERSION}")
    text = data[_HEAD:]
    if crc32(text) != int.from_bytes(data[1:_HEAD], "big"):
        raise BackendError("a stored answer is damaged")
    try:
        body = orjson.loads(text)
        return Completion(
            id=body["id"],
            created=body["created"],
            model=body["model"],
            choices=tuple(_load_choice(choice) for choice in body["choices"]),
            usage=body.get("usage"),
            system_fingerprint=body.get("fingerprint"),
            service_tier=body.get("tier"),
            extra=body.get("extra", {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackendError(f"a stored answer has the wrong form: {error!r}") from None


def _dump_choice(choice: Choice) -> Json:
    out: Json = {"index": choice.index}
    if choice.content is not None:
        out["content"] = choice.content
    if choice.reasoning is not None:
        out["reasoning"] = choice.reasoning
    if choice.refusal is not None:
        out["refusal"] = choice.refusal
    if choice.tool_calls:
        out["calls"] = [[call.id, call.name, call.arguments] for call in choice.tool_calls]
    if choice.logprobs is not None:
        out["logprobs"] = choice.logprobs
    if choice.annotations:
        out["annotations"] = list(choice.annotations)
    if choice.finish_reason is not None:
        out["finish"] = choice.finish_reason
    if choice.extra:
        out["extra"] = choice.extra
    return out


def _load_choice(body: Json) -> Choice:
    calls = cast(list[Any], body.get("calls", ()))
    return Choice(
        index=body["index"],
        content=body.get("content"),
        reasoning=body.get("reasoning"),
        refusal=body.get("refusal"),
        tool_calls=tuple(ToolCall(id, name, arguments) for id, name, arguments in calls),
        logprobs=body.get("logprobs"),
        annotations=tuple(body.get("annotations", ())),
        finish_reason=body.get("finish"),
        extra=body.get("extra", {}),
    )
