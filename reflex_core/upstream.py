"""The port to providers: what carries a ProviderRequest there and the answer's bytes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .types import ProviderRequest


class Answer(Protocol):
    """A provider's answer whose headers are in. `headers` names are lower case. Must be closed."""

    status: int

    @property
    def headers(self) -> Mapping[str, str]: ...

    async def read_chunk(self) -> bytes:
        """The next bytes as they arrive, content coding undone; b"" at the end. Raises UpstreamError."""
        ...

    async def read_all(self) -> bytes:
        """The rest of the body. Raises UpstreamError."""
        ...

    def close(self, *, complete: bool = False) -> None:
        """`complete`: the answer is, though the end of its body may not be in yet. Else the
        connection is cut, unless the body was read to its end."""
        ...


class Upstream(Protocol):
    """The way to providers. Lives on the event loop."""

    async def open(self, request: ProviderRequest, first_byte_timeout: float) -> Answer:
        """Send, and wait (seconds) for the answer's headers. Raises UpstreamError."""
        ...

    async def close(self) -> None: ...
