"""Codec for Anthropic's Messages API (`POST {base_url}/messages`).

Quirk read: `max_tokens`, sent where the client names no limit (for other hosts with this protocol).
What each parameter becomes is in docs/providers/anthropic.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .. import inbound
from ..errors import ApiError
from ..types import ChatRequest, ErrorEvent, Event, ProviderRequest, Target
from . import native
from .anthropic_request import answer_form, request_body
from .anthropic_stream import MessageEvents, MessagesDecoder, http_status_error, stream_error
from .claude_models import claude
from .common import bad_answer, parse_object

API_VERSION = "2023-06-01"
"""The newer 2026-10-21 refuses temperature, top_p and top_k for every model."""


class AnthropicMessages:
    name = "anthropic-messages"

    def encode(self, request: ChatRequest, target: Target) -> ProviderRequest:
        prompt = inbound.prompt(request)
        limit = target.provider.quirks.get("max_tokens")
        body, dropped = request_body(prompt, target.model, limit)
        if request.stream:
            body["stream"] = True
        post = native.post(target, f"{target.base_url.rstrip('/')}/messages", body, dropped)
        if any(name.lower() == "anthropic-version" for name, _ in post.headers):
            return post
        return replace(post, headers=(*post.headers, ("anthropic-version", API_VERSION)))

    def decoder(self, request: ChatRequest, target: Target) -> MessagesDecoder:
        return MessagesDecoder(_output_tool(request, target))

    def decode_json(self, request: ChatRequest, target: Target, body: bytes) -> list[Event]:
        message = parse_object(body)
        if message is None:
            return [ErrorEvent(bad_answer("it is not a JSON object"))]
        if "error" in message:
            return [ErrorEvent(stream_error(message))]
        return MessageEvents(_output_tool(request, target)).whole(message)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        return http_status_error(status, headers, body)


def _output_tool(request: ChatRequest, target: Target) -> str | None:
    """The tool that carries the answer; the prompt is only read again where there may be one."""
    if not request.body.get("response_format"):
        return None
    return answer_form(inbound.prompt(request), claude(target.model)).tool


CODEC = AnthropicMessages()
