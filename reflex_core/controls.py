"""What a client may ask of the cache, and what the answer's headers say about it.

Sources: RFC 9111 section 5.2 (Cache-Control), RFC 9211 (Cache-Status), RFC 9651 (structured fields).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from .errors import ApiError

CACHE_CONTROL = "cache-control"
NAMESPACE = "x-reflex-namespace"
REQUEST_HEADERS = (CACHE_CONTROL, NAMESPACE)
"""Read here, and not sent upstream."""

Status = Literal[
    "hit-l1-exact",
    "hit-l2-semantic",
    "hit-l3-verified",
    "coalesced",
    "continued",
    "stale",
    "miss",
    "bypass",
]
"""`X-Reflex-Status`."""

_MAX_SECONDS = 2**31
"""RFC 9111, 1.2.2: a larger delta-seconds counts as this."""
_MAX_INTEGER = 999_999_999_999_999
"""RFC 9651, 3.3.1."""
_MAX_DETAIL = 256


@dataclass(frozen=True, slots=True)
class Controls:
    """One request's wishes. `max_age` is in seconds."""

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    namespace: str | None = None

    @property
    def may_read(self) -> bool:
        """A stored answer may be served. `no-store` alone forbids keeping, not reading."""
        return not self.no_cache

    @property
    def may_store(self) -> bool:
        return not self.no_store

    @property
    def may_join(self) -> bool:
        """The answer may be shared with another request in flight."""
        return not (self.no_cache or self.no_store)

    def accepts(self, age: float) -> bool:
        """True when an answer stored `age` seconds ago is young enough."""
        return self.max_age is None or age <= self.max_age


NONE = Controls()


def parse(cache_control: str | None, namespace: str | None = None) -> Controls:
    """The two request headers; several Cache-Control lines come joined with commas.

    Unknown directives are ignored. Of repeated ones the strictest counts, and a `max-age` that is no
    number counts as 0: when in doubt the provider is asked.
    """
    namespace = namespace.strip() or None if namespace else None
    if not cache_control:
        return Controls(namespace=namespace) if namespace else NONE
    found: set[str] = set()
    max_age: int | None = None
    for item in _split(cache_control):
        name, _, value = item.partition("=")
        name = name.strip().lower()
        found.add(name)
        if name == "max-age":
            seconds = _seconds(value.strip())
            max_age = seconds if max_age is None else min(max_age, seconds)
    return Controls(
        no_cache="no-cache" in found,
        no_store="no-store" in found,
        only_if_cached="only-if-cached" in found,
        max_age=max_age,
        namespace=namespace,
    )


def _split(header: str) -> list[str]:
    """At commas outside of quotes; a quote that is never closed is no quote."""
    items: list[str] = []
    start = 0
    quoted = escaped = False
    for at, char in enumerate(header):
        if escaped:
            escaped = False
        elif quoted:
            escaped = char == "\\"
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char == ",":
            items.append(header[start:at])
            start = at + 1
    return items + (header[start:].split(",") if quoted else [header[start:]])


def _seconds(value: str) -> int:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if not (value.isascii() and value.isdigit()):
        return 0
    return _MAX_SECONDS if len(value) > 10 else min(int(value), _MAX_SECONDS)


def not_cached() -> ApiError:
    """The answer to `only-if-cached` when nothing is stored (504, as RFC 9111, 5.2.1.7 asks).

    Send it with `x-should-retry: false`, or the OpenAI SDKs try again.
    """
    message = "No stored answer, and the request said only-if-cached."
    return ApiError(504, message, type="not_cached", code="not_cached")


# --------------------------------------------------------------------------- answer headers

_FORWARDED: dict[Status, str] = {
    "coalesced": "; fwd=miss; collapsed",
    "continued": "; fwd=partial",
    "miss": "; fwd=miss",
    "bypass": "; fwd=bypass",
}
"""What the others did with the request; a status that is not here is a hit."""

_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*")
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")


def answer_headers(
    status: Status,
    *,
    key: bytes | None = None,
    ttl: float | None = None,
    age: float | None = None,
    detail: str | None = None,
    stored: bool = False,
    id: str | None = None,
) -> list[tuple[str, str]]:
    """X-Reflex-Status, Cache-Status and, where they are given, Age and X-Reflex-Id.

    `key` is the exact key, of which the first 8 bytes are shown in hex. `ttl` (seconds left, below
    zero for a stale answer) and `age` are rounded down to whole seconds. `stored`: this answer will be kept.
    """
    parts = ["reflex", _FORWARDED.get(status, "; hit")]
    if ttl is not None:
        parts.append(f"; ttl={_integer(ttl)}")
    if stored:
        parts.append("; stored")
    if key is not None:
        parts.append(f'; key="{key[:8].hex()}"')
    if detail:
        parts.append(f"; detail={_token_or_string(detail[:_MAX_DETAIL])}")
    headers = [("X-Reflex-Status", status), ("Cache-Status", "".join(parts))]
    if age is not None:
        headers.append(("Age", str(max(0, _integer(age)))))
    if id is not None:
        headers.append(("X-Reflex-Id", id))
    return headers


def _integer(value: float) -> int:
    return math.floor(max(-_MAX_INTEGER, min(_MAX_INTEGER, value)))


def _token_or_string(text: str) -> str:
    if _TOKEN.fullmatch(text):
        return text
    text = _NOT_PRINTABLE.sub("?", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
