"""Answers that broke off: their text is kept for a while, so that the next call asks only for the rest.

Where a provider continues an assistant message exactly, the catalogue says so (`continues`). A
partial is never served as an answer, and lives in memory only.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, cast

import orjson

from .types import ChatRequest, Json, Target

MAX_PARTIALS = 1000
MAX_BYTES = 16 * 2**20

_ANEW = (
    "logprobs",
    "max_tokens",
    "max_completion_tokens",
    "reasoning_effort",
    "audio",
    "functions",
)
"""With one of these set the answer starts anew: what is left of a limit is not known, and the others
cannot be continued in the middle."""


@dataclass(frozen=True, slots=True)
class Partial:
    """The text so far, and what is known of the call that gave it. `expires` in unix seconds."""

    text: str
    usage: Json | None
    id: str
    created: int
    model: str
    expires: float


class Partials:
    """By exact key; the oldest go first."""

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self._items: OrderedDict[bytes, Partial] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(
        self, key: bytes, text: str, usage: Json | None, identity: tuple[str, int, str], now: float
    ) -> None:
        self.take(key, now)
        self._items[key] = Partial(text, usage, *identity, now + self._ttl)
        self._bytes += len(text)
        while len(self._items) > MAX_PARTIALS or self._bytes > MAX_BYTES:
            _, oldest = self._items.popitem(last=False)
            self._bytes -= len(oldest.text)

    def take(self, key: bytes, now: float) -> Partial | None:
        """Hand out the partial, which is then gone: a second failure leaves a longer one."""
        partial = self._items.pop(key, None)
        if partial is None:
            return None
        self._bytes -= len(partial.text)
        return partial if partial.expires > now else None

    def clear(self) -> None:
        self._items.clear()
        self._bytes = 0


def continues(request: ChatRequest, target: Target) -> bool:
    """True when this provider would go on exactly where a text stopped."""
    quirks = target.provider.quirks
    if quirks.get("continues") not in ("prefill", "prefix"):
        return False
    models = quirks.get("continues_models")
    if models and not re.match(models, target.model):
        return False
    body = request.body
    if any(body.get(name) for name in _ANEW) or body.get("n") not in (None, 1):
        return False
    shape = body.get("response_format")
    if isinstance(shape, dict) and cast(Json, shape).get("type") != "text":
        return False
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return False
    last = cast(Any, messages[-1])
    return isinstance(last, dict) and cast(Json, last).get("role") != "assistant"


def continuing(request: ChatRequest, target: Target, text: str) -> ChatRequest:
    """The request for the rest of an answer that starts with `text` (no white space at its end)."""
    message: Json = {"role": "assistant", "content": text}
    if target.provider.quirks.get("continues") == "prefix":
        message["prefix"] = True
    body = {**request.body, "messages": [*request.body["messages"], message]}
    return ChatRequest(
        orjson.dumps(body), body, request.model, request.stream, request.include_usage
    )
