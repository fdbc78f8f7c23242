"""Flows that go on to a provider by mitmproxy's own connection: the other paths of the API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mitmproxy import http
from mitmproxy.proxy.server import ConnectionHandler
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from reflex_core.errors import ApiError


class Passing:
    """An addon that streams their answers, bounds the wait for a connection and words its failure.

    mitmproxy itself waits as long as the operating system does, which is minutes.
    """

    def __init__(
        self, timeout: Callable[[], float], handlers: Callable[[str], ConnectionHandler | None]
    ) -> None:
        """`timeout` in seconds."""
        self._timeout = timeout
        self._handlers = handlers
        self._clients: dict[str, str] = {}
        """Flow -> client, by id."""

    def __contains__(self, flow: http.HTTPFlow) -> bool:
        return flow.id in self._clients

    def add(self, flow: http.HTTPFlow) -> None:
        self._clients[flow.id] = flow.client_conn.id

    def discard(self, flow: http.HTTPFlow) -> None:
        """The flow has its answer, or failed."""
        self._clients.pop(flow.id, None)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        if flow in self and flow.response is not None:
            flow.response.stream = True

    def server_connect(self, data: ServerConnectionHookData) -> None:
        if data.client.id in self._clients.values():
            seconds = self._timeout()
            asyncio.get_running_loop().call_later(seconds, self._give_up, data, seconds)

    def _give_up(self, data: ServerConnectionHookData, seconds: float) -> None:
        handler = self._handlers(data.client.id)
        connection = handler.transports.get(data.server) if handler else None
        waiting = data.server.timestamp_tcp_setup is None and data.server.error is None
        if connection is not None and connection.handler is not None and waiting:
            connection.handler.cancel(f"timed out after {seconds:g} s")

    def failure(self, flow: http.HTTPFlow, text: str) -> ApiError | None:
        """`text` is mitmproxy's. None for a flow that is none of these."""
        if flow not in self:
            return None
        status = 504 if "timed out" in text.lower() else 502
        return ApiError(status, f"Cannot reach {flow.request.host}: {text}")
