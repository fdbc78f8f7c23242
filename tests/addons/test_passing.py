"""Flows that go on by mitmproxy's own connection: streamed, with a bounded wait, failures in words."""

from __future__ import annotations

import asyncio
from typing import Any

from mitmproxy import http
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.test import tflow

from addons.passing import Passing


class Handler:
    """A connection handler with one connection that is being opened."""

    def __init__(self, server: Any) -> None:
        self.handler = asyncio.create_task(asyncio.sleep(60))
        self.transports = {server: self}


def passing(flow: http.HTTPFlow, timeout: float = 60, handler: Any = None) -> Passing:
    made = Passing(lambda: timeout, lambda client: handler)
    made.add(flow)
    return made


def test_answers_are_streamed() -> None:
    ours, other = tflow.tflow(resp=True), tflow.tflow(resp=True)
    made = passing(ours)
    for flow in (ours, other):
        made.responseheaders(flow)
    assert ours.response is not None
    assert other.response is not None
    assert (ours.response.stream, other.response.stream) == (True, False)


def test_failures() -> None:
    flow = tflow.tflow()
    made = passing(flow)
    refused = made.failure(flow, "Connection refused")
    late = made.failure(flow, "timed out after 10 s")
    assert refused is not None
    assert late is not None
    assert (refused.status, late.status) == (502, 504)
    assert refused.message == "Cannot reach address: Connection refused"
    made.discard(flow)
    assert flow not in made
    assert made.failure(flow, "x") is None


def given_up(flow: http.HTTPFlow, *, ours: bool = True, **server: Any) -> str | None:
    """Why the connection of `flow` is given up when the time is over, if it is."""

    async def main() -> str | None:
        data = ServerConnectionHookData(client=flow.client_conn, server=flow.server_conn)
        data.server.timestamp_tcp_setup = None
        for name, value in server.items():
            setattr(data.server, name, value)
        handler = Handler(data.server)
        made = passing(flow, 0.01, handler)
        if not ours:
            made.discard(flow)
        made.server_connect(data)
        await asyncio.wait([handler.handler], timeout=0.1)
        if not handler.handler.done():
            handler.handler.cancel()
            return None
        try:
            await handler.handler
        except asyncio.CancelledError as error:
            return str(error)
        return ""

    return asyncio.run(main())


def test_a_connection_that_takes_too_long() -> None:
    assert given_up(tflow.tflow()) == "timed out after 0.01 s"


def test_those_that_are_left_alone() -> None:
    assert given_up(tflow.tflow(), ours=False) is None
    assert given_up(tflow.tflow(), timestamp_tcp_setup=1.0) is None
    assert given_up(tflow.tflow(), error="refused already") is None


def test_a_client_that_is_gone() -> None:
    async def main() -> None:
        flow = tflow.tflow()
        made = passing(flow, 0)
        made.server_connect(ServerConnectionHookData(flow.server_conn, flow.client_conn))
        await asyncio.sleep(0.01)

    asyncio.run(main())
