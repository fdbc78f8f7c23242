"""Which flows are ours, and what they ask for."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from mitmproxy import http
from mitmproxy.proxy.mode_specs import ReverseMode

from reflex_core.admin import is_admin_path
from reflex_core.admin_guard import LOCAL_NAME

Kind = Literal["chat", "models", "websocket", "health", "ready", "admin", "other", "unknown"]

_AZURE = re.compile(r"/openai/deployments/([^/]+)(/.*)")


@dataclass(frozen=True, slots=True)
class Intake:
    """One of our requests. `path` is what comes after the version, with the query."""

    kind: Kind
    path: str
    deployment: str | None = None
    """Azure's deployment, which stands in the path and not in the body."""


def host_matches(host: str | None, hosts: tuple[str, ...]) -> bool:
    """`hosts` may hold shell patterns such as `*.openai.azure.com`."""
    name = (host or "").lower().rstrip(".")
    return any(name == h or ("*" in h and fnmatch.fnmatchcase(name, h)) for h in hosts)


def is_reverse(flow: http.HTTPFlow) -> bool:
    return isinstance(flow.client_conn.proxy_mode, ReverseMode)


def classify(flow: http.HTTPFlow, hosts: tuple[str, ...]) -> Intake | None:
    """None for a flow that is none of ours."""
    request = flow.request
    reverse = is_reverse(flow)
    if not reverse and request.host == LOCAL_NAME:
        return Intake("admin", request.path)
    if not reverse and not (
        host_matches(request.host, hosts) or host_matches(flow.client_conn.sni, hosts)
    ):
        return None
    path = request.path
    bare = path.partition("?")[0]
    if request.headers.get("upgrade", "").lower() == "websocket":
        return Intake("websocket", path)
    if reverse and bare in ("/healthz", "/ready"):
        return Intake("health" if bare == "/healthz" else "ready", path)
    if match := _AZURE.fullmatch(path):
        return _by_path(request.method, match[2], unquote(match[1]))
    for prefix in ("/v1", "/openai/v1"):
        if path.startswith((prefix + "/", prefix + "?")) or path == prefix:
            return _by_path(request.method, path[len(prefix) :] or "/", None)
    if reverse:
        return Intake("admin" if is_admin_path(path) else "unknown", path)
    return Intake("other", path)


def _by_path(method: str, path: str, deployment: str | None) -> Intake:
    bare = path.partition("?")[0].rstrip("/")
    if method == "POST" and bare == "/chat/completions":
        return Intake("chat", path, deployment)
    if method == "GET" and bare == "/models":
        return Intake("models", path)
    return Intake("other", path, deployment)
