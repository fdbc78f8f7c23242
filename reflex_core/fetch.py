"""A miss: one request to the provider, its answer published to a flight as it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from .codecs.base import Codec
from .errors import ApiError, BadRequest, UpstreamError
from .exchange import Exchange
from .flight import Flight
from .types import ChatRequest, ProviderRequest, Target


class Answer(Protocol):
    """A provider's answer whose headers are in. `headers` names are lower case."""

    status: int

    @property
    def headers(self) -> Mapping[str, str]: ...

    async def read_chunk(self) -> bytes:
        """The next bytes, b"" at the end. Raises UpstreamError."""
        ...

    async def read_all(self) -> bytes: ...

    def close(self) -> None: ...


class Upstream(Protocol):
    """The way to providers."""

    async def open(self, request: ProviderRequest, first_byte_timeout: float) -> Answer:
        """Raises UpstreamError."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Call:
    """Everything one upstream call needs."""

    request: ChatRequest
    target: Target
    codec: Codec
    forward: tuple[tuple[str, str], ...] = field(repr=False)
    """Client headers the provider should see."""
    first_byte_timeout: float
    idle_timeout: float
    new_id: Callable[[], str]
    now: Callable[[], float]


async def fetch(flight: Flight, call: Call, upstream: Upstream) -> None:
    """Fill `flight` and end it, whatever happens. Cancelling it closes the connection."""
    try:
        sent = call.codec.encode(call.request, call.target)
        if sent.dropped:
            flight.details["x-reflex-dropped"] = ", ".join(sent.dropped)
        answer = await upstream.open(_with_headers(sent, call.forward), call.first_byte_timeout)
        try:
            await _receive(flight, call, answer)
        finally:
            answer.close()
    except (BadRequest, UpstreamError) as error:
        flight.fail(error.error)
    except asyncio.CancelledError:
        flight.fail(ApiError(499, "Nobody waits for this answer any more."))
        raise
    except ImportError as error:
        flight.fail(ApiError(501, f"This provider needs an extra package: {error}."))
    except Exception as error:
        message = f"Reflex failed while asking the provider ({type(error).__name__})."
        flight.fail(ApiError(500, message, code="reflex_internal"))
        raise
    finally:
        flight.end()


def _with_headers(sent: ProviderRequest, more: tuple[tuple[str, str], ...]) -> ProviderRequest:
    have = {name.lower() for name, _ in sent.headers}
    headers = sent.headers + tuple((n, v) for n, v in more if n.lower() not in have)
    return ProviderRequest(sent.method, sent.url, headers, sent.body, sent.dropped)


async def _receive(flight: Flight, call: Call, answer: Answer) -> None:
    if answer.status >= 300:
        body = await _guarded(answer.read_all(), call.idle_timeout)
        headers = dict(answer.headers)
        flight.fail(call.codec.decode_error(max(answer.status, 400), headers, body))
        return
    decoder = call.codec.decoder(call.request, call.target)
    exchange = Exchange(decoder, call.new_id(), int(call.now()), call.target.model)
    flight.exchange = exchange
    if call.request.stream:
        await _receive_stream(flight, exchange, answer, call.idle_timeout)
    else:
        body = await _guarded(answer.read_all(), call.idle_timeout)
        flight.publish(exchange.take(call.codec.decode_json(call.request, call.target, body)))


async def _guarded[T](read: Awaitable[T], seconds: float) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await read
    except TimeoutError:
        raise UpstreamError(_silent(seconds)) from None


async def _receive_stream(
    flight: Flight, exchange: Exchange, answer: Answer, idle_timeout: float
) -> None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(idle_timeout) as idle:
            while chunk := await answer.read_chunk():
                flight.publish(exchange.feed(chunk))
                if exchange.error is not None:
                    return
                idle.reschedule(loop.time() + idle_timeout)
        flight.publish(exchange.finish())
    except UpstreamError as error:
        flight.publish(exchange.abort(error.error))
    except TimeoutError:
        flight.publish(exchange.abort(_silent(idle_timeout)))


def _silent(seconds: float) -> ApiError:
    return ApiError(504, f"The provider was silent for {seconds:g} s.", code="upstream_timeout")
