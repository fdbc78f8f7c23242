"""The stored request that comes nearest to one that missed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import orjson

from .. import key
from ..ports import StoredRequest
from ..types import Json
from .diff import Difference, comparable, differences

MAX_SHOWN = 5
"""Differences that are named."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Nearest:
    request: StoredRequest
    differences: tuple[Difference, ...]
    """Empty when the bodies are equal for the key."""


def nearest(asked: Json, stored: Iterable[StoredRequest]) -> Nearest | None:
    """The one that differs in the least; None when there is none. Stored bodies may be damaged."""
    best: tuple[float, StoredRequest, Json] | None = None
    mine = _outline(asked)
    for request in stored:
        body = _parse(request.body)
        if body is None:
            continue
        distance = _distance(mine, _outline(body))
        if best is None or distance < best[0]:
            best = (distance, request, body)
    if best is None:
        return None
    _, request, body = best
    return Nearest(request, tuple(differences(body, asked)))


def explain(found: Nearest | None) -> str:
    """One paragraph for an error message."""
    if found is None:
        return "No request of this client is stored: another key or namespace, or an empty store."
    name = f"The nearest stored request (key {found.request.key[:8].hex()})"
    if not found.differences:
        return (
            f"{name} is the same, but its answer came from another provider, model or base URL than"
            " this configuration asks."
        )
    shown = "; ".join(str(difference) for difference in found.differences[:MAX_SHOWN])
    more = len(found.differences) - MAX_SHOWN
    return f"{name} differs in {shown}" + (f"; and {more} more." if more > 0 else ".")


def as_json(found: Nearest) -> Json:
    """For programs."""
    request = found.request
    rows = [
        {"path": d.path, "change": d.change, "stored": d.stored, "asked": d.asked}
        for d in found.differences
    ]
    return {"key": request.key.hex(), "created": request.created, "differences": rows}


@dataclass(frozen=True, slots=True)
class _Outline:
    """Enough of a request to compare it with many."""

    fields: dict[str, bytes]
    turns: list[bytes]
    words: frozenset[str]
    """Of the last message."""


def _outline(body: Json) -> _Outline:
    fields = comparable(body)
    messages = fields.pop("messages", None)
    turns = cast(list[Any], messages) if isinstance(messages, list) else []
    last = key.canonical(turns[-1]).decode("utf-8", "replace") if turns else ""
    return _Outline(
        {name: key.canonical(value) for name, value in fields.items()},
        [key.canonical(turn) for turn in turns],
        frozenset(_WORD.findall(last.lower())),
    )


def _distance(a: _Outline, b: _Outline) -> float:
    """Each turn that differs counts 2, each field 1; the words of the last message break ties."""
    fields = sum(a.fields.get(name) != b.fields.get(name) for name in {*a.fields, *b.fields})
    same = sum(x == y for x, y in zip(a.turns, b.turns, strict=False))
    turns = max(len(a.turns), len(b.turns)) - same
    union = len(a.words | b.words)
    words = 1 - len(a.words & b.words) / union if union else 0.0
    return fields + 2 * turns + words


def _parse(body: bytes) -> Json | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return cast(Json, value) if isinstance(value, dict) else None
