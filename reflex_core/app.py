"""Puts the core together. One chat request goes through `App.chat`, top to bottom.

inbound   bytes -> ChatRequest
route     which provider answers it
key       -> tenant, exact key, scope, semantic text
lookup    L1 memory and store -> L2 nearest -> L3 verify
hit       reply    the stored Completion in the form this reader asked for
miss      flight   shared with equal requests that are on their way
          fetch    codec, upstream, events
          writer   the finished Completion -> SQLite
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
import uuid
from collections.abc import Callable, Mapping

from . import codecs, controls, health, inbound, key, policy, route
from .backends.http_upstream import HttpUpstream
from .config import Config
from .controls import Controls
from .errors import ApiError, BadRequest, UpstreamError
from .fetch import Call, fetch
from .flight import Flight
from .lookup import Hit, Keys, Lookup, keys_of
from .mock import MockUpstream
from .passthrough import Passthrough, models_reply, passthrough
from .reply import Note, Pending, Reply
from .stats import Record, Stats
from .storage import Storage
from .types import ChatRequest, Target

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
    ) -> None:
        self.config = config
        self.clock = clock
        self.stats = Stats()
        self.storage = Storage(config, clock)
        self.upstream = MockUpstream(
            HttpUpstream(
                connect_timeout=config.connect_timeout,
                ssl_context=ssl_context,
                proxy=config.upstream_proxy or upstream_proxy,
            ),
            config.mock_delay,
        )
        self._flights: dict[bytes, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await asyncio.to_thread(self.storage.open)
        self.lookup = Lookup(self.storage.memory, self.storage.store)

    async def stop(self) -> None:
        """Open answers are cancelled; what is queued is written."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.upstream.close()
        await asyncio.to_thread(self.storage.close)

    # ------------------------------------------------------------------ a chat request

    async def chat(
        self, raw: bytes, headers: Mapping[str, str], deployment: str | None = None
    ) -> Reply | Pending | None:
        """`headers` names are lower case. None: pass the request on as it is."""
        started = time.perf_counter()
        try:
            request = inbound.parse(raw, deployment)
            target = route.target(request.model, self.config, headers)
        except BadRequest as error:
            return self._unreadable(error, headers)
        except UpstreamError as error:
            return Reply.of_error(error.error)
        wishes = controls.parse(headers.get("cache-control"), headers.get("x-reflex-namespace"))
        keys = self._keys(request, target, headers, wishes)
        record = Record(target.provider.name, target.model, request.stream, started)
        outcome: Hit | str
        if not self.config.cache:
            outcome = "cache-off"
        elif not wishes.may_read:
            outcome = "no-cache"
        else:
            found = await self.lookup.find(keys, wishes, self.clock())
            outcome = found if isinstance(found, Hit) else found.detail
        if isinstance(outcome, Hit):
            return self._hit(outcome, request, record)
        if wishes.only_if_cached:
            return self._not_cached(keys, outcome, record)
        return self._miss(request, target, keys, wishes, outcome, headers, record)

    def _unreadable(self, error: BadRequest, headers: Mapping[str, str]) -> Reply | None:
        """An OpenAI-compatible provider judges a body by itself."""
        provider = self.config.provider or "openai"
        if self.config.providers[provider].codec == "openai-chat" and provider != "mock":
            return None
        return Reply.of_error(error.error)

    def _keys(
        self,
        request: ChatRequest,
        target: Target,
        headers: Mapping[str, str],
        wishes: Controls,
    ) -> Keys:
        namespace = wishes.namespace or self.config.namespace or None
        tenant = key.tenant(
            self.storage.secret,
            route.credential(headers),
            namespace,
            self.config.shared_namespaces,
        )
        return keys_of(request, target, tenant, namespace, self.config)

    def _hit(self, hit: Hit, request: ChatRequest, record: Record) -> Reply:
        self.storage.touch(hit.entry)
        self.stats.done(record, hit.status, 200, hit.detail, hit.completion.usage)
        return Reply.of_hit(hit, request, inbound.uses_functions(request), self.clock())

    def _not_cached(self, keys: Keys, detail: str, record: Record) -> Reply:
        error = controls.not_cached()
        self.stats.done(record, "miss", error.status, detail)
        note = controls.answer_headers("miss", key=keys.exact, detail=detail)
        return Reply.of_error(error, (("x-should-retry", "false"), *note))

    # ------------------------------------------------------------------ a miss

    def _miss(
        self,
        request: ChatRequest,
        target: Target,
        keys: Keys,
        wishes: Controls,
        detail: str,
        headers: Mapping[str, str],
        record: Record,
    ) -> Reply | Pending:
        shared = self.config.cache and wishes.may_join
        may_store = self.config.cache and wishes.may_store
        flight = self._flights.get(keys.exact) if shared else None
        if flight is not None and not flight.done:
            note = Note("coalesced", keys.exact, None, may_store)
            return self._pending(flight, request, note, record)
        flight = Flight()
        flight.legacy_functions = inbound.uses_functions(request)
        flight.details["x-reflex-provider"] = target.provider.name
        call = Call(
            request=request,
            target=target,
            codec=codecs.get(target.provider.codec),
            forward=route.forwarded(headers, target),
            first_byte_timeout=self.config.first_byte_timeout,
            idle_timeout=self.config.idle_timeout,
            new_id=_new_id,
            now=self.clock,
        )
        status = "miss" if self.config.cache and wishes.may_read else "bypass"
        note = Note(status, keys.exact, detail, may_store)
        pending = self._pending(flight, request, note, record)
        if shared:
            self._flights[keys.exact] = flight
        task = asyncio.create_task(self._run(flight, call, keys, may_store), name="reflex upstream")
        flight.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return pending

    def _pending(self, flight: Flight, request: ChatRequest, note: Note, record: Record) -> Pending:
        def closed(status: int) -> None:
            usage = flight.exchange.completion().usage if flight.exchange else None
            self.stats.done(record, note.status, status, note.detail, usage)

        return Pending(flight, request, note, self.config.keepalive, closed)

    async def _run(self, flight: Flight, call: Call, keys: Keys, may_store: bool) -> None:
        self.stats.upstream_calls += 1
        try:
            try:
                route.require_key(call.target)
            except UpstreamError as error:
                flight.fail(error.error)
                return
            await fetch(flight, call, self.upstream)
            if may_store and (completion := flight.completion()) is not None:
                decision = policy.storable(completion, self.config.max_answer)
                if decision.stored:
                    self.storage.put(call.target, keys, completion, decision.exact_only)
                else:
                    self.stats.not_stored[decision.reason or "unknown"] += 1
        except asyncio.CancelledError:
            self.stats.cancelled += 1
        except Exception:
            logger.exception("reflex: the upstream call failed")
        finally:
            if self._flights.get(keys.exact) is flight:
                del self._flights[keys.exact]

    # ------------------------------------------------------------------ everything else

    def passthrough(
        self, path: str, headers: Mapping[str, str], deployment: str | None
    ) -> Passthrough | Reply:
        """Where another OpenAI path goes, or why it can't."""
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
        return self.stats.lines(self.storage.stats(), in_flight=len(self._flights))

    def purge(self, what: str, value: str) -> int:
        """How many stored answers went. Blocks; raises ValueError for what makes no sense."""
        return self.storage.purge(what, value)

    def lookup_lines(self, key_digits: str) -> list[str]:
        """What is stored under a key, given in hex or its first digits. Blocks; raises ValueError."""
        return self.storage.describe(key_digits, self.clock())


def _new_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"
