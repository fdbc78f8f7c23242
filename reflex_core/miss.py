"""What happens to a request that nothing stored answers: one upstream call, shared with equal requests."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable

from . import inbound, policy, route
from .attempt import Call
from .breaker import Breakers
from .config import Config
from .controls import Status
from .fetch import Fetcher, Persistence, Plan
from .flight import Flight
from .journal import answer_of
from .lookup import Hit, Lookup, keys_of, meaning_of
from .partial import Partials
from .prepared import Prepared
from .reply import Note, Pending
from .similar import SimilarFlights
from .stats import Stats
from .storage import Storage
from .types import ChatRequest
from .upstream import Upstream

logger = logging.getLogger("reflex")


class Misses:
    """Answers under way. Lives on the event loop."""

    def __init__(
        self,
        config: Config,
        clock: Callable[[], float],
        upstream: Upstream,
        storage: Storage,
        lookup: Lookup,
        stats: Stats,
    ) -> None:
        self._config = config
        self._clock = clock
        self._storage = storage
        self._lookup = lookup
        self._stats = stats
        self.fetcher = Fetcher(
            upstream,
            Persistence(config.retries, config.resumptions),
            Breakers(config.breaker_failures, config.breaker_reset),
            Partials(config.partial_ttl),
            self._stored,
            self._stale,
        )
        self.similar = SimilarFlights(storage, lookup, config.join_similar)
        self.flights: dict[bytes, Flight] = {}
        """What equal requests may join, by exact key."""
        self.readers = 0
        self.keep_answers = False
        """Put the answer's text into the record: somebody traces requests."""
        self.stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.quiet = asyncio.Event()
        """Set while nobody waits for an answer and no upstream call is open."""
        self.quiet.set()

    async def stop(self, hurry: asyncio.Event | None) -> None:
        """Open answers may finish, and be read, for `shutdown_grace` or until `hurry` is set."""
        if not self.quiet.is_set():
            grace = self._config.shutdown_grace
            logger.info("reflex: stopping; open answers have %g s, or until a second signal", grace)
            waits = [asyncio.ensure_future(self.quiet.wait())]
            if hurry is not None:
                waits.append(asyncio.ensure_future(hurry.wait()))
            await asyncio.wait(waits, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def join(self, prepared: Prepared) -> Pending | None:
        """An equal answer under way, if there is one to share."""
        wishes, keys = prepared.wishes, prepared.keys
        flight = self.flights.get(keys.exact)
        if flight is None or not flight.joinable or not wishes.may_join or wishes.only_if_cached:
            return None
        note = Note("coalesced", keys.exact, None, wishes.may_store, prepared.record.id)
        return self._pending(flight, prepared, note)

    def begin(self, prepared: Prepared, detail: str) -> Pending:
        """Asks the provider. `detail`: why nothing stored was served."""
        prepared.record.upstream = True
        request, wishes, keys = prepared.request, prepared.wishes, prepared.keys
        shared = self._config.cache and wishes.may_join
        may_store = self._config.cache and wishes.may_store
        finish = self._config.on_disconnect == "finish" and may_store
        flight = Flight(None if finish else self._config.disconnect_grace if shared else 0)
        flight.legacy_functions = inbound.uses_functions(request)
        plan = Plan(self.calls(prepared, shared))
        status: Status = "miss" if self._config.cache and wishes.may_read else "bypass"
        if shared and self._config.resumptions:
            plan.partial = self.fetcher.partials.take(keys.exact, self._clock())
            status = "continued" if plan.partial else status
        note = Note(status, keys.exact, detail, may_store, prepared.record.id)
        pending = self._pending(flight, prepared, note)
        if shared:
            self.flights[keys.exact] = flight
            self.similar.add(
                keys,
                lambda: meaning_of(request, prepared.target, keys.tenant, self._config),
                flight,
            )
        task = asyncio.create_task(self._run(flight, plan, may_store), name="reflex upstream")
        flight.task = task
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return pending

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._look_if_quiet()

    def _look_if_quiet(self) -> None:
        if not self._tasks and not self.readers:
            self.quiet.set()

    def calls(self, prepared: Prepared, shared: bool) -> list[Call]:
        """The target itself, then the configured fallbacks."""
        config, request, target = self._config, prepared.request, prepared.target
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
                keys=keys_of(
                    request, each, prepared.headers, prepared.wishes, config, self._storage.secret
                ),
                forward=route.forwarded(prepared.headers, each),
                first_byte_timeout=config.first_byte_timeout,
                idle_timeout=config.idle_timeout,
                new_id=new_id,
                now=self._clock,
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
            if self.keep_answers and flight.exchange is not None:
                record.answer = answer_of(flight.exchange.completion())
            if flight.content_at is not None:
                record.first_token = max(0.0, flight.content_at - record.started)
            self._stats.done(record, status, code, note.detail, usage)
            self.readers -= 1
            self._look_if_quiet()

        self.readers += 1
        self.quiet.clear()
        return Pending(flight, prepared.request, note, self._config.keepalive, closed)

    async def _run(self, flight: Flight, plan: Plan, may_store: bool) -> None:
        started = time.perf_counter()
        try:
            await self.fetcher.run(flight, plan)
            completion = flight.completion()
            if completion is None or plan.answered is None or plan.from_store:
                return
            target = plan.answered.target
            self._stats.paid(target.provider.name, target.model, completion.usage)
            if not may_store:
                return
            decision = policy.storable(completion, self._config.max_answer)
            if decision.stored:
                call = plan.answered
                meaning = meaning_of(call.request, call.target, call.keys.tenant, self._config)
                self._storage.put(
                    call.target,
                    call.keys,
                    meaning,
                    completion,
                    decision.exact_only,
                    request=call.request.raw,
                    took=time.perf_counter() - started,
                )
            else:
                self._stats.not_stored[decision.reason or "unknown"] += 1
        except asyncio.CancelledError:
            self._stats.cancelled += 1
        except Exception:
            logger.exception("reflex: the upstream call failed")
        finally:
            exact = plan.calls[0].keys.exact
            if self.flights.get(exact) is flight:
                del self.flights[exact]
            self.similar.remove(exact, flight)

    async def _stored(self, call: Call) -> Hit | None:
        """What is stored under a fallback's own key."""
        return await self._kept(call, self._clock())

    async def _stale(self, call: Call) -> Hit | None:
        """An answer past its TTL, but not by more than `stale_if_error`."""
        grace = self._config.stale_if_error
        return await self._kept(call, self._clock() - grace) if grace else None

    async def _kept(self, call: Call, now: float) -> Hit | None:
        if not (self._config.cache and call.may_share):
            return None
        hit = await self._lookup.kept(call.keys, now)
        young = hit is not None and call.wishes.accepts(self._clock() - hit.entry.created)
        return hit if young else None


def new_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"


def _can_stream(request: ChatRequest) -> bool:
    """Spoken answers have another format when streamed."""
    return not request.body.get("audio")
