"""JSON schemas as the grammars of Claude's structured outputs take them.

Source: platform.claude.com/docs/en/build-with-claude/structured-outputs ("JSON Schema limitations").
Objects must be closed; recursion and open values can't be expressed; constraints that the grammar
does not know (minimum, maxLength, ...) move into the description, as Anthropic's own SDKs do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from ..types import Json

MAX_OPTIONAL = 24
"""Optional properties over all strict schemas of a request."""
MAX_UNIONS = 8
"""Properties with several types. The document says 16, but 16 in one schema were seen refused."""
MAX_STRICT_TOOLS = 20
MAX_REFS = 100
"""Longest chain of references that is followed."""

_FORMATS = (
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "uri",
    "ipv4",
    "ipv6",
    "uuid",
)
_SILENT = frozenset(["$schema", "$id", "$comment"])
_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")


@dataclass(slots=True)
class Closed:
    """A reshaped schema, and what counts against the limits."""

    schema: Json
    moved: set[str] = field(default_factory=set[str])
    """Keywords that are now only text in a description."""
    optional: int = 0
    unions: int = 0


def fits(schemas: Iterable[Closed]) -> bool:
    """Whether the schemas of one request stay under the API's limits together."""
    found = list(schemas)
    optional, unions = sum(c.optional for c in found), sum(c.unions for c in found)
    return optional <= MAX_OPTIONAL and unions <= MAX_UNIONS


class _Open(Exception):
    """The schema allows what a closed grammar can't express."""


def close(schema: Json) -> Closed | None:
    """The schema for a grammar, None when none can express it."""
    walker = _Walker(schema)
    try:
        walker.check_refs()
        closed = Closed(walker.walk(schema), walker.moved, walker.optional, walker.unions)
    except _Open:
        return None
    return closed if closed.schema.get("type") == "object" or "$ref" in closed.schema else None


class _Walker:
    def __init__(self, root: Json) -> None:
        self.root = root
        self.moved: set[str] = set()
        self.optional = 0
        self.unions = 0

    def walk(self, value: Any) -> Json:
        if not isinstance(value, dict):
            raise _Open
        left = dict(cast(Json, value))
        out: Json = {}
        for name in ("$defs", "definitions"):
            if isinstance(defs := left.pop(name, None), dict):
                out[name] = {key: self.walk(sub) for key, sub in cast(Json, defs).items()}
        if isinstance(ref := left.pop("$ref", None), str):
            out["$ref"] = ref
            return out
        for name in _SILENT:
            left.pop(name, None)
        self._shape(left, out)
        for name in ("description", "title"):
            if isinstance(text := left.pop(name, None), str):
                out[name] = text
        if left:
            self.moved.update(left)
            said = ", ".join(f"{name}: {orjson.dumps(v).decode()}" for name, v in left.items())
            text = out.get("description")
            out["description"] = f"{text}\n\n{{{said}}}" if text else f"{{{said}}}"
        return out

    def _shape(self, left: Json, out: Json) -> None:
        """The part of a schema that says what kind of value it is."""
        for name in ("enum", "const"):
            if name in left:
                out[name] = left.pop(name)
        kinds = left.pop("type", None)
        options = left.pop("anyOf", None) or left.pop("oneOf", None)
        if isinstance(options, list) and options:
            self.unions += 1
            out["anyOf"] = [self.walk(option) for option in cast(list[Any], options)]
            return
        if isinstance(parts := left.pop("allOf", None), list) and parts:
            out["allOf"] = [self.walk(part) for part in cast(list[Any], parts)]
            return
        names = [kinds] if isinstance(kinds, str) else kinds
        if not isinstance(names, list) or not names:
            if "enum" in out or "const" in out:
                return
            raise _Open
        if any(name not in _TYPES for name in cast(list[Any], names)):
            raise _Open
        out["type"] = kinds
        self.unions += len(cast(list[Any], names)) > 1
        if "object" in names:
            self._object(left, out)
        if "array" in names:
            self._array(left, out)
        if "string" in names and left.get("format") in _FORMATS:
            out["format"] = left.pop("format")

    def _object(self, left: Json, out: Json) -> None:
        if left.pop("additionalProperties", False) is not False or "patternProperties" in left:
            raise _Open
        properties, required = left.pop("properties", None) or {}, left.pop("required", None) or []
        if not isinstance(properties, dict) or not isinstance(required, list):
            raise _Open
        properties = cast(Json, properties)
        required = [name for name in cast(list[Any], required) if isinstance(name, str)]
        out["properties"] = {name: self.walk(sub) for name, sub in properties.items()}
        out["required"] = required
        out["additionalProperties"] = False
        self.optional += len(properties.keys() - set(required))

    def _array(self, left: Json, out: Json) -> None:
        out["items"] = self.walk(left.pop("items", None))
        if left.get("minItems") in (0, 1):
            out["minItems"] = left.pop("minItems")

    def check_refs(self) -> None:
        """Raise _Open for a reference that leads outside, nowhere, or back to itself."""
        targets: dict[str, set[str]] = {"#": _refs(self.root, skip_defs=True)}
        for name in ("$defs", "definitions"):
            defs = self.root.get(name)
            if isinstance(defs, dict):
                for key, sub in cast(Json, defs).items():
                    targets[f"#/{name}/{key}"] = _refs(sub)
        done: set[str] = set()
        for start in targets:
            _follow(start, targets, done, ())


def _refs(value: Any, skip_defs: bool = False) -> set[str]:
    found: set[str] = set()
    if isinstance(value, dict):
        for name, sub in cast(Json, value).items():
            if name == "$ref" and isinstance(sub, str):
                found.add(sub)
            elif not (skip_defs and name in ("$defs", "definitions")):
                found |= _refs(sub)
    elif isinstance(value, list):
        for sub in cast(list[Any], value):
            found |= _refs(sub)
    return found


def _follow(at: str, targets: dict[str, set[str]], done: set[str], path: tuple[str, ...]) -> None:
    if at in path or at not in targets or len(path) > MAX_REFS:
        raise _Open
    if at not in done:
        for ref in targets[at]:
            _follow(ref, targets, done, (*path, at))
        done.add(at)
