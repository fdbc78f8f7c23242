"""Asking the admin surface over a plain socket client, with any headers and any Host."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from .proxy import Proxy


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        return self.json["error"]["code"]


def admin(
    proxy: Proxy,
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: dict[str, str] | None = None,
    forward: bool = False,
) -> Answer:
    """On the reverse listener, or at reflex.local through the forward one. Sends no header of its own
    but those of a JSON body."""
    address = urlsplit(proxy.url if forward else proxy.root)
    target = f"http://reflex.local{path}" if forward else path
    given = {name.lower(): value for name, value in (headers or {}).items()}
    if isinstance(body, dict):
        body = json.dumps(body).encode()
        given = {"content-type": "application/json", "x-reflex-admin": "1", **given}
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        host = "reflex.local" if forward else address.netloc
        for name, value in {"host": host, **given}.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        return Answer(connection.getresponse())
    finally:
        connection.close()
