"""What a wire protocol must provide. Sans-io: bytes in, events out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..errors import ApiError
from ..types import ChatRequest, Event, ProviderRequest, Target


class Decoder(Protocol):
    """Turns one streamed answer into events.

    The events are the same however the bytes are cut. Neither method ever raises: garbage
    becomes an `ErrorEvent`, and after that nothing comes any more. A stream that ends without its
    protocol's end (no finish reason for some choice) gives an `ErrorEvent` from `finish`.
    """

    @property
    def ended(self) -> bool:
        """True once the protocol's own end, or an error, has been seen: nothing comes any more.

        May stay False where the protocol has no end but the body's.
        """
        ...

    def feed(self, data: bytes) -> list[Event]:
        """Events completed by `data` (content decoding already undone)."""
        ...

    def finish(self) -> list[Event]:
        """Events that only the end of the body completes."""
        ...


class Codec(Protocol):
    """One per wire protocol.

    One that must do blocking work before `encode` (Bedrock looks for credentials) also has
    `prepare(target)`, which is called in a thread.
    """

    name: str

    def encode(self, request: ChatRequest, target: Target) -> ProviderRequest:
        """The provider's request, as a stream exactly when `request.stream`.

        Raises BadRequest when the provider cannot do what is asked and dropping it would change
        the meaning of the answer.
        """
        ...

    def decoder(self, request: ChatRequest, target: Target) -> Decoder:
        """A decoder for one streamed answer to `request`."""
        ...

    def decode_json(self, request: ChatRequest, target: Target, body: bytes) -> list[Event]:
        """The events of a whole, unstreamed answer. Never raises: garbage becomes an ErrorEvent."""
        ...

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """The provider's error answer (status >= 400) in OpenAI's terms. Header names are lower case."""
        ...
