"""Arguments of a function call that Vertex AI streams in pieces.

Source: `FunctionCall.partialArgs` of Vertex AI. Each piece has a JSON path (RFC 9535), as
`$.foo.bar[0].data`, and a value; the pieces of a string come one after the other.
"""

from __future__ import annotations

import re
from typing import Any, cast

import orjson

from ..types import Json
from .loose import items, obj

_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,6})\]|\[(["'])((?:\\.|(?!\3).)*)\3\]""")
_MAX_STEPS = 100
_MAX_GAP = 16
"""Elements a list may miss before one that is named."""
_ABSENT = object()


class Arguments:
    """The arguments so far."""

    def __init__(self) -> None:
        self._value: Json = {}
        self._open: Any = None

    def add(self, call: Json) -> None:
        """What one `functionCall` brings, whole (`args`) or in pieces."""
        self._value |= obj(call.get("args"))
        for piece in map(obj, items(call.get("partialArgs"))):
            path = _steps(piece.get("jsonPath"))
            value = _value(piece)
            if path and value is not _ABSENT:
                before = _get(self._value, path) if path == self._open else None
                if isinstance(before, str) and isinstance(value, str):
                    value = before + value
                _put(self._value, path, value)
            self._open = path if piece.get("willContinue") is True else None

    def json(self) -> str:
        return orjson.dumps(self._value).decode()


def _steps(path: Any) -> list[str | int]:
    """`$.a[0]['b']` -> ["a", 0, "b"]; nothing where it is no such path."""
    if not isinstance(path, str) or not path.startswith("$"):
        return []
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None or len(steps) == _MAX_STEPS:
            return []
        name, index, _, quoted = found.groups()
        if index is not None:
            steps.append(int(index))
        else:
            steps.append(name if name is not None else re.sub(r"\\(.)", r"\1", quoted))
        at = found.end()
    return steps


def _value(piece: Json) -> Any:
    for name in ("stringValue", "numberValue", "boolValue"):
        if name in piece:
            return piece[name]
    return None if "nullValue" in piece else _ABSENT


def _get(value: Any, path: list[str | int]) -> Any:
    for step in path:
        if isinstance(step, int):
            held = items(value)
            value = held[step] if step < len(held) else None
        else:
            value = obj(value).get(step)
    return value


def _put(root: Json, path: list[str | int], value: Any) -> None:
    """Makes what is missing on the way; a value of another kind on the way is left alone."""
    at: Any = root
    for step, then in zip(path, [*path[1:], None], strict=True):
        new: Any = value if then is None else [] if isinstance(then, int) else {}
        if isinstance(step, int):
            if not isinstance(at, list):
                return
            held = cast(list[Any], at)
            if step - len(held) > _MAX_GAP:
                return
            held += [None] * (step + 1 - len(held))
            if then is None or held[step] is None:
                held[step] = new
            at = held[step]
        else:
            if not isinstance(at, dict):
                return
            named = cast(Json, at)
            if then is None or named.get(step) is None:
                named[step] = new
            at = named[step]
