"""mitmweb's own interface, as its page uses it."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

PASSWORD = "for-the-test"
_XSRF = "0" * 32
"""mitmweb only wants the cookie and the header to be equal."""


class MitmWeb:
    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        self._headers = {
            "authorization": f"Bearer {PASSWORD}",
            "cookie": f"_mitmproxy_xsrf={_XSRF}",
            "x-xsrftoken": _XSRF,
            "content-type": "application/json",
        }

    def get(self, path: str) -> Any:
        return self._ask(path, None)

    def command(self, name: str, *arguments: str) -> Any:
        """What a command gives back, or its error."""
        told = self._ask(f"/commands/{name}", json.dumps({"arguments": arguments}).encode())
        return told.get("value", told.get("error"))

    def _ask(self, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(self._base + path, body, self._headers)
        with self._open(request, timeout=20) as response:
            return json.load(response)

    def flows(self, count: int) -> list[dict[str, Any]]:
        """Chat flows, oldest first, once there are so many and they are through."""
        deadline = time.monotonic() + 20
        while True:
            found = [f for f in self.get("/flows") if f["request"]["path"].startswith("/v1/chat")]
            if len(found) >= count and all(f.get("comment") for f in found):
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def view(self, flow: dict[str, Any], message: str, name: str = "auto") -> dict[str, Any]:
        return self.get(f"/flows/{flow['id']}/{message}/content/{name}.json")
