"""OpenAI paths other than chat completions: sent on as they are, or refused clearly; and /models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote

import orjson

from . import catalog, codecs, route
from .config import Config
from .errors import ApiError, BadRequest, UpstreamError
from .reply import Reply
from .types import Json, ProviderRequest, Target
from .upstream import Upstream

_MODELS_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Passthrough:
    """Where the request goes. A header value of None removes the header."""

    url: str
    headers: tuple[tuple[str, str | None], ...] = field(repr=False)


def passthrough(
    path: str, headers: Mapping[str, str], deployment: str | None, config: Config
) -> Passthrough | Reply:
    """`path` is what follows the version, with the query."""
    try:
        target = route.target(deployment or "", config, headers)
    except (BadRequest, UpstreamError) as error:
        return Reply.of_error(error.error)
    provider = target.provider
    if provider.codec != "openai-chat" or provider.name == "mock":
        bare = path.partition("?")[0][:200]
        message = (
            f"{bare} cannot be translated for provider '{provider.name}':"
            " only POST /v1/chat/completions and GET /v1/models can."
        )
        return Reply.of_error(ApiError(404, message, code="unsupported_endpoint"))
    try:
        route.require_key(target)
    except UpstreamError as error:
        return Reply.of_error(error.error)
    return Passthrough(_url(target, path, deployment), _auth(target))


def _url(target: Target, path: str, deployment: str | None) -> str:
    base = target.base_url
    if target.provider.name == "azure" and deployment:
        root = base.partition("/openai")[0]
        return f"{root}/openai/deployments/{quote(target.model, safe='')}{path}"
    return base + path


def _auth(target: Target) -> tuple[tuple[str, str | None], ...]:
    """The provider's own key in place of the client's."""
    provider = target.provider
    headers: dict[str, str | None] = {"Authorization": None, "api-key": None}
    if target.api_key:
        if provider.auth == "bearer":
            headers["Authorization"] = f"Bearer {target.api_key}"
        elif provider.auth != "none":
            headers[provider.auth] = target.api_key
    if provider.name not in ("openai", "azure"):
        headers |= {"OpenAI-Organization": None, "OpenAI-Project": None}
    headers |= dict(provider.headers)
    return tuple(headers.items())


async def models_reply(headers: Mapping[str, str], config: Config, upstream: Upstream) -> Reply:
    """What the provider offers, by its own word where it can be asked, and the model map's names."""
    try:
        target = route.target("", config, headers)
    except (BadRequest, UpstreamError) as error:
        return Reply.of_error(error.error)
    listing = catalog.models_list(target.provider, config.models)
    can_ask = target.provider.codec == "openai-chat" and target.provider.name != "mock"
    if can_ask and not config.offline:
        try:
            route.require_key(target)
            own = await _ask(target, upstream)
        except UpstreamError as error:
            return Reply.of_error(error.error)
        if own is not None:
            known = {item.get("id") for item in own}
            own += [item for item in listing["data"] if item["id"] not in known]
            listing = {"object": "list", "data": own}
    return Reply.of_json(listing)


async def _ask(target: Target, upstream: Upstream) -> list[Json] | None:
    """The provider's list; None where it has none. Raises UpstreamError."""
    headers = tuple((n, v) for n, v in _auth(target) if v is not None)
    request = ProviderRequest("GET", target.base_url + "/models", headers, b"")
    answer = await upstream.open(request, _MODELS_TIMEOUT)
    try:
        async with asyncio.timeout(_MODELS_TIMEOUT):
            body = await answer.read_all()
    except TimeoutError:
        raise UpstreamError(ApiError(504, "The provider's model list took too long.")) from None
    finally:
        answer.close()
    if answer.status in (401, 403):
        codec = codecs.get(target.provider.codec)
        raise UpstreamError(codec.decode_error(answer.status, answer.headers, body))
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    data = value.get("data") if isinstance(value, dict) else value
    if answer.status != 200 or not isinstance(data, list):
        return None
    return [cast(Json, item) for item in cast(list[Any], data) if isinstance(item, dict)]
