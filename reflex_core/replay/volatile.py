"""Parts of requests that change from call to call and so spoil the exact key.

A request is reduced to a skeleton in which times, ids, numbers of the system prompt and the order of
lists that have none are replaced. Requests with the same skeleton and different keys would have been
repeats, had those parts stood still.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, cast

from .. import key
from ..types import Json

Kind = Literal["time", "date", "uuid", "id", "path", "number", "seed", "order"]

ADVICE: Mapping[str, str] = {
    "time": "Leave the time out, or round it to the day.",
    "date": "Leave the date out where the answer does not depend on it.",
    "uuid": "Move it to `metadata` or `user`, which the key leaves out.",
    "id": "Move it to `metadata` or `user`, or make it the same for the same input.",
    "path": "Use a fixed name instead of a temporary one.",
    "number": "Keep counters out of the prompt.",
    "seed": "Use one seed, or none.",
    "order": "Sort the list before sending it.",
}

MAX_DEPTH = 64
"""What is nested deeper is taken as it is."""
MAX_TEXT = 200_000
"""Characters of a text that are looked at: beyond are images and the like."""
MAX_GROUPS = 100_000
_EXAMPLE = 120
"""Characters of a value that are shown."""
_FLOWS = 5

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_DAY = r"(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?: ?[AaPp]\.?[Mm]\b\.?)?"
_ZONE = r"(?: ?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})\b)?"
_TIME = (
    rf"\d{{4}}-\d{{2}}-\d{{2}}(?:[T ]|,? at ){_CLOCK}{_ZONE}"
    rf"|(?:{_DAY},? )?\d{{1,2}} {_MONTH} \d{{4}},? {_CLOCK}{_ZONE}"
    rf"|{_DAY},? {_MONTH} {{1,2}}\d{{1,2}},? {_CLOCK}{_ZONE}(?: \d{{4}})?"
    rf"|(?:{_DAY},? )?{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}(?:,| at)? {_CLOCK}{_ZONE}"
    rf"|\b1[4-9]\d{{8}}(?:\.\d{{1,9}}|\d{{3}}|\d{{6}})?\b"
)
_DATE = (
    r"\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b|\b\d{1,2}\.\d{1,2}\.\d{4}\b"
    rf"|\b(?:{_DAY},? )?{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}\b"
    rf"|\b(?:{_DAY},? )?\d{{1,2}} {_MONTH} \d{{4}}\b"
)
_UUID = r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"
_ID = (
    r"\b(?:call|chatcmpl|conv|conversation|id|msg|message|req|request|resp|run|sess|session|span"
    r"|task|thread|toolu|trace|txn|user)[_-](?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{6,}"
    r"|\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{16,}\b"
    r"|\b[0-7](?=[0-9A-HJKMNP-TV-Z]*[A-Z])[0-9A-HJKMNP-TV-Z]{25}\b"
    r"|\b(?=[A-Za-z0-9]*\d)(?=[A-Za-z0-9]*[a-z])(?=[A-Za-z0-9]*[A-Z])[A-Za-z0-9]{20,64}\b"
)
_PATH = r"/(?:tmp|var/folders)/[\w./+-]+"
_SOMETIMES = rf"(?P<date>{_DATE}|\b{_DAY}\b|\b{_CLOCK})|(?P<number>\d+(?:[.,]\d+)*)"

_ALWAYS = re.compile(rf"(?P<uuid>{_UUID})|(?P<path>{_PATH})|(?P<time>{_TIME})|(?P<id>{_ID})")
"""Never meant, wherever they stand."""
_INSTRUCTIONS = re.compile(rf"{_ALWAYS.pattern}|{_SOMETIMES}")
"""In the system prompt also dates and numbers: what is asked is elsewhere."""

_UNORDERED = frozenset(["required", "enum"])
"""Lists of JSON Schema whose order says nothing."""


class Spot(NamedTuple):
    """One replaced value."""

    where: str
    """The field, the same for all messages of a role: `messages[system].content`."""
    path: str
    """Exactly where: `messages[0].content`."""
    kind: Kind
    text: str


class Skeleton(NamedTuple):
    digest: bytes
    spots: tuple[Spot, ...]


def skeleton(body: Json) -> Skeleton:
    """The body with its volatile parts replaced. Never raises for what `orjson.loads` gives."""
    walk = _Walk()
    out = {name: walk.field(name, value) for name, value in sorted(key.meaningful(body).items())}
    return Skeleton(blake2b(key.canonical(out), digest_size=16).digest(), tuple(walk.spots))


class _Walk:
    """Rebuilds a body, noting what it replaces."""

    def __init__(self) -> None:
        self.spots: list[Spot] = []

    def field(self, name: str, value: Any) -> Any:
        if name == "messages" and isinstance(value, list):
            turns = cast(list[Any], value)
            return [self._message(turn, at, at == len(turns) - 1) for at, turn in enumerate(turns)]
        if name in ("tools", "functions") and isinstance(value, list):
            return self._tools(name, cast(list[Any], value))
        if name == "seed" and value is not None:
            self.spots.append(Spot("seed", "seed", "seed", str(value)))
            return "<seed>"
        return self._value(value, name, name, _ALWAYS)

    def _message(self, turn: Any, at: int, last: bool) -> Any:
        role = cast(Json, turn).get("role") if isinstance(turn, dict) else None
        instructions = role in ("system", "developer") and not last
        pattern = _INSTRUCTIONS if instructions else _ALWAYS
        name = "question" if last and role == "user" else role
        return self._value(turn, f"messages[{name}]", f"messages[{at}]", pattern)

    def _tools(self, name: str, tools: list[Any]) -> list[Any]:
        """In order of their text, and what was replaced in them too."""
        names = ", ".join(_tool_name(tool) for tool in tools)
        self.spots.append(Spot(name, name, "order", names))
        walked: list[tuple[bytes, Any, list[Spot]]] = []
        for at, tool in enumerate(tools):
            walk = _Walk()
            plain = walk._value(tool, f"{name}[]", f"{name}[{at}]", _ALWAYS)
            walked.append((key.canonical(plain), plain, walk.spots))
        walked.sort(key=lambda item: item[0])
        self.spots += [spot for _, _, spots in walked for spot in spots]
        return [plain for _, plain, _ in walked]

    def _value(
        self, value: Any, where: str, path: str, pattern: re.Pattern[str], depth: int = 0
    ) -> Any:
        if isinstance(value, str):
            return self._text(value, where, path, pattern)
        if depth >= MAX_DEPTH:
            return value
        if isinstance(value, list):
            items = cast(list[Any], value)
            return [
                self._value(item, f"{where}[]", f"{path}[{at}]", pattern, depth + 1)
                for at, item in enumerate(items)
            ]
        if isinstance(value, dict):
            return {
                name: self._member(name, item, where, path, pattern, depth + 1)
                for name, item in sorted(cast(Json, value).items())
            }
        return value

    def _member(
        self, name: str, value: Any, where: str, path: str, pattern: re.Pattern[str], depth: int
    ) -> Any:
        where, path = f"{where}.{name}", f"{path}.{name}"
        if name in ("tool_call_id", "id") and isinstance(value, str):
            self.spots.append(Spot(where, path, "id", value))
            return "<id>"
        if name in _UNORDERED and isinstance(value, list):
            texts = cast(list[Any], value)
            if len(texts) > 1 and all(isinstance(text, str) for text in texts):
                self.spots.append(Spot(where, path, "order", ", ".join(texts)))
                return sorted(texts)
        return self._value(value, where, path, pattern, depth)

    def _text(self, text: str, where: str, path: str, pattern: re.Pattern[str]) -> str:
        def replaced(match: re.Match[str]) -> str:
            kind = cast(Kind, match.lastgroup)
            self.spots.append(Spot(where, path, kind, match[0]))
            return f"<{kind}>"

        return pattern.sub(replaced, text[:MAX_TEXT]) + text[MAX_TEXT:]


def _tool_name(tool: Any) -> str:
    if not isinstance(tool, dict):
        return "?"
    fields = cast(Json, tool)
    function = fields.get("function", fields)
    name = cast(Json, function).get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else "?"


# --------------------------------------------------------------------------- over many requests


@dataclass(slots=True)
class Finding:
    """One field that spoiled keys."""

    where: str
    kind: Kind
    path: str
    """Where it stood in the first such request."""
    requests: int = 0
    """Requests that would have been repeats, were it not for this field (and others like it)."""
    flows: list[int] = field(default_factory=list[int])
    """Numbers of the first few of them in the capture."""
    examples: tuple[str, str] = ("", "")
    """Two of its values."""

    @property
    def advice(self) -> str:
        return ADVICE[self.kind]


@dataclass(slots=True)
class _Group:
    spots: tuple[Spot, ...]
    keys: set[bytes]


class VolatileFinder:
    """Takes requests in their order. Keeps the spots of at most MAX_GROUPS skeletons, no bodies."""

    def __init__(self, max_groups: int = MAX_GROUPS) -> None:
        self._groups: OrderedDict[bytes, _Group] = OrderedDict()
        self._max_groups = max_groups
        self._found: dict[tuple[str, str], Finding] = {}

    def add(self, number: int, scope: bytes, exact: bytes, body: Json) -> tuple[str, ...]:
        """The fields that kept this request from being a repeat; empty when it is none.

        `scope` tells requests apart that have nothing to do with each other (tenant, provider, model).
        """
        found = skeleton(body)
        name = blake2b(scope + found.digest, digest_size=16).digest()
        group = self._groups.get(name)
        if group is None:
            self._groups[name] = _Group(_short(found.spots), {exact[:8]})
            if len(self._groups) > self._max_groups:
                self._groups.popitem(last=False)
            return ()
        self._groups.move_to_end(name)
        if exact[:8] in group.keys:
            return ()
        group.keys.add(exact[:8])
        return self._note(number, group.spots, _short(found.spots))

    def findings(self) -> list[Finding]:
        """Most costly first."""
        return sorted(self._found.values(), key=lambda f: (-f.requests, f.where))

    def _note(self, number: int, old: tuple[Spot, ...], new: tuple[Spot, ...]) -> tuple[str, ...]:
        names: dict[tuple[str, str], tuple[Spot, Spot]] = {}
        for before, now in zip(old, new, strict=True):
            if before.text != now.text:
                names.setdefault((now.where, now.kind), (before, now))
        for name, (before, now) in names.items():
            finding = self._found.get(name)
            if finding is None:
                finding = self._found[name] = Finding(now.where, now.kind, now.path)
                finding.examples = (before.text, now.text)
            finding.requests += 1
            if len(finding.flows) < _FLOWS:
                finding.flows.append(number)
        return tuple(f"{where} ({kind})" for where, kind in names)


def _short(spots: tuple[Spot, ...]) -> tuple[Spot, ...]:
    """Long values by their beginning and a digest, so that they still differ."""
    return tuple(
        spot._replace(text=spot.text[:_EXAMPLE] + _digest(spot.text))
        if len(spot.text) > _EXAMPLE
        else spot
        for spot in spots
    )


def _digest(text: str) -> str:
    data = text.encode("utf-8", "surrogatepass")
    return "…" + blake2b(data, digest_size=4).hexdigest()
