"""Which provider answers a request, with which key, and which client headers it may see."""

from __future__ import annotations

import os
from collections.abc import Mapping

from . import catalog
from .config import Config
from .errors import ApiError, UpstreamError
from .types import Provider, Target

_FORWARDED = ("openai-", "x-stainless-", "idempotency-key", "x-client-request-id", "user-agent")
"""Client headers (prefixes) that OpenAI's own service understands."""


def credential(headers: Mapping[str, str]) -> str | None:
    """What the client identifies itself with: its bearer token or Azure-style `api-key`."""
    value = headers.get("authorization")
    if value:
        scheme, _, token = value.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else value
    return headers.get("api-key")


def target(
    model: str,
    config: Config,
    headers: Mapping[str, str],
    environ: Mapping[str, str] | None = None,
) -> Target:
    """Where a request for `model` goes; "" where none is named. `api_key` may be None: see `require_key`.

    The client's key is used for OpenAI, and for Azure when the client speaks Azure's dialect; every
    other provider gets the key from its own variable.
    """
    environ = os.environ if environ is None else environ
    provider, name = catalog.resolve(
        model,
        default_provider=config.provider or None,
        aliases=config.models if model else {},
        providers=config.providers,
    )
    options = {
        option: value
        for option, names in provider.options_env.items()
        if (value := _first(names, environ)) is not None
    }
    base_url = str(options.pop("base_url", provider.base_url))
    if config.upstream and provider.name == (config.provider or "openai"):
        base_url = config.upstream
    return Target(
        provider=provider,
        model=name,
        base_url=base_url.rstrip("/"),
        api_key=_key(provider, headers, environ),
        options=options,
    )


def _first(names: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)


def _key(provider: Provider, headers: Mapping[str, str], environ: Mapping[str, str]) -> str | None:
    if provider.name == "openai":
        own = credential(headers)
    elif provider.name == "azure":
        own = headers.get("api-key")
    else:
        own = None
    return own or _first(provider.key_env, environ)


def require_key(target: Target) -> None:
    """Raises UpstreamError (401) that names the variable, when the provider's key is missing."""
    provider = target.provider
    if target.api_key or not provider.key_required:
        return
    names = " or ".join(provider.key_env) or "its key variable"
    message = (
        f"No API key for provider '{provider.name}': set {names} in the environment of the proxy."
    )
    raise UpstreamError(ApiError(401, message, code="missing_api_key"))


def forwarded(headers: Mapping[str, str], target: Target) -> tuple[tuple[str, str], ...]:
    """Client headers that go on to the provider; for others than OpenAI and Azure none."""
    if target.provider.name not in ("openai", "azure"):
        return ()
    return tuple((n, v) for n, v in headers.items() if n.startswith(_FORWARDED))
