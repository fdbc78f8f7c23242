"""JSON schemas in the keywords that Gemini takes.

Source: `responseJsonSchema` in ai.google.dev/api/generate-content#GenerationConfig, which lists
the keywords it honours; `parametersJsonSchema` of a tool takes the same. What Gemini has no
keyword for is said in the description. Nothing here raises; the input is not changed.
"""

from __future__ import annotations

import math
from typing import Any, TypeGuard, cast

import orjson

from ..types import Json
from .loose import obj
from .schema import inlined

KEYWORDS = frozenset(
    [
        "additionalProperties",
        "anyOf",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maximum",
        "minItems",
        "minimum",
        "prefixItems",
        "properties",
        "propertyOrdering",
        "required",
        "title",
        "type",
    ]
)
_TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
_STRING_FORMATS = ("date-time", "date", "time")
_SAID = (
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "multipleOf",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "default",
)
"""Keywords Gemini has no equivalent for that a description can carry."""
_OF_TYPE = {
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "object": ("properties", "required", "propertyOrdering", "additionalProperties"),
    "number": ("minimum", "maximum"),
    "integer": ("minimum", "maximum"),
    "string": ("format",),
}
_NULL = {"type": "null"}


def gemini(schema: Json) -> Json:
    """`schema` in the keywords Gemini takes: what was valid stays valid, some more may become so."""
    return _node(inlined(schema))


def _node(value: Any) -> Json:
    node = _unwrapped(_merged(obj(value)))
    out: Json = {}
    for name in ("title", "description"):
        if isinstance(node.get(name), str):
            out[name] = node[name]
    said: list[str] = []
    kinds = _kinds(node)
    _put_enum(out, node, kinds, said)
    main = [kind for kind in kinds if kind != "null"] or kinds
    if not {"integer", "number"}.isdisjoint(main):
        _put_bounds(out, node, "number" not in main)
    if "array" in main:
        _put_array(out, node)
    if "object" in main:
        _put_object(out, node)
    _put_rest(out, node, said)
    if said:
        out["description"] = " ".join(
            filter(None, [out.get("description"), f"({'; '.join(said)})"])
        )
    _put_type(out, kinds, main)
    _put_alternatives(out, node)
    return out


def _merged(node: Json) -> Json:
    """`allOf` folded into the node: properties and required add up, the node's own values win."""
    branches = node.get("allOf")
    if not isinstance(branches, list):
        return node
    out: Json = {}
    for branch in (*cast(list[Any], branches), {k: v for k, v in node.items() if k != "allOf"}):
        for name, value in _merged(obj(branch)).items():
            old = out.get(name)
            if name == "properties" and isinstance(old, dict) and isinstance(value, dict):
                out[name] = {**old, **value}
            elif name == "required" and isinstance(old, list) and isinstance(value, list):
                out[name] = [*old, *value]
            else:
                out[name] = value
    return out


def _branches(node: Json) -> list[Any]:
    """What `anyOf` or `oneOf` lists, impossible ones left out."""
    for name in ("anyOf", "oneOf"):
        found = node.get(name)
        if isinstance(found, list):
            return [b for b in cast(list[Any], found) if b is True or isinstance(b, dict)]
    return []


def _unwrapped(node: Json) -> Json:
    """`anyOf: [X]` is X, and `anyOf: [X, null]` is X whose type may also be null."""
    found = _branches(node)
    rest = [branch for branch in found if branch != _NULL]
    if len(rest) != 1:
        return node
    outer = {k: v for k, v in node.items() if k not in ("anyOf", "oneOf")}
    inner = _unwrapped(_merged(obj(rest[0])))
    if len(found) > 1:
        kind = inner.get("type")
        if _branches(inner):
            inner = {**inner, "anyOf": [*_branches(inner), _NULL]}
        elif isinstance(kind, str) and "enum" not in inner and "const" not in inner:
            inner = {**inner, "type": [kind, "null"]}
        elif "type" in inner or "enum" in inner or "const" in inner:
            return node
    return {**inner, **outer}


def _kinds(node: Json) -> list[str]:
    """The types of a node, as given or as its keywords imply."""
    given: Any = node.get("type")
    named = cast(list[Any], given) if isinstance(given, list) else [given]
    kinds = [t for t in _TYPES if any(isinstance(n, str) and n.lower() == t for n in named)]
    if not kinds and not _branches(node):
        if "properties" in node:
            kinds = ["object"]
        elif "items" in node or "prefixItems" in node:
            kinds = ["array"]
    return kinds


def _put_enum(out: Json, node: Json, kinds: list[str], said: list[str]) -> None:
    """`enum` and `const`, which Gemini has for strings and numbers only. Narrows `kinds`."""
    values: Any = [node["const"]] if "const" in node else node.get("enum")
    if not isinstance(values, list) or not values:
        return
    allowed = [v for v in cast(list[Any], values) if v is not None]
    nullable = ["null"] if len(allowed) < len(cast(list[Any], values)) else []
    if allowed and all(isinstance(v, str) for v in allowed):
        kinds[:] = ["string", *nullable]
    elif allowed and all(_is_number(v) for v in allowed):
        whole = all(isinstance(v, int) for v in allowed)
        kinds[:] = ["integer" if whole else "number", *nullable]
    else:
        if allowed:
            said.append("one of " + orjson.dumps(values).decode())
        else:
            kinds[:] = nullable
        return
    out["enum"] = allowed


def _put_type(out: Json, kinds: list[str], main: list[str]) -> None:
    """Several types besides null, and null beside an enum, become `anyOf`."""
    if "enum" in out and len(kinds) > 1:
        enum = {name: out.pop(name) for name in ("enum", "format") if name in out}
        out["anyOf"] = [{"type": main[0], **enum}, _NULL]
    elif len(main) > 1:
        own = {
            kind: {name: out[name] for name in _OF_TYPE.get(kind, ()) if name in out}
            for kind in kinds
        }
        for names in _OF_TYPE.values():
            for name in names:
                out.pop(name, None)
        out["anyOf"] = [{"type": kind, **own[kind]} for kind in kinds]
    elif kinds:
        out["type"] = kinds if len(kinds) > 1 else kinds[0]


def _put_alternatives(out: Json, node: Json) -> None:
    found = _branches(node)
    if found:
        out["anyOf"] = [_node(branch) for branch in found]


def _put_bounds(out: Json, node: Json, whole: bool) -> None:
    """`minimum` and `maximum`; an exclusive bound becomes the next integer, or its own value."""
    low = [v for v in (node.get("minimum"), node.get("exclusiveMinimum")) if _is_number(v)]
    high = [v for v in (node.get("maximum"), node.get("exclusiveMaximum")) if _is_number(v)]
    if whole and _is_number(node.get("exclusiveMinimum")):
        low[-1] = math.floor(low[-1]) + 1
    if whole and _is_number(node.get("exclusiveMaximum")):
        high[-1] = math.ceil(high[-1]) - 1
    if low:
        out["minimum"] = max(low)
    if high:
        out["maximum"] = min(high)


def _put_array(out: Json, node: Json) -> None:
    items, prefix = node.get("items"), node.get("prefixItems")
    if isinstance(items, list) and prefix is None:
        items, prefix = node.get("additionalItems"), cast(list[Any], items)
    if isinstance(prefix, list) and prefix:
        out["prefixItems"] = [_node(item) for item in cast(list[Any], prefix)]
    if isinstance(items, dict):
        out["items"] = _node(items)
    elif "prefixItems" not in out:
        out["items"] = {}
    for name in ("minItems", "maxItems"):
        if type(node.get(name)) is int:
            out[name] = node[name]


def _put_object(out: Json, node: Json) -> None:
    """`required` names only properties that are there: Gemini refuses others."""
    found = node.get("properties")
    if isinstance(found, dict):
        members = cast(Json, found).items()
        out["properties"] = {k: _node(v) for k, v in members if v is not False}
        for name in ("required", "propertyOrdering"):
            _put_names(out, name, node.get(name))
    more = node.get("additionalProperties")
    if isinstance(more, bool):
        out["additionalProperties"] = more
    elif isinstance(more, dict):
        out["additionalProperties"] = _node(more)


def _put_names(out: Json, name: str, names: Any) -> None:
    if isinstance(names, list):
        properties = cast(Json, out["properties"])
        known = [n for n in cast(list[Any], names) if isinstance(n, str) and n in properties]
        if known:
            out[name] = list(dict.fromkeys(known))


def _put_rest(out: Json, node: Json, said: list[str]) -> None:
    for name in _SAID:
        value = node.get(name)
        if name == "format" and value in _STRING_FORMATS:
            out[name] = value
        elif name in node and not isinstance(value, dict | list):
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
            said.append(f"{name}: {text}")


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
