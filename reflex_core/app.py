"""Puts the core together. One chat request goes through `App.chat`, top to bottom.

inbound   bytes -> ChatRequest
route     which provider answers it
key       -> tenant, exact key, scope, semantic text
lookup    L1 memory and store -> L2 nearest -> L3 verify
hit       reply    the stored Completion in the form this reader asked for
miss      flight   shared with equal requests that are on their way
          fetch    the provider, retries, fallbacks; attempt: codec, upstream, events
          writer   the finished Completion -> SQLite
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import __version__, controls, health, inbound, offline, policy, route, telemetry
from .attempt import Call
from .backends.http_upstream import HttpUpstream
from .breaker import Breakers
from .config import Config
from .controls import Controls, Status
from .errands import Errands
from .errors import ApiError, BadRequest
from .fetch import Fetcher, Persistence, Plan
from .fingerprint import fingerprint
from .flight import Flight
from .journal import MAX_BODY, Record, answer_of
from .lookup import Hit, Lookup, Miss, keys_of, meaning_of
from .mock import MockUpstream
from .partial import Partials
from .passthrough import Passthrough, models_reply, passthrough
from .pricing import Prices
from .reply import Note, Pending, Reply
from .review import Review
from .semantic_parts import load
from .semantic_types import Parts
from .similar import SimilarFlights
from .stats import Stats
from .storage import Storage
from .types import ChatRequest, Json, Keys, Meaning, Target
from .upstream import Upstream

if TYPE_CHECKING:
    from .otel import Telemetry

logger = logging.getLogger("reflex")


@dataclass(frozen=True, slots=True)
class Prepared:
    """One chat request, understood. `headers` are the client's, with lower-case names."""

    request: ChatRequest
    target: Target
    keys: Keys
    wishes: Controls
    headers: Mapping[str, str] = field(repr=False)
    record: Record


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
        self.fetcher = Fetcher(
            self.upstream,
            Persistence(config.retries, config.resumptions),
            Breakers(config.breaker_failures, config.breaker_reset),
            Partials(config.partial_ttl),
            self._stored,
            self._stale,
        )
        errands = Errands(self.fetcher, config, self.stats.paid, _new_id, clock)
        self.review = Review(config, self.storage, errands, clock)
        self.similar = SimilarFlights(self.storage, self.lookup, config.join_similar)
        self._flights: dict[bytes, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._readers = 0
        self._quiet = asyncio.Event()
        """Set while nobody waits for an answer and no upstream call is open."""
        self._quiet.set()
        self._stopping = False

    async def start(self) -> None:
        if self.config.otel_endpoint:
            self._telemetry = await asyncio.to_thread(
                telemetry.start, self.config.otel_endpoint, self.stats
            )
        await asyncio.to_thread(self.storage.open)
        if self.config.offline and self.config.replay == "off":
            await asyncio.to_thread(offline.warn_if_empty, self.storage)

    async def stop(self, hurry: asyncio.Event | None = None) -> None:
        """Open answers may finish, and be read, for `shutdown_grace` or until `hurry` is set."""
        self._stopping = True
        await self.review.stop()
        if not self._quiet.is_set():
            grace = self.config.shutdown_grace
            logger.info("reflex: stopping; open answers have %g s, or until a second signal", grace)
            waits = [asyncio.ensure_future(self._quiet.wait())]
            if hurry is not None:
                waits.append(asyncio.ensure_future(hurry.wait()))
            await asyncio.wait(waits, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
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
        if self._stopping:
            error = ApiError(503, "The proxy is stopping.", code="stopping", retry_after=1)
            return Reply.of_error(error)
        return self._miss(prepared, detail)

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
            if (hit := await self.similar.join(keys, meaning, wishes, now)) is not None:
                found, record.trace = hit, hit.trace
            elif (at_once := self._at_once(prepared)) is not None:
                return at_once
        if meaning.text is not None:
            self.review.look(
                found, keys.tenant, meaning.text, wishes, lambda: self._calls(prepared, False)[0]
            )
        return found

    def _at_once(self, prepared: Prepared) -> Reply | Pending | None:
        """What takes no disk and no embedding: a hit in memory, or an equal answer under way."""
        return self.fast_hit(prepared) or self._join(prepared)

    def _join(self, prepared: Prepared) -> Pending | None:
        wishes, keys = prepared.wishes, prepared.keys
        flight = self._flights.get(keys.exact)
        if flight is None or not flight.joinable or not wishes.may_join or wishes.only_if_cached:
            return None
        note = Note("coalesced", keys.exact, None, wishes.may_store, prepared.record.id)
        return self._pending(flight, prepared, note)

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

    # ------------------------------------------------------------------ a miss

    def _miss(self, prepared: Prepared, detail: str) -> Pending:
        prepared.record.upstream = True
        request, wishes, keys = prepared.request, prepared.wishes, prepared.keys
        shared = self.config.cache and wishes.may_join
        may_store = self.config.cache and wishes.may_store
        finish = self.config.on_disconnect == "finish" and may_store
        flight = Flight(None if finish else self.config.disconnect_grace if shared else 0)
        flight.legacy_functions = inbound.uses_functions(request)
        plan = Plan(self._calls(prepared, shared))
        status: Status = "miss" if self.config.cache and wishes.may_read else "bypass"
        if shared and self.config.resumptions:
            plan.partial = self.fetcher.partials.take(keys.exact, self.clock())
            status = "continued" if plan.partial else status
        note = Note(status, keys.exact, detail, may_store, prepared.record.id)
        pending = self._pending(flight, prepared, note)
        if shared:
            self._flights[keys.exact] = flight
            self.similar.add(keys, lambda: self._meaning(request, prepared.target, keys), flight)
        task = asyncio.create_task(self._run(flight, plan, may_store), name="reflex upstream")
        flight.task = task
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return pending

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._look_if_quiet()

    def _look_if_quiet(self) -> None:
        if not self._tasks and not self._readers:
            self._quiet.set()

    def _calls(self, prepared: Prepared, shared: bool) -> list[Call]:
        """The target itself, then the configured fallbacks."""
        config, request, target = self.config, prepared.request, prepared.target
        targets = [target]
        for name, model in config.fallbacks:
            if name in ("*", request.model):
                other = route.target(model, config, prepared.headers)
                if (other.provider, other.model) != (target.provider, target.model):
                    targets.append(other)
        return [
            Call(
                request=request,
                target=each,
                keys=self._keys(request, each, prepared.headers, prepared.wishes),
                forward=route.forwarded(prepared.headers, each),
                first_byte_timeout=config.first_byte_timeout,
                idle_timeout=config.idle_timeout,
                new_id=_new_id,
                now=self.clock,
                wishes=prepared.wishes,
                may_share=shared,
                stream_upstream=shared and config.stream_upstream and _can_stream(request),
            )
            for each in targets
        ]

    def _pending(self, flight: Flight, prepared: Prepared, note: Note) -> Pending:
        def closed(status: Status, code: int) -> None:
            usage = flight.exchange.usage if flight.exchange else None
            record = prepared.record
            if self._telemetry is not None and flight.exchange is not None:
                record.answer = answer_of(flight.exchange.completion())
            if flight.content_at is not None:
                record.first_token = max(0.0, flight.content_at - record.started)
            self.stats.done(record, status, code, note.detail, usage)
            self._readers -= 1
            self._look_if_quiet()

        self._readers += 1
        self._quiet.clear()
        return Pending(flight, prepared.request, note, self.config.keepalive, closed)

    async def _run(self, flight: Flight, plan: Plan, may_store: bool) -> None:
        started = time.perf_counter()
        try:
            await self.fetcher.run(flight, plan)
            completion = flight.completion()
            if completion is None or plan.answered is None or plan.from_store:
                return
            target = plan.answered.target
            self.stats.paid(target.provider.name, target.model, completion.usage)
            if not may_store:
                return
            decision = policy.storable(completion, self.config.max_answer)
            if decision.stored:
                call = plan.answered
                meaning = self._meaning(call.request, call.target, call.keys)
                self.storage.put(
                    call.target,
                    call.keys,
                    meaning,
                    completion,
                    decision.exact_only,
                    request=call.request.raw,
                    took=time.perf_counter() - started,
                )
            else:
                self.stats.not_stored[decision.reason or "unknown"] += 1
        except asyncio.CancelledError:
            self.stats.cancelled += 1
        except Exception:
            logger.exception("reflex: the upstream call failed")
        finally:
            exact = plan.calls[0].keys.exact
            if self._flights.get(exact) is flight:
                del self._flights[exact]
            self.similar.remove(exact, flight)

    async def _stored(self, call: Call) -> Hit | None:
        """What is stored under a fallback's own key."""
        return await self._kept(call, self.clock())

    async def _stale(self, call: Call) -> Hit | None:
        """An answer past its TTL, but not by more than `stale_if_error`."""
        grace = self.config.stale_if_error
        return await self._kept(call, self.clock() - grace) if grace else None

    async def _kept(self, call: Call, now: float) -> Hit | None:
        if not (self.config.cache and call.may_share):
            return None
        hit = await self.lookup.kept(call.keys, now)
        young = hit is not None and call.wishes.accepts(self.clock() - hit.entry.created)
        return hit if young else None

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
            "in_flight": len(self._flights),
            "readers": self._readers,
            "storage": self.storage.stats(),
            **self.review.stats(),
            "join_similar": self.similar.stats(),
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


def _new_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"


def _can_stream(request: ChatRequest) -> bool:
    """Spoken answers have another format when streamed."""
    return not request.body.get("audio")
