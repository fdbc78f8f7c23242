"""Who may use the admin surface.

Without a token: clients on this machine only. With one: whoever has it, as a Bearer token or as the
cookie that the login gives. In both cases the Host must be a known name, or a page of another site
could reach us by DNS rebinding, and a request that another site's page caused is refused: by Origin and
Sec-Fetch-Site where the browser sends them, and for changes by a header that no foreign page can send
without asking first (Fetch standard, CORS-preflight).
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from .errors import ApiError

LOCAL_NAME = "reflex.local"
"""Answered by the forward proxy itself."""
HOSTS = frozenset(["localhost", "127.0.0.1", "[::1]", LOCAL_NAME])
CUSTOM_HEADER = "x-reflex-admin"
"""Must be sent, with any value, with each request that changes something."""
COOKIE = "reflex_admin"

_FORWARDING = ("forwarded", "x-forwarded-for", "x-real-ip")
"""Another proxy speaks for somebody else, who may be anywhere."""


@dataclass(frozen=True, slots=True)
class AdminRequest:
    """`path` comes with its query, `headers` with lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    peer: str
    """The client's IP address; empty when it is not known."""
    scheme: str = "http"
    through_us: bool = False
    """The connection was made by this proxy itself, for one of its clients."""


def check(
    request: AdminRequest, token: str, hosts: frozenset[str] = frozenset(), *, page: bool = False
) -> ApiError | None:
    """Why the request is refused; None lets it in. `page`: the dashboard, which links may open."""
    host = request.headers.get("host", "").lower()
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name not in HOSTS and name not in hosts:
        return _refused(
            "This host name is not known; reflex_admin_hosts takes more.", "unknown_host"
        )
    if _cross_site(request, host, page):
        return _refused("Requests from pages of other sites are refused.", "cross_site")
    if request.method != "GET" and CUSTOM_HEADER not in request.headers:
        return _refused("Send the header X-Reflex-Admin: 1.", "missing_header")
    if not token and not is_local(request):
        return _refused(
            "Only clients on the proxy's own machine may do this, unless reflex_admin_token is set.",
            "not_local",
        )
    return None


def is_local(request: AdminRequest) -> bool:
    """True for a client on this machine that nobody else speaks through."""
    if request.through_us or any(name in request.headers for name in _FORWARDING):
        return False
    try:
        address = ipaddress.ip_address(request.peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def authenticated(request: AdminRequest, token: str) -> bool:
    """True when no token is needed, or the right one came along."""
    if not token:
        return True
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and same(given.strip(), token):
        return True
    try:
        cookie = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return False
    return cookie is not None and same(cookie.value, cookie_value(token))


def cookie_value(token: str) -> str:
    """What the cookie holds instead of the token itself."""
    return blake2b(token.encode(), digest_size=24, person=b"reflex.admin.1").hexdigest()


def same(given: str, wanted: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def _cross_site(request: AdminRequest, host: str, page: bool) -> bool:
    headers = request.headers
    navigation = page and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not navigation:
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    parts = urlsplit(origin)
    return (parts.scheme, parts.netloc.lower()) != (request.scheme, host)


def _refused(message: str, code: str) -> ApiError:
    return ApiError(403, message, code=code)
