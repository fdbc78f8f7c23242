"""Flows <-> the admin surface."""

from __future__ import annotations

from collections.abc import Mapping

from mitmproxy import http
from mitmproxy.proxy import server_hooks

from reflex_core.admin_guard import LOCAL_NAME, AdminRequest

_PAGES = {"/": "/reflex/"}
"""At reflex.local the dashboard is the front page."""


class OwnConnections:
    """An addon that knows the proxy's connections to servers by their local end.

    A client of the forward proxy that has it connect to the proxy's own reverse listener would look
    like one on this machine.
    """

    def __init__(self) -> None:
        self._local_ends: set[tuple[str, int]] = set()

    def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
        if data.server.sockname:
            self._local_ends.add(data.server.sockname[:2])

    def server_disconnected(self, data: server_hooks.ServerConnectionHookData) -> None:
        if data.server.sockname:
            self._local_ends.discard(data.server.sockname[:2])

    def has(self, flow: http.HTTPFlow) -> bool:
        """True when the flow's client is this proxy itself."""
        return bool(flow.client_conn.peername) and flow.client_conn.peername[:2] in self._local_ends


def admin_request(
    flow: http.HTTPFlow, path: str, headers: Mapping[str, str], own: OwnConnections
) -> AdminRequest:
    request = flow.request
    bare, question, query = path.partition("?")
    if request.host == LOCAL_NAME:
        path = _PAGES.get(bare, bare) + question + query
    peer = flow.client_conn.peername
    return AdminRequest(
        method=request.method,
        path=path,
        headers={**headers, "host": request.host_header or ""},
        body=request.get_content(strict=False) or b"",
        peer=peer[0] if peer else "",
        scheme="https" if flow.client_conn.tls_established else "http",
        through_us=own.has(flow),
    )
