"""The doctor's questions to providers: is there a key, does it fit, can the host be reached, what time is it.

A provider that needs a key is asked for a chat with a model that does not exist: a right key is told
so, a wrong one is refused, and neither costs anything. One that needs none is only asked for its list.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import certifi
import orjson

from .. import codecs, route
from ..backends.http_upstream import HttpUpstream
from ..errors import ApiError, BadRequest, ConfigError, UpstreamError
from ..types import ChatRequest, ProviderRequest, Target
from .checks import Check, fail, info, ok, warn
from .settings import Settings

_NO_MODEL = "reflex-doctor-no-such-model"
_SKEW = 120.0
"""Seconds; signed requests (AWS) are refused at 300."""
_BROKEN = 3600.0
"""Seconds; certificates may not be valid yet, or not any more."""


@dataclass(frozen=True, slots=True)
class _Said:
    """A provider's answer, or why there is none. `date` is its Date header, as unix seconds."""

    status: int
    error: ApiError | None
    date: float | None
    asked_at: float


def check(settings: Settings, offline: bool, timeout: float) -> Iterator[Check]:
    """The default provider, and every one that the model map and the fallbacks name."""
    dates: list[tuple[float, float]] = []
    for target in _targets(settings):
        missing = _missing_key(target)
        if missing is not None:
            yield missing
        if offline or target.provider.name == "mock":
            yield info(_name("reach", target), "not asked")
            continue
        said = asyncio.run(_ask(target, settings, timeout, with_key=missing is None))
        if said.date is not None:
            dates.append((said.date, said.asked_at))
        yield from _judge(target, said, keyed=missing is None and target.api_key is not None)
    yield _clock(dates)


def _targets(settings: Settings) -> Iterator[Target]:
    config = settings.config
    default = config.provider or "openai"
    models = [f"{default}::", *config.models.values(), *(model for _, model in config.fallbacks)]
    seen: set[str] = set()
    for model in models:
        target = route.target(model, config, {})
        if target.provider.name not in seen:
            seen.add(target.provider.name)
            yield target


def _name(kind: str, target: Target) -> str:
    return f"{kind} {target.provider.name}"


def _missing_key(target: Target) -> Check | None:
    try:
        route.require_key(target)
    except UpstreamError:
        pass
    else:
        return None
    name, provider = _name("key", target), target.provider
    variables = " or ".join(provider.key_env)
    if provider.name in ("openai", "azure"):
        text = f"{provider.key_env[0]} is not set: clients must bring their own key"
        return warn(name, text, f"export {provider.key_env[0]}=...")
    text = f"no key: {variables} is not set"
    return fail(name, text, f"export {provider.key_env[0]}=... where the proxy is started")


# ---------------------------------------------------------------------- asking


async def _ask(target: Target, settings: Settings, patience: float, with_key: bool) -> _Said:
    now = time.time()
    try:
        request = _chat(target) if with_key and target.provider.key_required else _look(target)
        context = _ssl_context(settings)
    except (BadRequest, UpstreamError) as error:
        return _Said(0, error.error, None, now)
    except (OSError, ConfigError) as error:
        return _Said(0, ApiError(502, str(error), code="upstream_tls"), None, now)
    upstream = HttpUpstream(
        connect_timeout=patience, ssl_context=context, proxy=settings.config.upstream_proxy
    )
    try:
        answer = await upstream.open(request, patience)
        try:
            async with asyncio.timeout(patience):
                body = await answer.read_all()
        finally:
            answer.close()
    except UpstreamError as error:
        return _Said(0, error.error, None, now)
    except TimeoutError:
        return _Said(
            0, ApiError(504, "The answer took too long.", code="upstream_timeout"), None, now
        )
    finally:
        await upstream.close()
    error = None
    if answer.status >= 400:
        error = codecs.get(target.provider.codec).decode_error(answer.status, answer.headers, body)
    return _Said(answer.status, error, _date(answer.headers.get("date")), now)


def _chat(target: Target) -> ProviderRequest:
    body = {
        "model": _NO_MODEL,
        "messages": [{"role": "user", "content": "ping"}],
        "max_tokens": 1,
    }
    raw = orjson.dumps(body)
    to = Target(target.provider, _NO_MODEL, target.base_url, target.api_key, target.options)
    return codecs.get(target.provider.codec).encode(ChatRequest(raw, body, _NO_MODEL), to)


def _look(target: Target) -> ProviderRequest:
    path = "/models" if target.provider.codec == "openai-chat" else ""
    return ProviderRequest("GET", target.base_url + path, (), b"")


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    """As the proxy trusts providers."""
    file = settings.own("ssl_verify_upstream_trusted_ca")
    folder = settings.own("ssl_verify_upstream_trusted_confdir")
    return ssl.create_default_context(
        cafile=str(Path(file).expanduser()) if file else None if folder else certifi.where(),
        capath=str(Path(folder).expanduser()) if folder else None,
    )


def _date(text: str | None) -> float | None:
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


# ---------------------------------------------------------------------- judging


def _judge(target: Target, said: _Said, keyed: bool) -> Iterator[Check]:
    host = urlsplit(target.base_url).hostname or target.base_url
    reach, key = _name("reach", target), _name("key", target)
    if said.status == 0:
        assert said.error is not None
        yield _unreachable(reach, said.error, target)
        return
    if said.status >= 500:
        text = f"{host} answers {said.status}: {_message(said)}"
        yield warn(reach, text, f"try again later; see {target.provider.docs or 'its status page'}")
        return
    yield ok(reach, f"{host} answers ({said.status})")
    if not keyed:
        return
    refused = said.error.status if said.error is not None else 0
    variables = " or ".join(target.provider.key_env)
    if refused == 401:
        yield fail(key, f"{host} does not accept it: {_message(said)}", f"correct {variables}")
    elif refused == 403:
        text = f"{host} knows it, but does not allow this: {_message(said)}"
        yield fail(key, text, f"give the key of {variables} the right to chat, or use another")
    elif refused in (402, 429):
        text = f"accepted, but {host} says: {_message(said)}"
        yield warn(key, text, "look at the account's credit and limits")
    else:
        yield ok(key, f"{host} accepts it")


def _unreachable(name: str, error: ApiError, target: Target) -> Check:
    kinds = {
        "upstream_dns": ("no such host", "check the name, and this machine's DNS"),
        "upstream_tls": (
            "TLS failed",
            "behind a company's TLS inspection: --set ssl_verify_upstream_trusted_ca=FILE",
        ),
        "upstream_connect": ("no route", "check the network, or set reflex_upstream_proxy"),
        "upstream_timeout": ("timed out", "check the network and firewalls"),
        "upstream_proxy": ("the proxy refused", "check reflex_upstream_proxy"),
    }
    known = kinds.get(error.code or "")
    if known is None:
        return fail(name, error.message, f"see {target.provider.docs or target.base_url}")
    return fail(name, f"{known[0]}: {error.message}", known[1])


def _message(said: _Said) -> str:
    text = said.error.message if said.error is not None else ""
    return " ".join(text.split())[:200]


def _clock(dates: Iterable[tuple[float, float]]) -> Check:
    skews = [asked - date for date, asked in dates]
    if not skews:
        return info("clock", "not compared: no provider's answer had a Date")
    # Every answer was on its way for a while, and Date has whole seconds: take the kindest.
    skew = min(skews, key=abs)
    text = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the provider's"
    if abs(skew) > _BROKEN:
        return fail("clock", text, "set this machine's clock (timedatectl set-ntp true)")
    if abs(skew) > _SKEW:
        return warn("clock", text, "set this machine's clock (timedatectl set-ntp true)")
    return ok("clock", "agrees with the provider's")
