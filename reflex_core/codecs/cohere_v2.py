"""Cohere's chat protocol, version 2: POST /v2/chat.

Source: docs.cohere.com/reference/chat, /reference/chat-stream, /v2/docs/streaming,
/reference/errors. What is mapped, dropped and refused: docs/providers/cohere.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ApiError
from ..inbound import prompt
from ..sse import SSEParser
from ..types import ChatRequest, Event, ProviderRequest, Target
from . import cohere_request, native
from .cohere_answer import Answer
from .common import http_error

_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


class CohereV2:
    """`base_url` ends in /v2."""

    name = "cohere-v2"

    def encode(self, request: ChatRequest, target: Target) -> ProviderRequest:
        body, dropped = cohere_request.encode(prompt(request), target)
        return native.post(target, f"{target.base_url.rstrip('/')}/chat", body, dropped)

    def decoder(self, request: ChatRequest, target: Target) -> CohereDecoder:
        return CohereDecoder()

    def decode_json(self, request: ChatRequest, target: Target, body: bytes) -> list[Event]:
        answer = Answer()
        return answer.whole(body) + answer.end()

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        error = http_error(status, headers, body)
        error.code = error.code if error.code == "context_length_exceeded" else _CODES.get(status)
        return error


class CohereDecoder:
    """Server-sent events -> events."""

    def __init__(self) -> None:
        self._frames = SSEParser()
        self._answer = Answer()

    @property
    def ended(self) -> bool:
        return self._answer.over

    def feed(self, data: bytes) -> list[Event]:
        events = [e for frame in self._frames.feed(data) for e in self._answer.frame(frame.data)]
        if self._frames.overflow:
            events += self._answer.fail("an event is too long")
        return events

    def finish(self) -> list[Event]:
        events = [e for frame in self._frames.finish() for e in self._answer.frame(frame.data)]
        return events + self._answer.end()


CODEC = CohereV2()
