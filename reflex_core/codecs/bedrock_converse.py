"""Codec for Bedrock's Converse API (`POST {base_url}/model/{id}/converse[-stream]`).

Needs botocore, the extra `bedrock`. `{region}` in the base URL is filled in. Options of the target:
those of bedrock_auth.py, `guardrail_identifier`, `guardrail_version`, `guardrail_trace`.
What each parameter becomes is in docs/providers/bedrock.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

try:
    import botocore  # noqa: F401  # pyright: ignore[reportUnusedImport]
except ImportError as error:
    message = "Bedrock needs botocore: pip install 'mitmproxy-reflex[bedrock]'"
    raise ImportError(message) from error

import orjson

from .. import inbound
from ..errors import ApiError
from ..types import ChatRequest, ErrorEvent, Event, ProviderRequest, Target
from .bedrock_auth import Signer, region
from .bedrock_models import family
from .bedrock_request import answer_form, request_body
from .bedrock_stream import ConverseDecoder, ConverseEvents, http_status_error
from .common import bad_answer, parse_object


class BedrockConverse:
    name = "bedrock-converse"

    def __init__(self) -> None:
        self._signer = Signer()

    def prepare(self, target: Target) -> None:
        """Find or refresh AWS credentials. May block on the network: call it off the event loop,
        before `encode`, which otherwise does the same where it runs."""
        self._signer.prepare(target)

    def encode(self, request: ChatRequest, target: Target) -> ProviderRequest:
        prompt = inbound.prompt(request)
        fields, dropped = request_body(prompt, target.model, target.options)
        body = orjson.dumps(fields)
        url = _url(target, request.stream)
        headers = (*target.provider.headers, *self._signer.headers(target, url, body))
        return ProviderRequest("POST", url, headers, body, tuple(dict.fromkeys(dropped)))

    def decoder(self, request: ChatRequest, target: Target) -> ConverseDecoder:
        return ConverseDecoder(_output_tool(request, target))

    def decode_json(self, request: ChatRequest, target: Target, body: bytes) -> list[Event]:
        answer = parse_object(body)
        if answer is None:
            return [ErrorEvent(bad_answer("it is not a JSON object"))]
        return ConverseEvents(_output_tool(request, target)).whole(answer)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        return http_status_error(status, headers, body)


def _url(target: Target, stream: bool) -> str:
    base = target.base_url.rstrip("/")
    if "{region}" in base:
        base = base.replace("{region}", region(target))
    return f"{base}/model/{quote(target.model, safe='')}/converse{'-stream' if stream else ''}"


def _output_tool(request: ChatRequest, target: Target) -> str | None:
    """The tool that carries the answer; the prompt is only read again where there may be one."""
    if not request.body.get("response_format"):
        return None
    return answer_form(inbound.prompt(request), family(target.model)).tool


CODEC = BedrockConverse()
