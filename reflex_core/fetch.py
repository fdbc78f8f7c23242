"""A miss: who is asked, how often, and what happens when that fails.

run        the primary target, then the fallbacks, until one answers; else a stale answer; else the error
_answer    one target: retries before the first content, resumptions after it
attempt    one request (attempt.py)
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from .attempt import Call, attempt, details_of, refuses_streams, streamed
from .breaker import Breakers
from .controls import Status
from .errors import ApiError, BadRequest, UpstreamError
from .exchange import Exchange
from .flight import Flight
from .lookup import Hit
from .partial import Partial, Partials, continues, continuing
from .render import events_of
from .types import TextDelta, UsageEvent
from .upstream import Upstream

logger = logging.getLogger("reflex")

_RETRYABLE = frozenset([408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529])
_LONGEST_WAIT = 30.0
"""A provider that asks for a longer pause (seconds) is not tried again: the client is told."""
_FIRST_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class Persistence:
    """How hard one answer is tried for."""

    retries: int
    """Before the first content, when several clients wait; a single client does its own."""
    resumptions: int
    """After content, where the provider can continue. 0 turns it off, for partials too."""


@dataclass(slots=True)
class Plan:
    """One answer to get: the calls in order of preference, and what is known already."""

    calls: Sequence[Call]
    partial: Partial | None = None
    answered: Call | None = None
    """Set by `run`: the call whose target answered; its keys are those to store under."""
    from_store: bool = False
    """The answer was a stored one of a fallback, or a stale one: nothing to store."""


Stored = Callable[[Call], Awaitable[Hit | None]]


class Fetcher:
    """Fills flights. `stored` looks up a fallback's own stored answer, `stale` an expired one."""

    def __init__(
        self,
        upstream: Upstream,
        persistence: Persistence,
        breakers: Breakers,
        partials: Partials,
        stored: Stored,
        stale: Stored,
    ) -> None:
        self._upstream = upstream
        self._persistence = persistence
        self._breakers = breakers
        self.partials = partials
        self._stored = stored
        self._stale = stale
        self._no_stream: set[tuple[str, str]] = set()
        self.calls = self.retried = self.resumed = self.fell_back = 0
        """Counts since the start."""
        self.errors: Counter[tuple[str, int]] = Counter()
        """Calls that failed, by provider and HTTP status."""

    async def run(self, flight: Flight, plan: Plan) -> None:
        """Fill `flight` and end it, whatever happens. Cancelling it closes the connection."""
        flight.has_fallbacks = len(plan.calls) > 1
        try:
            await self._first_that_answers(flight, plan)
        except (BadRequest, UpstreamError) as error:
            if worth_another_try(error.error):
                self._keep_partial(flight, plan)
            flight.fail(error.error)
        except asyncio.CancelledError:
            self._keep_partial(flight, plan)
            flight.fail(_stopped())  # nobody reads it, unless the proxy is stopping
            raise
        except ImportError as error:
            flight.fail(ApiError(501, f"This provider needs an extra package: {error}."))
        except Exception as error:
            message = f"Reflex failed while asking the provider ({type(error).__name__})."
            flight.fail(ApiError(500, message, code="reflex_internal"))
            raise
        finally:
            flight.end()

    async def _first_that_answers(self, flight: Flight, plan: Plan) -> None:
        last: UpstreamError | None = None
        for position, call in enumerate(plan.calls):
            name = call.target.provider.name
            is_last = position + 1 == len(plan.calls)
            if not is_last and not self._breakers.allows(name, call.now()):
                last = last or UpstreamError(_passed_over(name))
                if plan.partial is not None:
                    flight.status = "miss"  # only the first target could have continued it
                continue
            try:
                if position and (hit := await self._stored(call)) is not None:
                    self._serve(flight, plan, call, hit, hit.status)
                    return
                await self._answer(flight, call, None if position else plan.partial, is_last)
                plan.answered = call
                return
            except (BadRequest, UpstreamError, ImportError) as error:
                if _content_seen(flight):
                    raise
                if isinstance(error, UpstreamError) and worth_another_try(error.error):
                    last = error
                elif position == 0:
                    raise
                else:
                    logger.warning("reflex: fallback %s cannot answer (%s)", name, _brief(error))
                self.fell_back += not is_last
        first = plan.calls[0]
        if (hit := await self._stale(first)) is not None:
            self._serve(flight, plan, first, hit, "stale")
            return
        raise last or UpstreamError(ApiError(502, "No provider could be asked."))

    def _serve(self, flight: Flight, plan: Plan, call: Call, hit: Hit, status: Status) -> None:
        """Answer with what was stored earlier."""
        completion, entry, now = hit.completion, hit.entry, call.now()
        flight.status = status
        flight.kept = (None if entry.expires is None else entry.expires - now, now - entry.created)
        exchange = flight.begin(Exchange(completion.id, completion.created, completion.model))
        flight.details = details_of(call.target)
        flight.publish(exchange.take(list(events_of(completion))))
        plan.answered, plan.from_store = call, True

    # ------------------------------------------------------------------ one target

    async def _answer(
        self, flight: Flight, call: Call, partial: Partial | None, may_wait: bool
    ) -> None:
        """`may_wait`: there is nobody else to ask, so it is worth trying again after a pause."""
        name, original = call.target.provider.name, call
        call = self._as_stream(call)
        if partial is not None:
            call = _begin_with(flight, call, partial)
        retries = resumptions = 0
        while True:
            try:
                self.calls += 1
                await attempt(flight, call, self._upstream)
            except UpstreamError as error:
                self.errors[name, error.error.status] += 1
                if self._streams_in_vain(original, call, flight, error.error):
                    call = original
                    continue
                if _is_its_fault(error.error):
                    self._breakers.failed(name, call.now())
                if not _content_seen(flight):
                    if not (may_wait and await self._pause(flight, error.error, retries)):
                        raise
                    retries += 1
                    continue
                if self._only_the_end_is_missing(flight, original):
                    return
                text = self._rest_from(flight, original, error.error)
                if text is None or resumptions >= self._persistence.resumptions:
                    raise
                resumptions += 1
                self.resumed += 1
                call = _go_on(flight, self._as_stream(original), text)
                await asyncio.sleep(_FIRST_PAUSE * (resumptions - 1))
            else:
                self._breakers.succeeded(name)
                return

    def _as_stream(self, call: Call) -> Call:
        """Also for a JSON reader: streaming readers may join, and a cut answer can be continued."""
        target = (call.target.provider.name, call.target.model)
        if call.request.stream or not call.stream_upstream or target in self._no_stream:
            return call
        return replace(call, request=streamed(call.request))

    def _streams_in_vain(self, original: Call, call: Call, flight: Flight, error: ApiError) -> bool:
        """The provider will not stream what was asked as JSON: remember that, ask for JSON."""
        if original.request.stream or not call.request.stream or _content_seen(flight):
            return False
        if not refuses_streams(error):
            return False
        self._no_stream.add((call.target.provider.name, call.target.model))
        return True

    async def _pause(self, flight: Flight, error: ApiError, retries: int) -> bool:
        """Wait before another try for all who wait. False when there shall be none."""
        if flight.readers < 2 or retries >= self._persistence.retries:
            return False
        wait = _FIRST_PAUSE * 2**retries if error.retry_after is None else error.retry_after
        if not worth_another_try(error) or wait > _LONGEST_WAIT:
            return False
        self.retried += 1
        await asyncio.sleep(wait)
        return True

    # ------------------------------------------------------------------ broken answers

    def _only_the_end_is_missing(self, flight: Flight, call: Call) -> bool:
        """It broke off behind the finish reason. Those that continue tell the usage before or with it."""
        exchange = flight.exchange
        if exchange is None or exchange.error is not None:
            return False
        return continues(call.request, call.target) and exchange.completion().complete

    def _rest_from(self, flight: Flight, call: Call, error: ApiError) -> str | None:
        """The text that the provider can be asked to continue."""
        if not worth_another_try(error) or flight.exchange is None:
            return None
        if not continues(call.request, call.target):
            return None
        text = flight.exchange.resumable_text()
        return text.rstrip() if text else None

    def _keep_partial(self, flight: Flight, plan: Plan) -> None:
        exchange, call = flight.exchange, plan.calls[0]
        if exchange is None or not self._persistence.resumptions:
            return
        if not call.may_share or not continues(call.request, call.target):
            return
        asked = details_of(call.target)
        if {name: flight.details.get(name) for name in asked} != asked:
            return
        if text := exchange.resumable_text():
            self.partials.put(call.keys.exact, text, exchange.usage, exchange.identity, call.now())


def worth_another_try(error: ApiError) -> bool:
    """True when the same request may succeed later, or elsewhere."""
    return error.status in _RETRYABLE or error.status >= 500


def _is_its_fault(error: ApiError) -> bool:
    """What counts for a circuit breaker. 429 is about one client's key, and others have their own."""
    return worth_another_try(error) and error.status != 429


def _content_seen(flight: Flight) -> bool:
    return flight.exchange is not None and flight.exchange.content_seen


def _begin_with(flight: Flight, call: Call, partial: Partial) -> Call:
    """Readers get the kept text at once; the provider is asked for the rest."""
    exchange = flight.begin(Exchange(partial.id, partial.created, partial.model))
    events = [UsageEvent(partial.usage)] if partial.usage else []
    flight.publish(exchange.take([*events, TextDelta(partial.text)]))
    return _go_on(flight, call, partial.text.rstrip())


def _go_on(flight: Flight, call: Call, text: str) -> Call:
    assert flight.exchange is not None
    echoed = call.target.provider.quirks.get("continues") == "prefix"
    flight.exchange.resume(text, echoed=echoed)
    return replace(call, request=continuing(call.request, call.target, text))


def _brief(error: BadRequest | UpstreamError | ImportError) -> str:
    """For the log, without what a provider says: it may quote a prompt or a key."""
    if isinstance(error, ImportError):
        return f"it needs the package {error.name}"
    known = error.error.code == "missing_api_key"
    return error.error.message if known else f"status {error.error.status}"


def _stopped() -> ApiError:
    return ApiError(503, "The proxy is stopping.", code="stopping", retry_after=1)


def _passed_over(name: str) -> ApiError:
    message = f"Provider '{name}' has failed several times and is passed over for a while."
    return ApiError(503, message, code="circuit_open")
