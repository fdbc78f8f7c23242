"""Requests to Claude, as the tests of its codec make and check them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import MessageCreateParams
from pydantic import TypeAdapter

from reflex_core.codecs.anthropic_messages import CODEC
from reflex_core.errors import BadRequest
from reflex_core.types import ProviderRequest
from tests.codecs.oracle_contract import chat_request, target_for

PROTOCOL = "anthropic-messages"
SONNET_45 = "claude-sonnet-4-5-20250929"
PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParams)
"""Anthropic's own idea of a request."""

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "42"}
FUNCTION = {"name": "f", "description": "Does it.", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}
OUR_TOOL = {"name": "f", "description": "Does it.", "input_schema": {"type": "object"}}


def post(model: str = SONNET_45, stream: bool = False, **body: Any) -> ProviderRequest:
    target = target_for(PROTOCOL, model=model, auth="x-api-key", api_key="sk-ant-test")
    return CODEC.encode(chat_request(stream, **body), target)


def sent(model: str = SONNET_45, stream: bool = False, **body: Any) -> dict[str, Any]:
    """The body that goes out, after Anthropic's SDK has found it well-formed."""
    out = json.loads(post(model, stream, **body).body)
    PARAMS.validate_python(out)
    return out


def tuned(model: str = SONNET_45, **body: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What was added to the smallest request, and what was dropped."""
    request = post(model, **body)
    out = json.loads(request.body)
    PARAMS.validate_python(out)
    return {k: v for k, v in out.items() if k not in ("model", "messages")}, request.dropped


def refused(model: str = SONNET_45, **body: Any) -> str | None:
    with pytest.raises(BadRequest) as caught:
        post(model, **body)
    assert caught.value.error.status == 400
    return caught.value.error.param
