"""The `mock` provider: answers locally, in OpenAI's wire format, so all other parts run as always."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, cast

import orjson

from .types import Json, ProviderRequest
from .upstream import Answer, Upstream

SCHEME = "mock:"


class MockAnswer:
    """An answer whose pieces are known beforehand, sent with a pause between them."""

    status = 200

    def __init__(self, pieces: list[bytes], content_type: str, delay: float) -> None:
        self.headers: Mapping[str, str] = {"content-type": content_type}
        self._pieces: Iterator[bytes] = iter(pieces)
        self._delay = delay

    async def read_chunk(self) -> bytes:
        piece = next(self._pieces, b"")
        if piece and self._delay:
            await asyncio.sleep(self._delay)
        return piece

    async def read_all(self) -> bytes:
        parts: list[bytes] = []
        while piece := await self.read_chunk():
            parts.append(piece)
        return b"".join(parts)

    def close(self, *, complete: bool = False) -> None:
        self._pieces = iter(())


class MockUpstream:
    """Answers `mock:` URLs itself and hands the others on. `delay` in seconds between pieces."""

    def __init__(self, other: Upstream, delay: float) -> None:
        self._other = other
        self._delay = delay

    async def open(self, request: ProviderRequest, first_byte_timeout: float) -> Answer:
        if not request.url.startswith(SCHEME):
            return await self._other.open(request, first_byte_timeout)
        body = cast(Json, orjson.loads(request.body))
        if body.get("stream") is True:
            return MockAnswer(list(_chunks(body)), "text/event-stream", self._delay)
        return MockAnswer([orjson.dumps(_completion(body))], "application/json", self._delay)

    async def close(self) -> None:
        await self._other.close()


def _last_text(body: Json) -> str:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return ""
    last = cast(Any, messages[-1])
    content = last.get("content") if isinstance(last, dict) else None
    if isinstance(content, list):
        parts = cast(list[Any], content)
        return " ".join(str(p.get("text", "")) for p in parts if isinstance(p, dict))
    return str(content or "")


def _words(body: Json) -> list[str]:
    text = f"This is a mock answer to: {_last_text(body)}"
    words = text.split(" ")
    return [word if i == 0 else f" {word}" for i, word in enumerate(words)]


def _head(body: Json, kind: str) -> Json:
    digest = hashlib.sha256(orjson.dumps(body.get("messages"))).hexdigest()
    return {
        "id": f"chatcmpl-mock-{digest[:24]}",
        "object": kind,
        "created": 1_700_000_000,
        "model": body.get("model"),
    }


def _usage(body: Json) -> Json:
    prompt, completion = len(str(body.get("messages"))) // 4, len(_words(body))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _completion(body: Json) -> Json:
    message = {"role": "assistant", "content": "".join(_words(body))}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {**_head(body, "chat.completion"), "choices": [choice], "usage": _usage(body)}


def _chunks(body: Json) -> Iterator[bytes]:
    head = _head(body, "chat.completion.chunk")

    def frame(choices: list[Json], **more: Any) -> bytes:
        return b"data: " + orjson.dumps({**head, "choices": choices, **more}) + b"\n\n"

    def choice(delta: Json, reason: str | None = None) -> list[Json]:
        return [{"index": 0, "delta": delta, "finish_reason": reason}]

    yield frame(choice({"role": "assistant", "content": ""}))
    for word in _words(body):
        yield frame(choice({"content": word}))
    yield frame(choice({}, "stop"))
    yield frame([], usage=_usage(body))
    yield b"data: [DONE]\n\n"
