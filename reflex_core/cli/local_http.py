"""Talking to a proxy on this machine: its health, its counters, its admin endpoints."""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import orjson

from ..admin_guard import CUSTOM_HEADER, LOCAL_NAME
from ..types import Json

_LARGEST = 16 * 2**20
"""Bytes."""


class Refused(Exception):
    """Not what was asked for. `status` 0: no answer at all."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A proxy's reverse listener, or its forward one, which answers for reflex.local."""

    url: str
    forward: bool = False
    token: str = field(default="", repr=False)
    """`reflex_admin_token`."""

    def is_healthy(self, timeout: float = 2.0) -> bool:
        """Whether a Reflex answers at its reverse listener."""
        try:
            status, headers, _ = self._exchange("GET", "/healthz", timeout)
        except Refused:
            return False
        return status == 200 and headers.get("x-reflex-status") == "healthy"

    def get(self, path: str, timeout: float = 10.0) -> Json:
        """Raises Refused."""
        return self._json("GET", path, timeout)

    def post(self, path: str, body: Json, timeout: float = 60.0) -> Json:
        """Raises Refused."""
        return self._json("POST", path, timeout, body)

    def text(self, path: str, host: str, timeout: float = 10.0) -> str:
        """A page of another host that a forward listener answers for. Raises Refused."""
        status, _, raw = self._exchange("GET", path, timeout, host=host)
        if status != 200:
            raise Refused(status, f"{host}{path} through {self.url} answered {status}")
        return raw.decode("utf-8", "replace")

    def _json(self, method: str, path: str, timeout: float, body: Json | None = None) -> Json:
        status, _, raw = self._exchange(method, path, timeout, body)
        try:
            value: Any = orjson.loads(raw)
        except orjson.JSONDecodeError:
            value = None
        fields = cast(Json, value) if isinstance(value, dict) else {}
        if status != 200 or not isinstance(value, dict):
            error = fields.get("error")
            said = cast(Json, error).get("message") if isinstance(error, dict) else None
            raise Refused(status, str(said or f"{self.url}{path} answered {status}"))
        return fields

    def _exchange(
        self,
        method: str,
        path: str,
        timeout: float,
        body: Json | None = None,
        host: str = LOCAL_NAME,
    ) -> tuple[int, dict[str, str], bytes]:
        """Never through another proxy. Header names are lower case."""
        headers = {CUSTOM_HEADER: "1"}
        if self.token and host == LOCAL_NAME:
            headers["authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["content-type"] = "application/json"
        if self.forward:
            headers["host"], path = host, f"http://{host}{path}"
        parts = urlsplit(self.url)
        place = (parts.hostname or "", parts.port or 80)
        connection = http.client.HTTPConnection(*place, timeout=timeout)
        try:
            raw = None if body is None else orjson.dumps(body)
            connection.request(method, path, raw, headers)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read(_LARGEST)
        except (OSError, ValueError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
            raise Refused(0, f"{self.url} does not answer ({why})") from None
        finally:
            connection.close()
