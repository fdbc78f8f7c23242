"""What a request was like, without what it said: enough to tell later how two differ.

A keyed hash for each field and message, with a random key that dies with the process, and words that
may be shown. Held in memory, for requests that missed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple, cast

from . import key
from .replay.diff import Difference
from .types import Json

MAX_PARTS = 400
"""A request with more messages and tools is not kept."""

_SECRET = secrets.token_bytes(32)
_SHOWN = frozenset(
    ["model", "reasoning_effort", "service_tier", "tool_choice", "verbosity", "function_call"]
)
"""Fields whose text is one of a few words."""


class Part(NamedTuple):
    digest: bytes
    words: str


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Lists by their field's name: messages, tools."""

    fields: dict[str, Part]
    lists: dict[str, tuple[Part, ...]]


def fingerprint(body: Json) -> Fingerprint | None:
    """None for a request with too many parts. Never raises."""
    fields = key.meaningful(body)
    if "model" in body:
        fields["model"] = body["model"]
    lists: dict[str, tuple[Part, ...]] = {}
    for name in ("messages", "tools"):
        value = fields.get(name)
        if isinstance(value, list):
            items = cast(list[Any], fields.pop(name))
            if len(items) > MAX_PARTS:
                return None
            lists[name] = tuple(_part(name, item) for item in items)
    return Fingerprint({name: _part(name, value) for name, value in fields.items()}, lists)


def nearest[T](asked: Fingerprint, others: Iterable[tuple[T, Fingerprint]]) -> T | None:
    """The one that differs in the least: a message counts 2, a field or a tool 1. Ties: the first."""
    best: tuple[int, T] | None = None
    for item, other in others:
        distance = _distance(asked, other)
        if best is None or distance < best[0]:
            best = (distance, item)
    return best[1] if best else None


def differences(stored: Fingerprint, asked: Fingerprint) -> list[Difference]:
    """In the order of the fields; values are shown where they are numbers or one of a few words."""
    out: list[Difference] = []
    for name in ("messages", "tools"):
        _lists(name, stored.lists.get(name), asked.lists.get(name), out)
    for name in sorted({*stored.fields, *asked.fields}):
        _compare(name, stored.fields.get(name), asked.fields.get(name), out)
    return out


def _lists(
    name: str, a: tuple[Part, ...] | None, b: tuple[Part, ...] | None, out: list[Difference]
) -> None:
    if a is None or b is None:
        if b is not None:
            out.append(Difference(name, "added", asked=f"{len(b)} items"))
        if a is not None:
            out.append(Difference(name, "removed", stored=f"{len(a)} items"))
        return
    if a != b and name == "tools" and sorted(a) == sorted(b):
        out.append(Difference(name, "order"))
        return
    for at in range(max(len(a), len(b))):
        one = a[at] if at < len(a) else None
        two = b[at] if at < len(b) else None
        _compare(f"{name}[{at}]", one, two, out)


def _compare(path: str, one: Part | None, two: Part | None, out: list[Difference]) -> None:
    if one is None and two is not None:
        out.append(Difference(path, "added", asked=two.words))
    elif two is None and one is not None:
        out.append(Difference(path, "removed", stored=one.words))
    elif one is not None and two is not None and one.digest != two.digest:
        out.append(Difference(path, "changed", one.words, two.words))


def _distance(a: Fingerprint, b: Fingerprint) -> int:
    names = {*a.fields, *b.fields}
    fields = sum(a.fields.get(name) != b.fields.get(name) for name in names)
    return fields + 2 * _unlike(a, b, "messages") + _unlike(a, b, "tools")


def _unlike(a: Fingerprint, b: Fingerprint, name: str) -> int:
    one, two = a.lists.get(name, ()), b.lists.get(name, ())
    same = sum(x.digest == y.digest for x, y in zip(one, two, strict=False))
    return max(len(one), len(two)) - same


def _part(name: str, value: Any) -> Part:
    raw = key.canonical(value)
    digest = blake2b(raw, digest_size=8, key=_SECRET).digest()
    return Part(digest, _words(name, value, len(raw)))


def _words(name: str, value: Any, size: int) -> str:
    if value is None or isinstance(value, bool | int | float):
        return str(key.canonical(value), "utf-8", "replace")[:40]
    if isinstance(value, str):
        return repr(value[:40]) if name in _SHOWN else f"{len(value)} characters"
    if isinstance(value, dict):
        fields = cast(Json, value)
        label = fields.get("role") if name == "messages" else fields.get("type")
        if isinstance(label, str) and label.isalpha():
            return f"{label[:20]}, {size} bytes"
    return f"{size} bytes"
