"""One recorded exchange, as bytes -> what was asked, and the answer it got.

Everything that a live request goes through to get its keys is used here too, so that an answer that
is stored from a capture is found by the same request made live.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .. import codecs, controls, inbound, lookup, policy, route
from ..config import Config
from ..controls import Controls
from ..errors import BadRequest
from ..exchange import Exchange
from ..journal import printable
from ..policy import Decision
from ..types import ChatRequest, Completion, Keys, Meaning, Target

REASONS: Mapping[str, str] = {
    "other-host": "not sent to a host of reflex_hosts or an OpenAI-compatible provider",
    "other-path": "not a chat completion",
    "other-protocol": "in a provider's own protocol: recorded after translation, so that the"
    " client's request is not in it",
    "no-answer": "the recording has no answer",
    "no-body": "the body was not recorded (streamed past the recorder)",
    "bad-encoding": "the body cannot be decompressed",
    "bad-request": "the request is not understood",
    "unknown-provider": "answered by a provider that this configuration does not know",
    "scrubbed": "credentials were hidden when it was saved (reflex_scrub): it needs a namespace of"
    " reflex_shared_namespaces",
    "error-status": "the answer is an error",
    "bad-answer": "the answer is not understood, or failed on its way",
    "similar-hit": "answered from a cache with the answer to a similar question",
    "stale": "answered with an expired answer because the provider failed",
    "no-store": "the request forbids storing its answer",
    "incomplete": "the answer is cut off",
    "content-filter": "the answer was stopped by a content filter",
    "unknown-finish": "the answer ended for an unknown reason",
    "too-large": "the answer is larger than reflex_max_answer",
    "not-unicode": "the answer's text is not valid Unicode",
    "repeat": "asked before in this capture: the first answer is kept",
    "already-stored": "an answer is already stored",
    "store-failed": "the store refused it",
}
"""Why an exchange is not used, in words."""

SCRUBBED = "hidden-by-reflex"
"""Stands for a credential in captures made with reflex_scrub."""

_FOREIGN_PATHS = (
    "/messages",
    ":generatecontent",
    ":streamgeneratecontent",
    "/converse",
    "/converse-stream",
    "/invoke",
    "/api/chat",
    "/api/generate",
    "/v2/chat",
)
"""Ends of the paths of Anthropic, Gemini, Bedrock, Ollama and Cohere."""
_DETAILS = 5
"""Different details of one reason that are told."""
_SIMILAR = ("hit-l2-semantic", "hit-l3-verified")


@dataclass(frozen=True, slots=True)
class Recorded:
    """One exchange of a capture. Header names are lower case, bodies without content encoding.

    `kind` is what a live Reflex would take the request for ("chat", "other"), None where it would not
    look at it. A body is None where it was not recorded, and `broken` where it cannot be decoded.
    """

    number: int
    """Its place in the capture, from 1."""
    url: str
    kind: str | None
    deployment: str | None
    request_headers: Mapping[str, str] = field(repr=False)
    request_body: bytes | None = field(repr=False)
    status: int | None
    response_headers: Mapping[str, str] = field(repr=False)
    response_body: bytes | None = field(repr=False)
    started: float | None
    """Unix seconds when the request began."""
    ended: float | None
    """Unix seconds when the answer was complete."""
    broken: bool = False
    note: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """What Reflex noted when it recorded this: addons/notes.py."""

    @property
    def seconds(self) -> float | None:
        """How long the client waited for the whole answer."""
        if self.started is None or self.ended is None:
            return None
        return max(0.0, self.ended - self.started)


@dataclass(frozen=True, slots=True)
class Skipped:
    """`reason` is one of REASONS; `detail` tells more, never a prompt or a credential."""

    reason: str
    detail: str = ""


class Skips(Counter[str]):
    """Reasons, counted, and for some the details."""

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        super().__init__(counts or {})
        self._details: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def note(self, skipped: Skipped) -> None:
        self[skipped.reason] += 1
        if skipped.detail:
            self._details[skipped.reason][printable(skipped.detail)] += 1

    def rows(self) -> list[tuple[str, int, str]]:
        """(reason, count, in words), most frequent first."""
        return [(reason, count, self._words(reason)) for reason, count in self.most_common()]

    def _words(self, reason: str) -> str:
        details = self._details[reason].most_common(_DETAILS)
        more = ", ".join(f"{detail}: {count}" for detail, count in details)
        return f"{REASONS[reason]} ({more})" if more else REASONS[reason]


@dataclass(frozen=True, slots=True)
class Asked:
    """A chat request with a whole answer."""

    recorded: Recorded
    request: ChatRequest
    target: Target
    """The provider that answered."""
    keys: Keys
    meaning: Meaning
    wishes: Controls
    completion: Completion
    decision: Decision
    """Whether this answer may be stored."""
    status: str | None
    """X-Reflex-Status of a recording made through Reflex."""
    elsewhere: bool
    """This configuration would ask another provider or model."""


class Reader:
    """Reads exchanges as `config` would have answered them."""

    def __init__(self, config: Config, secret: bytes) -> None:
        """`secret` is the store's: it is in the keys."""
        self._config = config
        self._secret = secret
        self._hosts = _compatible_hosts(config)

    def read(self, recorded: Recorded) -> Asked | Skipped:
        """Never raises for anything a capture may hold."""
        provider = None
        if recorded.kind != "chat":
            provider = self._compatible_provider(recorded) if recorded.kind is None else None
            if provider is None:
                return Skipped(_not_ours(recorded))
        if problem := _unusable(recorded):
            return problem
        headers = recorded.request_headers
        try:
            request = inbound.parse(recorded.request_body or b"", recorded.deployment)
            asked = route.target(request.model, self._config, headers)
            target = self._answering(recorded, provider, asked)
        except BadRequest as error:
            reason = "unknown-provider" if error.error.code == "model_not_found" else "bad-request"
            return Skipped(reason)
        completion = answer(recorded, request, target)
        if isinstance(completion, Skipped):
            return completion
        wishes = controls.parse(headers.get("cache-control"), headers.get("x-reflex-namespace"))
        if self._is_scrubbed(headers, wishes):
            return Skipped("scrubbed")
        keys = lookup.keys_of(request, target, headers, wishes, self._config, self._secret)
        return Asked(
            recorded=recorded,
            request=request,
            target=target,
            keys=keys,
            meaning=lookup.meaning_of(request, target, keys.tenant, self._config),
            wishes=wishes,
            completion=completion,
            decision=policy.storable(completion, self._config.max_answer),
            status=recorded.response_headers.get("x-reflex-status"),
            elsewhere=_name(target) != _name(asked),
        )

    def _is_scrubbed(self, headers: Mapping[str, str], wishes: Controls) -> bool:
        namespace = wishes.namespace or self._config.namespace
        shared = namespace in self._config.shared_namespaces
        return not shared and route.credential(headers) == SCRUBBED

    def _answering(self, recorded: Recorded, provider: str | None, asked: Target) -> Target:
        """Who gave the recorded answer: as Reflex noted it, by the host, or as this config has it."""
        headers, note = recorded.response_headers, recorded.note
        name = headers.get("x-reflex-provider") or note.get("provider")
        model = headers.get("x-reflex-model") or note.get("model")
        if not (isinstance(name, str) and isinstance(model, str)):
            name, model = provider, asked.model
        if name is None or (name, model) == _name(asked):
            return asked
        return route.target(f"{name}::{model}", self._config, recorded.request_headers)

    def _compatible_provider(self, recorded: Recorded) -> str | None:
        """The provider whose own address the request was sent to, in OpenAI's dialect."""
        place = _place(recorded.url)
        if place is None or not place[1].endswith("/chat/completions"):
            return None
        return self._hosts.get((place[0], place[1].removesuffix("/chat/completions")))


def answer(recorded: Recorded, request: ChatRequest, target: Target) -> Completion | Skipped:
    """The recorded answer, streamed or not. OpenAI's dialect, whoever `target` is."""
    body = recorded.response_body or b""
    exchange = Exchange("", 0, target.model)
    # What a client was sent is always OpenAI's dialect; the provider's own may have quirks on top.
    codec = codecs.get("openai-chat")
    if _is_stream(recorded.response_headers, body):
        exchange.attach(codec.decoder(request, target))
        exchange.feed(body)
        exchange.finish()
    else:
        exchange.take(codec.decode_json(request, target, body))
        exchange.check_complete()
    if exchange.error is not None:
        cut = exchange.error.code == "upstream_closed"
        return Skipped("incomplete" if cut else "bad-answer", exchange.error.code or "")
    return exchange.completion()


def storing_problem(asked: Asked) -> str | None:
    """Why this answer must not be stored for this request; None when it may."""
    if asked.status in _SIMILAR:
        return "similar-hit"
    if asked.status == "stale":
        return "stale"
    if not asked.wishes.may_store:
        return "no-store"
    return None if asked.decision.stored else asked.decision.reason or "bad-answer"


def _unusable(recorded: Recorded) -> Skipped | None:
    if recorded.broken:
        return Skipped("bad-encoding")
    if recorded.status is None:
        return Skipped("no-answer")
    if recorded.status >= 400:
        return Skipped("error-status", str(recorded.status))
    if recorded.status != 200:
        return Skipped("bad-answer", str(recorded.status))
    if not recorded.request_body or not recorded.response_body:
        return Skipped("no-body")
    return None


def _not_ours(recorded: Recorded) -> str:
    if recorded.kind is not None:
        return "other-path"
    place = _place(recorded.url)
    foreign = place is not None and place[1].lower().endswith(_FOREIGN_PATHS)
    return "other-protocol" if foreign else "other-host"


def _is_stream(headers: Mapping[str, str], body: bytes) -> bool:
    kind = headers.get("content-type", "")
    return "event-stream" in kind or body.lstrip()[:1] in (b"d", b":", b"e")


def _name(target: Target) -> tuple[str, str]:
    return target.provider.name, target.model


def _compatible_hosts(config: Config) -> dict[tuple[str, str], str]:
    """(host and port, path before `/chat/completions`) -> provider."""
    hosts: dict[tuple[str, str], str] = {}
    urls = [
        (row.base_url, name) for name, row in config.providers.items() if _compatible(config, name)
    ]
    if config.upstream:
        name = config.provider or "openai"
        urls += [(config.upstream, name)] if _compatible(config, name) else []
    for url, name in urls:
        place = _place(url)
        if place is not None:
            hosts.setdefault(place, name)
    return hosts


def _place(url: str) -> tuple[str, str] | None:
    """(host and port, path); None for what is no URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    return (f"{parts.hostname}:{port}", parts.path.rstrip("/")) if parts.hostname else None


def _compatible(config: Config, name: str) -> bool:
    return config.providers[name].codec == "openai-chat"
