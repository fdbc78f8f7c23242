"""One request to one provider, its answer published to a flight as it arrives."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from . import codecs
from .codecs.base import Codec
from .codecs.openai_body import edit
from .controls import NONE, Controls
from .errors import ApiError, UpstreamError
from .exchange import Exchange
from .flight import Flight
from .route import require_key
from .types import ChatRequest, Keys, ProviderRequest, Target
from .upstream import Answer, Upstream

MAX_ANSWER = 256 * 2**20
"""Bytes (about) of a streamed answer's events: all of it is folded in memory."""
_NO_STREAM = re.compile(r"\bstream(?:ing|ed)?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Call:
    """Everything one upstream request needs. `keys` are those of the target that answers."""

    request: ChatRequest
    target: Target
    keys: Keys
    forward: tuple[tuple[str, str], ...] = field(repr=False)
    """Client headers the provider should see."""
    first_byte_timeout: float
    idle_timeout: float
    new_id: Callable[[], str]
    now: Callable[[], float]
    wishes: Controls = NONE
    may_share: bool = True
    """Other requests may join this answer, and a broken one may be continued later."""
    stream_upstream: bool = True
    """Ask for a stream even where the client wants JSON, if the provider can."""


def streamed(request: ChatRequest) -> ChatRequest:
    """The same request with the answer as a stream."""
    if request.stream:
        return request
    raw = edit(request.raw, request.body, {"stream": b"true"})
    body = {**request.body, "stream": True}
    return ChatRequest(raw, body, request.model, True, request.include_usage)


async def attempt(flight: Flight, call: Call, upstream: Upstream) -> None:
    """Returns when the answer is complete. Raises UpstreamError, BadRequest, ImportError.

    `flight.exchange.content_seen` tells whether readers have seen something by then.
    """
    require_key(call.target)
    codec = codecs.get(call.target.provider.codec)
    if (prepare := getattr(codec, "prepare", None)) is not None:
        await asyncio.to_thread(prepare, call.target)
    sent = codec.encode(call.request, call.target)
    flight.details = details_of(call.target, sent.dropped)
    answer = await upstream.open(_with_headers(sent, call.forward), call.first_byte_timeout)
    if flight.transcript is not None:
        answer = flight.transcript.listen(sent.url, answer)
    complete = False
    try:
        if answer.status >= 300:
            await _refused(codec, call, answer)
        exchange = flight.exchange
        if exchange is None or not exchange.content_seen:
            exchange = flight.begin(Exchange(call.new_id(), int(call.now()), call.target.model))
        exchange.attach(codec.decoder(call.request, call.target))
        if call.request.stream:
            await _receive_stream(flight, exchange, answer, call.idle_timeout)
        else:
            body = await _guarded(answer.read_all(), call.idle_timeout)
            events = codec.decode_json(call.request, call.target, body)
            flight.publish(exchange.take(events))
            exchange.check_complete()
        if exchange.error is not None:
            raise UpstreamError(exchange.error)
        complete = True
    finally:
        answer.close(complete=complete)


def details_of(target: Target, dropped: tuple[str, ...] = ()) -> dict[str, str]:
    """Headers of the answer that say who gave it."""
    details = {"x-reflex-provider": target.provider.name, "x-reflex-model": target.model}
    if dropped:
        details["x-reflex-dropped"] = ", ".join(dropped)
    return details


def refuses_streams(error: ApiError) -> bool:
    """The provider says that it will not stream this model (unverified organisations at OpenAI)."""
    if error.status not in (400, 403, 404, 422):
        return False
    return error.param == "stream" or bool(_NO_STREAM.search(error.message))


def _with_headers(sent: ProviderRequest, more: tuple[tuple[str, str], ...]) -> ProviderRequest:
    have = {name.lower() for name, _ in sent.headers}
    return replace(sent, headers=sent.headers + tuple(h for h in more if h[0].lower() not in have))


async def _refused(codec: Codec, call: Call, answer: Answer) -> None:
    body = await _guarded(answer.read_all(), call.idle_timeout)
    status = max(answer.status, 400)
    raise UpstreamError(codec.decode_error(status, dict(answer.headers), body))


async def _receive_stream(
    flight: Flight, exchange: Exchange, answer: Answer, idle_timeout: float
) -> None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(idle_timeout) as idle:
            while chunk := await answer.read_chunk():
                flight.publish(exchange.feed(chunk))
                if exchange.ended:
                    break
                if flight.received > MAX_ANSWER:
                    raise UpstreamError(_too_large())
                idle.reschedule(loop.time() + idle_timeout)
    except TimeoutError:
        raise UpstreamError(_silent(idle_timeout)) from None
    flight.publish(exchange.finish())


async def _guarded[T](read: Awaitable[T], seconds: float) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await read
    except TimeoutError:
        raise UpstreamError(_silent(seconds)) from None


def _too_large() -> ApiError:
    """Not a status that is tried again: it would become as large."""
    return ApiError(413, "The provider's answer is too large.", code="upstream_too_large")


def _silent(seconds: float) -> ApiError:
    return ApiError(504, f"The provider was silent for {seconds:g} s.", code="upstream_timeout")
