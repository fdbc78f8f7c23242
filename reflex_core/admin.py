"""The admin surface: numbers, why, purge, mark-wrong, search, metrics and the dashboard, sans-io.

    GET  /reflex/            the dashboard, or the page that asks for the token
    GET  /reflex/events      its numbers as server-sent events
    GET  /reflex/stats       the numbers once
    GET  /reflex/why?id=     one request explained: X-Reflex-Id, flow id, or digits of its key
    GET  /reflex/search?q=   stored answers
    GET  /metrics            for Prometheus
    POST /reflex/purge       {"what": "all" | "key" | "model" | "tenant" | "namespace", "value": …}
                             -> {"deleted": n}
    POST /reflex/wrong       {"id": …, "asked": the question's text, if known}
    POST /reflex/login       {"token": …} -> the cookie;  POST /reflex/logout

At these paths on the reverse listener, and at http://reflex.local through the forward one. Who may
come in is decided in admin_guard; a POST needs the header X-Reflex-Admin. Errors have OpenAI's shape.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs

import orjson

from . import admin_guard, dashboard
from .admin_guard import AdminRequest
from .errors import ApiError, BackendError
from .events import EventStream
from .metrics import Metrics
from .reply import Headers, Reply
from .sight import NotFound, Sight
from .types import Json

if TYPE_CHECKING:
    from .app import App

logger = logging.getLogger("reflex")

_SECURITY: Headers = (
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
)
_MAX_STREAMS = 32
"""Open dashboards."""
_MAX_BODY = 256 * 1024
_LISTED = 50
"""Entries a search gives at most."""


def is_admin_path(path: str) -> bool:
    """On the reverse listener; everything else there is the OpenAI API."""
    bare = path.partition("?")[0]
    return bare in ("/metrics", "/reflex") or bare.startswith("/reflex/")


class Admin:
    """Answers admin requests. Lives on the App's event loop."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._metrics = Metrics(app)
        self._sight = Sight(app)
        self._streams = 0
        self._routes: dict[tuple[str, str], _Handler] = {
            ("GET", "/reflex"): self._page,
            ("GET", "/reflex/"): self._page,
            ("GET", "/reflex/events"): self._events,
            ("GET", "/metrics"): self._prometheus,
            ("GET", "/reflex/stats"): self._stats,
            ("GET", "/reflex/why"): self._why,
            ("GET", "/reflex/search"): self._search,
            ("POST", "/reflex/purge"): self._purge,
            ("POST", "/reflex/wrong"): self._wrong,
            ("POST", "/reflex/login"): self._login,
            ("POST", "/reflex/logout"): self._logout,
        }

    async def answer(self, request: AdminRequest) -> Reply | EventStream:
        """Never raises. An EventStream must be closed."""
        try:
            reply = await self._route(request)
        except _Refused as refusal:
            reply = Reply.of_error(refusal.error)
        except Exception:
            logger.exception("reflex: an admin request failed")
            reply = Reply.of_error(ApiError(500, "Reflex failed on this request."))
        if isinstance(reply, EventStream):
            return reply
        have = {name for name, _ in reply.headers}
        return replace(
            reply, headers=reply.headers + tuple(h for h in _SECURITY if h[0] not in have)
        )

    async def _route(self, request: AdminRequest) -> Reply | EventStream:
        config = self._app.config
        bare = request.path.partition("?")[0]
        is_page = bare in ("/reflex", "/reflex/")
        error = admin_guard.check(request, config.admin_token, config.admin_hosts, page=is_page)
        if error is not None:
            raise _Refused(error)
        if not admin_guard.authenticated(request, config.admin_token):
            if is_page and request.method == "GET":
                return _html("login", 401)
            if (request.method, bare) != ("POST", "/reflex/login"):
                raise _Refused(_token_needed())
        handler = self._routes.get((request.method, bare))
        if handler is None:
            raise _Refused(_no_route(self._routes, request.method, bare))
        return await handler(request)

    # ------------------------------------------------------------------ routes

    async def _page(self, request: AdminRequest) -> Reply:
        return _html("index", 200)

    async def _events(self, request: AdminRequest) -> EventStream:
        if self._streams >= _MAX_STREAMS:
            raise _Refused(ApiError(503, "Too many dashboards are open."))
        self._streams += 1
        return EventStream(self._sight.snapshot, _SECURITY[1:], self._stream_closed)

    def _stream_closed(self) -> None:
        self._streams -= 1

    async def _login(self, request: AdminRequest) -> Reply:
        token = self._app.config.admin_token
        if not token or not admin_guard.same(str(_json(request).get("token", "")), token):
            raise _Refused(_token_needed())
        return _cookie(request, admin_guard.cookie_value(token), "")

    async def _logout(self, request: AdminRequest) -> Reply:
        return _cookie(request, "", "; Max-Age=0")

    async def _prometheus(self, request: AdminRequest) -> Reply:
        accept = request.headers.get("accept", "")
        body, kind = await asyncio.to_thread(self._metrics.expose, accept)
        return Reply(200, (("content-type", kind),), body)

    async def _stats(self, request: AdminRequest) -> Reply:
        return Reply.of_json(await asyncio.to_thread(self._app.stats_json))

    async def _purge(self, request: AdminRequest) -> Reply:
        body = _json(request)
        what, value = str(body.get("what", "")), str(body.get("value") or "")
        try:
            count = await asyncio.to_thread(self._app.purge, what, value)
        except ValueError as error:
            raise _Refused(ApiError(400, str(error), param="what")) from None
        logger.info("reflex: %d stored answers deleted", count)
        return Reply.of_json({"deleted": count})

    async def _why(self, request: AdminRequest) -> Reply:
        told = await _sighted(self._sight.why, _query(request, "id"))
        return Reply.of_json(told)

    async def _search(self, request: AdminRequest) -> Reply:
        found = await _sighted(self._sight.search, _query(request, "q"), _LISTED)
        return Reply.of_json({"entries": found})

    async def _wrong(self, request: AdminRequest) -> Reply:
        body = _json(request)
        asked = body.get("asked")
        text = asked if isinstance(asked, str) else None
        loop = asyncio.get_running_loop()
        done = await _sighted(self._sight.wrong, str(body.get("id", "")), text, loop)
        return Reply.of_json(done)


_Handler = Callable[[AdminRequest], Awaitable[Reply | EventStream]]


class _Refused(Exception):
    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


async def _sighted[**P, T](look: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """In a thread. What it finds wrong with the request goes to the client."""
    try:
        return await asyncio.to_thread(look, *args, **kwargs)
    except NotFound as error:
        raise _Refused(ApiError(404, str(error), code="not_found")) from None
    except ValueError as error:
        raise _Refused(ApiError(400, str(error))) from None
    except BackendError as error:
        raise _Refused(ApiError(503, str(error))) from None


def _query(request: AdminRequest, name: str) -> str:
    try:
        fields = parse_qs(request.path.partition("?")[2], max_num_fields=20)
    except ValueError:
        raise _Refused(ApiError(400, "The query has too many fields.")) from None
    return fields.get(name, [""])[0]


def _html(name: str, status: int) -> Reply:
    made = dashboard.page(name)
    kind = ("content-type", "text/html; charset=utf-8")
    return Reply(status, (kind, ("content-security-policy", made.policy)), made.body)


def _cookie(request: AdminRequest, value: str, more: str) -> Reply:
    """Of this host only, out of scripts' reach, and never sent along from another site."""
    secure = "; Secure" if request.scheme == "https" else ""
    cookie = f"{admin_guard.COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}"
    return Reply.of_json({"ok": True}, headers=(("set-cookie", cookie),))


def _token_needed() -> ApiError:
    message = "Send the token of reflex_admin_token as a Bearer token."
    return ApiError(401, message, code="token_needed")


def _no_route(routes: dict[tuple[str, str], Any], method: str, path: str) -> ApiError:
    methods = sorted(m for m, p in routes if p == path)
    if methods:
        return ApiError(405, f"Use {' or '.join(methods)} here, not {method[:20]}.")
    return ApiError(404, f"No such path: {path[:200]}.", code="unknown_url")


def _json(request: AdminRequest) -> Json:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise _Refused(ApiError(415, "Send JSON, with content-type: application/json."))
    if len(request.body) > _MAX_BODY:
        raise _Refused(ApiError(413, "The body is too large."))
    try:
        value = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        raise _Refused(ApiError(400, "The body is not valid JSON.")) from None
    if not isinstance(value, dict):
        raise _Refused(ApiError(400, "The body must be a JSON object."))
    return cast(Json, value)
