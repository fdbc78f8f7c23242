"""Upstream calls that no client waits for: the judge's, and rechecks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .attempt import Call
from .config import Config
from .errors import ApiError, UpstreamError
from .fetch import Fetcher, Plan
from .flight import Flight
from .types import ChatRequest, Completion, Json, Keys, Target

_NOBODY = Keys(b"", b"")
"""Nothing of them is shared or stored."""


class Errands:
    """Through the same codecs and connections as clients' requests. Lives on the event loop.

    `paid` gets provider, model and usage of each answer.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        config: Config,
        paid: Callable[[str, str, Json | None], None],
        new_id: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        self._fetcher = fetcher
        self._config = config
        self._paid = paid
        self._new_id = new_id
        self._clock = clock

    async def ask(
        self, request: ChatRequest, target: Target, forward: Sequence[tuple[str, str]] = ()
    ) -> Completion:
        """One whole answer of this target, tried for once. Raises UpstreamError."""
        call = Call(
            request=request,
            target=target,
            keys=_NOBODY,
            forward=tuple(forward),
            first_byte_timeout=self._config.first_byte_timeout,
            idle_timeout=self._config.idle_timeout,
            new_id=self._new_id,
            now=self._clock,
            may_share=False,
            stream_upstream=False,
        )
        flight = Flight()
        await self._fetcher.run(flight, Plan([call]))
        usage = flight.exchange.completion().usage if flight.exchange else None
        if usage is not None:
            self._paid(target.provider.name, target.model, usage)
        completion = flight.completion()
        if completion is None:
            raise UpstreamError(flight.error or ApiError(502, "The answer was incomplete."))
        return completion
