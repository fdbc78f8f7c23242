"""The doctor's questions to providers: is there a key, does it fit, can the host be reached, what time is it.

With a key a provider is asked for a chat with a model that does not exist: a right key is told so, a
wrong one is refused, and neither costs anything. Without one it is only asked for its list of models.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import certifi
import orjson

from .. import codecs, route
from ..backends.http_upstream import HttpUpstream
from ..errors import ApiError, BadRequest, UpstreamError
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
    """A provider's answer, or why there is none (`status` 0)."""

    status: int
    error: ApiError | None
    date: float | None
    """Its Date header, as unix seconds."""
    asked_at: float


def check(settings: Settings, offline: bool, timeout: float) -> Iterator[Check]:
    """The default provider, and every one that the model map and the fallbacks name."""
    dates: list[tuple[float, float]] = []
    for target in _targets(settings):
        missing = _missing(target)
        if missing is not None:
            yield missing
        if offline or target.provider.name == "mock":
            yield info(_name("reach", target), "not asked")
        elif not _has_no_address(target):
            said = yield from _ask_and_judge(target, settings, timeout)
            if said is not None and said.date is not None:
                dates.append((said.date, said.asked_at))
    yield _clock(dates)


def _ask_and_judge(
    target: Target, settings: Settings, timeout: float
) -> Generator[Check, None, _Said | None]:
    keyed = target.api_key is not None or target.provider.auth == "sigv4"
    try:
        request = _chat(target) if keyed else _look(target)
    except (BadRequest, UpstreamError) as error:
        fix = f"see {_docs(target)}"
        yield fail(_name("key", target), f"the request cannot be made: {error}", fix)
        return None
    said = asyncio.run(_ask(request, target, settings, timeout))
    yield from _judge(target, said, keyed)
    return said


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


def _missing(target: Target) -> Check | None:
    """The key, or for Azure the address."""
    name, provider = _name("key", target), target.provider
    if _has_no_address(target):
        variable = provider.options_env["base_url"][0]
        text = f"no address: {variable} is not set"
        return fail(_name("reach", target), text, f"export {variable}=https://...")
    try:
        route.require_key(target)
    except UpstreamError:
        pass
    else:
        return None
    if provider.name in ("openai", "azure"):
        text = f"{provider.key_env[0]} is not set: clients must bring their own key"
        return warn(name, text, f"export {provider.key_env[0]}=...")
    text = f"no key: {' or '.join(provider.key_env)} is not set"
    return fail(name, text, f"export {provider.key_env[0]}=... where the proxy is started")


def _has_no_address(target: Target) -> bool:
    """Each user of Azure has another one."""
    host = urlsplit(target.base_url).hostname or ""
    return host.endswith(".invalid") and "base_url" in target.provider.options_env


# ---------------------------------------------------------------------- asking


async def _ask(
    request: ProviderRequest, target: Target, settings: Settings, patience: float
) -> _Said:
    now = time.time()
    try:
        context = _ssl_context(settings)
    except OSError as error:
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
        yield warn(reach, text, "try again later")
        return
    yield ok(reach, f"{host} answers ({said.status})")
    if not keyed:
        return
    refused = said.error.status if said.error is not None else 0
    variables = " or ".join(target.provider.key_env)
    if target.provider.auth == "sigv4":
        variables += " or the AWS credentials"
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
        return fail(name, error.message, f"see {_docs(target)}")
    return fail(name, f"{known[0]}: {error.message}", known[1])


def _docs(target: Target) -> str:
    return target.provider.docs or "docs/providers.md"


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
