"""JSON schemas as clients send them: references replaced, and an object where one is demanded.

Nothing here raises, whatever the client calls a schema; the input is not changed.
"""

from __future__ import annotations

from typing import Any, cast

from ..types import Json
from .loose import obj

MAX_UNROLL = 2
"""How often a schema may contain itself before the reference is cut to its bare type."""
MAX_NODES = 4000
"""Subschemas that references may add to one schema; the rest are cut to their bare type."""
MAX_DEPTH = 100
"""Nested values of a schema; what is deeper accepts anything."""

_DATA = frozenset(["enum", "const", "default", "examples", "example", "required"])
_MAPS = frozenset(["properties", "patternProperties", "dependentSchemas"])
_DEFINITIONS = frozenset(["$defs", "definitions"])


def parameters(schema: Json | None) -> Json:
    """A tool's parameters, where the provider insists on an object schema."""
    schema = schema or {}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        return schema
    return {**schema, "type": "object", "properties": obj(schema.get("properties"))}


def inlined(schema: Json) -> Json:
    """`schema` with every `$ref` into itself replaced by what it names, recursion cut."""
    return _Inliner(schema).node(schema, (), 0)


class _Inliner:
    def __init__(self, root: Json) -> None:
        self._root = root
        self._left = MAX_NODES

    def node(self, node: Json, path: tuple[str, ...], depth: int) -> Json:
        """`path` holds the references that lead here."""
        if path:
            self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            return _bare(node)
        out: Json = {}
        ref = node.get("$ref")
        if isinstance(ref, str):
            out = self._target(ref, path, depth)
        for name, value in node.items():
            if name in _MAPS and isinstance(value, dict):
                members = cast(Json, value).items()
                out[name] = {k: self._value(v, path, depth + 1) for k, v in members}
            elif name in _DATA:
                out[name] = value
            elif name != "$ref" and name not in _DEFINITIONS:
                out[name] = self._value(value, path, depth + 1)
        return out

    def _value(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        if isinstance(value, dict):
            return self.node(cast(Json, value), path, depth)
        if isinstance(value, list):
            if depth > MAX_DEPTH:
                return []
            return [self._value(item, path, depth + 1) for item in cast(list[Any], value)]
        return value

    def _target(self, ref: str, path: tuple[str, ...], depth: int) -> Json:
        target = _pointer(self._root, ref)
        if path.count(ref) >= MAX_UNROLL:
            return _bare(target)
        return self.node(target, (*path, ref), depth + 1)


def _bare(node: Json) -> Json:
    kind = node.get("type")
    return {"type": kind} if isinstance(kind, str) else {}


def _pointer(root: Json, ref: str) -> Json:
    """The object that a local JSON pointer (RFC 6901) names; an empty one where there is none."""
    if not ref.startswith("#"):
        return {}
    value: Any = root
    for step in ref[1:].split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            items = cast(list[Any], value)
            at = int(step) if step.isascii() and step.isdecimal() and len(step) < 6 else len(items)
            value = items[at] if at < len(items) else None
        else:
            value = obj(value).get(step)
    return obj(value)
