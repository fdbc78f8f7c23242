"""Puts the core together. One chat request goes through `App.chat`, top to bottom.

inbound   bytes -> ChatRequest
route     which provider answers it
key       -> tenant, exact key, scope, semantic text
lookup    L1 memory and store -> L2 nearest -> L3 verify
hit       reply    the stored Completion in the form this reader asked for
miss      miss     one upstream call; equal requests that come meanwhile share it
          flight   the answer in progress, and who reads it
          fetch    the provider, retries, fallbacks; attempt: codec, upstream, events
          writer   the finished Completion -> SQLite
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from . import __version__, controls, health, inbound, offline, route, telemetry
from .backends.http_upstream import HttpUpstream
from .config import Config
from .controls import Controls
from .errands import Errands
from .errors import ApiError, BadRequest
from .fingerprint import fingerprint
from .journal import MAX_BODY, answer_of
from .lookup import Hit, Lookup, Miss, keys_of, meaning_of
from .miss import Misses, new_id
from .mock import MockUpstream
from .passthrough import Passthrough, models_reply, passthrough
from .prepared import Prepared
from .pricing import Prices
from .reply import Pending, Reply
from .review import Review
from .semantic_parts import load
from .semantic_types import Parts
from .stats import Stats
from .storage import Storage
from .types import ChatRequest, Json, Keys, Meaning, Target
from .upstream import Upstream

if TYPE_CHECKING:
    from .otel import Telemetry

logger = logging.getLogger("reflex")


class App:
    """The running core. Lives on one event loop."""

    def __init__(
        self,
        config: Config,
        *,
        ssl_context: ssl.SSLContext | None = None,
        upstream_proxy: str = "",
        clock: Callable[[], float] = time.time,
        parts: Callable[[], Parts | None] | None = None,
    ) -> None:
        """`parts` makes the semantic tier's, where they are not those of the settings."""
        self.config = config
        self.clock = clock
        self.prices = Prices(config.prices, config.providers)
        self.stats = Stats(self.prices.cost, log_json=config.log_json, clock=clock)
        self.stats.settle_soon = self._settle
        self._telemetry: Telemetry | None = None
        self.storage = Storage(config, clock, parts or (lambda: load(config)))
        self.lookup = Lookup(self.storage)
        http = HttpUpstream(
            connect_timeout=config.connect_timeout,
            ssl_context=ssl_context,
            proxy=config.upstream_proxy or upstream_proxy,
        )
        online = MockUpstream(http, config.mock_delay)
        self.upstream: Upstream = offline.NoUpstream() if config.offline else online
        self.misses = Misses(config, clock, self.upstream, self.storage, self.lookup, self.stats)
        self.fetcher = self.misses.fetcher
        errands = Errands(self.fetcher, config, self.stats.paid, new_id, clock)
        self.review = Review(config, self.storage, errands, clock)

    async def start(self) -> None:
        if self.config.otel_endpoint:
            self._telemetry = await asyncio.to_thread(
                telemetry.start, self.config.otel_endpoint, self.stats
            )
            self.misses.keep_answers = True
        await asyncio.to_thread(self.storage.open)
        if self.config.offline and self.config.replay == "off":
            await asyncio.to_thread(offline.warn_if_empty, self.storage)

    async def stop(self, hurry: asyncio.Event | None = None) -> None:
        """Open answers may finish, and be read, for `shutdown_grace` or until `hurry` is set."""
        self.misses.stopping = True
        await self.review.stop()
        await self.misses.stop(hurry)
        await self.upstream.close()
        if self._telemetry is not None:
            await asyncio.to_thread(self._telemetry.close)
        await asyncio.to_thread(self.storage.close)

    # ------------------------------------------------------------------ a chat request

    def prepare(
        self, raw: bytes, headers: Mapping[str, str], deployment: str | None = None
    ) -> Prepared | Reply | None:
        """Everything that is known of a request before anything is looked up. Pure and quick.

        `headers` names are lower case. None: pass the request on as it is.
        """
        started = time.perf_counter()
        try:
            request = inbound.parse(raw, deployment)
            target = route.target(request.model, self.config, headers)
        except BadRequest as error:
            return self._unreadable(error)
        wishes = controls.parse(headers.get("cache-control"), headers.get("x-reflex-namespace"))
        keys = self._keys(request, target, headers, wishes)
        record = self.stats.begin(target.provider.name, target.model, request.stream, started)
        record.key, record.tenant = keys.exact, keys.tenant
        if self.config.dashboard_prompts and len(raw) <= MAX_BODY:
            record.body = request.body
        if self._telemetry is not None:
            record.traceparent = headers.get("traceparent", "")
        return Prepared(request, target, keys, wishes, headers, record)

    def fast_hit(self, prepared: Prepared) -> Reply | None:
        """An exact hit from memory: no disk, no embedding, no waiting."""
        if not self.config.cache or not prepared.wishes.may_read:
            return None
        hit = self.lookup.in_memory(prepared.keys, prepared.wishes, self._reading_time())
        return None if hit is None else self._hit(hit, prepared)

    async def chat(self, prepared: Prepared) -> Reply | Pending:
        """A whole reply for a hit or an error, a pending one for a miss."""
        if not self.config.cache:
            detail = "cache-off"
        elif not prepared.wishes.may_read:
            detail = "no-cache"
        else:
            found = self._at_once(prepared) or await self._look(prepared)
            if isinstance(found, Hit):
                return self._hit(found, prepared)
            if not isinstance(found, Miss):
                return found
            detail = found.detail
        prepared.record.fingerprint = fingerprint(prepared.request.body)
        if prepared.wishes.only_if_cached:
            return self._not_cached(prepared, detail)
        if self.config.offline:
            return await self._offline_miss(prepared, detail)
        if self.misses.stopping:
            error = ApiError(503, "The proxy is stopping.", code="stopping", retry_after=1)
            return Reply.of_error(error)
        return self.misses.begin(prepared, detail)

    async def _look(self, prepared: Prepared) -> Hit | Miss | Reply | Pending:
        """All tiers, and what is on its way by then."""
        wishes, keys, record = prepared.wishes, prepared.keys, prepared.record
        meaning = self._meaning(prepared.request, prepared.target, keys)
        if meaning.text is not None:
            record.asked = self.storage.bans.asked(keys.tenant, meaning.text)
        started = time.perf_counter()
        found = await self.lookup.find(keys, meaning, wishes, self._reading_time())
        record.trace = found.trace
        self.stats.looked_up(time.perf_counter() - started, found.trace)
        if isinstance(found, Miss):
            if (at_once := self._at_once(prepared)) is not None:
                return at_once  # an equal request was quicker
            now = self._reading_time()
            if (hit := await self.misses.similar.join(keys, meaning, wishes, now)) is not None:
                found, record.trace = hit, hit.trace
            elif (at_once := self._at_once(prepared)) is not None:
                return at_once
        if meaning.text is not None:
            self.review.look(
                found,
                keys.tenant,
                meaning.text,
                wishes,
                lambda: self.misses.calls(prepared, False)[0],
            )
        return found

    def _at_once(self, prepared: Prepared) -> Reply | Pending | None:
        """What takes no disk and no embedding: a hit in memory, or an equal answer under way."""
        return self.fast_hit(prepared) or self.misses.join(prepared)

    def _unreadable(self, error: BadRequest) -> Reply | None:
        """An OpenAI-compatible provider judges a body by itself."""
        provider = self.config.provider or "openai"
        compatible = self.config.providers[provider].codec == "openai-chat" and provider != "mock"
        compatible = compatible and not self.config.offline
        if compatible and error.error.code != "model_not_found":
            return None
        self.stats.refused(error.error.status)
        return Reply.of_error(error.error)

    def _keys(
        self,
        request: ChatRequest,
        target: Target,
        headers: Mapping[str, str],
        wishes: Controls,
    ) -> Keys:
        return keys_of(request, target, headers, wishes, self.config, self.storage.secret)

    def _meaning(self, request: ChatRequest, target: Target, keys: Keys) -> Meaning:
        return meaning_of(request, target, keys.tenant, self.config)

    def _hit(self, hit: Hit, prepared: Prepared) -> Reply:
        request, record = prepared.request, prepared.record
        self.storage.touch(hit.entry)
        record.entry = hit.entry.key
        if self._telemetry is not None:
            record.answer = answer_of(hit.completion)
        self.stats.done(record, hit.status, 200, hit.detail, hit.completion.usage, hit.entry.took)
        legacy = inbound.uses_functions(request)
        return Reply.of_hit(hit, request, legacy, self.clock(), record.id)

    def _not_cached(self, prepared: Prepared, detail: str) -> Reply:
        error = controls.not_cached()
        self.stats.done(prepared.record, "miss", error.status, detail)
        note = controls.answer_headers(
            "miss", key=prepared.keys.exact, detail=detail, id=prepared.record.id
        )
        return Reply.of_error(error, (("x-should-retry", "false"), *note))

    def _reading_time(self) -> float:
        """What stored answers must outlive. Offline none is too old."""
        return 0.0 if self.config.offline else self.clock()

    async def _offline_miss(self, prepared: Prepared, detail: str) -> Reply:
        keys, record = prepared.keys, prepared.record
        note = controls.answer_headers("miss", key=keys.exact, detail=detail, id=record.id)
        reply = await asyncio.to_thread(
            offline.miss, prepared.request.body, keys, detail, self.storage, tuple(note)
        )
        self.stats.done(record, "miss", reply.status, detail)
        return reply

    # ------------------------------------------------------------------ everything else

    def passthrough(
        self, path: str, headers: Mapping[str, str], deployment: str | None
    ) -> Passthrough | Reply:
        """Where another OpenAI path goes, or why it can't."""
        if self.config.offline:
            return offline.refusal(path.partition("?")[0][:200])
        return passthrough(path, headers, deployment, self.config)

    async def models(self, headers: Mapping[str, str]) -> Reply:
        return await models_reply(headers, self.config, self.upstream)

    def health(self) -> Reply:
        return health.healthz()

    async def ready(self) -> Reply:
        return await asyncio.to_thread(health.ready, self.storage)

    def no_websocket(self) -> Reply:
        message = "Reflex does not carry WebSocket connections; use HTTP requests."
        return Reply.of_error(ApiError(501, message, code="websocket_not_supported"))

    def unknown_path(self, path: str) -> Reply:
        bare = path.partition("?")[0][:200]
        message = f"No such path: {bare}. The OpenAI API is under /v1."
        return Reply.of_error(ApiError(404, message, code="unknown_url"))

    def stats_lines(self) -> list[str]:
        """`name: value` lines for people."""
        return self.stats.lines(self.stats_json())

    def stats_json(self) -> Json:
        """Everything that is counted, for programs. Blocks."""
        fetcher = self.fetcher
        return {
            "version": __version__,
            **self.stats.to_json(self.stats.ledger.settle(), self.clock()),
            "upstream": {
                "calls": fetcher.calls,
                "cancelled": self.stats.cancelled,
                "retried": fetcher.retried,
                "resumed": fetcher.resumed,
                "fell_back": fetcher.fell_back,
            },
            "in_flight": len(self.misses.flights),
            "readers": self.misses.readers,
            "storage": self.storage.stats(),
            **self.review.stats(),
            "join_similar": self.misses.similar.stats(),
        }

    def _settle(self) -> None:
        asyncio.get_running_loop().run_in_executor(None, self.stats.ledger.settle)

    def purge(self, what: str, value: str) -> int:
        """How many stored answers went. Blocks; raises ValueError for what makes no sense."""
        self.fetcher.partials.clear()
        return self.storage.purge(what, value)

    def lookup_lines(self, key_digits: str) -> list[str]:
        """What is stored under a key, given in hex or its first digits. Blocks; raises ValueError."""
        return self.storage.describe(key_digits, self.clock())
