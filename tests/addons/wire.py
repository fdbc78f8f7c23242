"""mitmproxy's HTTP layer for one client, without sockets: events go in, bytes and hooks come out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from mitmproxy import connection, http
from mitmproxy.options import Options
from mitmproxy.proxy import commands, context, events
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.mode_specs import ProxyMode


class Wire:
    """In reverse mode. It also stands for the connection handler that live answers look for."""

    def __init__(self, options: Options) -> None:
        self.client = connection.Client(
            peername=("127.0.0.1", 1),
            sockname=("127.0.0.1", 2),
            state=connection.ConnectionState.OPEN,
            proxy_mode=ProxyMode.parse("reverse:http://api.openai.com"),
        )
        self.context = context.Context(self.client, options)
        self.context.server.address = ("api.openai.com", 80)
        self.layer = http_layers.HttpLayer(self.context, http_layers.HTTPMode.transparent)
        self.sent = b""
        """To the client."""
        self.closed = False
        self.hooks: list[str] = []
        self.flow: http.HTTPFlow | None = None
        self.on: dict[str, Callable[[http.HTTPFlow], Any]] = {}
        """What an addon does in a hook."""
        self.connect_error: str | None = "refused"
        self.opened = 0
        self.feed(events.Start())

    def feed(self, event: events.Event) -> None:
        waiting = deque([event])
        while waiting:
            for command in self.layer.handle_event(waiting.popleft()):
                if (reply := self._do(command)) is not None:
                    waiting.append(reply)

    def _do(self, command: commands.Command) -> events.Event | None:
        match command:
            case commands.StartHook():
                self.hooks.append(command.name)
                (data,) = command.args()
                if isinstance(data, http.HTTPFlow):
                    self.flow = data
                    self.on.get(command.name, lambda flow: None)(data)
                return events.HookCompleted(command) if command.blocking else None
            case commands.SendData(connection=to) if to is self.client:
                self.sent += command.data
            case commands.CloseConnection(connection=to) if to is self.client:
                self.closed = True
            case commands.OpenConnection():
                self.opened += 1
                return events.OpenConnectionCompleted(command, self.connect_error)
            case _:
                pass
        return None

    def receive(self, data: bytes) -> None:
        """From the client."""
        self.feed(events.DataReceived(self.client, data))

    def leave(self) -> None:
        """The client closes its connection."""
        self.client.state = connection.ConnectionState.CLOSED
        self.feed(events.ConnectionClosed(self.client))

    async def server_event(self, event: events.Event) -> None:
        self.feed(event)

    async def drain_writers(self) -> None:
        pass
