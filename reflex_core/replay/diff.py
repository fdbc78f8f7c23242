"""What differs between two requests, field by field, in words that are safe to show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, cast

from .. import key
from ..types import Json

Change = Literal["changed", "added", "removed", "order"]

MAX_DEPTH = 32
_AROUND = 24
"""Characters shown before the first difference."""
_SHOWN = 72
"""Characters of a value that are shown."""

_SECRETS = re.compile(
    r"""
    \b(?:sk|pk|rk|gsk|xai|pplx|hf|r8|csk|fw|nvapi)[-_][A-Za-z0-9_-]{8,}
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
    | \bAIza[A-Za-z0-9_-]{20,}
    | \b(?:ghp|gho|ghs|ghu|ghr|github_pat|glpat|xox[abprs])[-_][A-Za-z0-9_-]{10,}
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?
    | -----BEGIN[ A-Z]{0,40}PRIVATE\ KEY-----[A-Za-z0-9+/=\s\\]{0,20000}(?:-----END[ A-Z]{0,40}-----)?
    | (?<=://)[^\s/:@]{1,256}:[^\s/@]{1,256}(?=@)
    | \b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}
    | (?:api[_-]?key|access[_-]?key|auth[_-]?token|token|secret|password|passwd|pwd|authorization)
      ["']?\s{0,3}(?:[:=]|\bis\b)\s{0,3}["']?[^\s"',;}]{4,}
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SECRET_NAMES = re.compile(
    r"key$|token$|secret|passw|authorization|credential|cookie", re.IGNORECASE
)
_HARMLESS_NAMES = frozenset(["key", "max_tokens", "prompt_cache_key", "max_completion_tokens"])
MASK = "[hidden]"


@dataclass(frozen=True, slots=True)
class Difference:
    """`stored` and `asked` are excerpts around the first difference, without secrets."""

    path: str
    change: Change
    stored: str = ""
    asked: str = ""

    def __str__(self) -> str:
        match self.change:
            case "added":
                return f"{self.path}: only in this request ({self.asked})"
            case "removed":
                return f"{self.path}: only in the stored one ({self.stored})"
            case "order":
                return f"{self.path}: the same in another order"
            case _:
                return f"{self.path}: stored {self.stored}, asked {self.asked}"


def mask(text: str) -> str:
    """The text without what looks like a secret."""
    return _SECRETS.sub(MASK, text)


def differences(stored: Json, asked: Json) -> list[Difference]:
    """All of them, in the order of the fields; fields that the key leaves out are not compared."""
    out: list[Difference] = []
    one, two = comparable(stored), comparable(asked)
    names = {*one, *two}
    first = ["model", "messages", "tools"]
    for name in [n for n in first if n in names] + sorted(names - {*first}):
        _member(name, _printable(name[:_SHOWN]), one, two, out, 0)
    return out


def comparable(body: Json) -> Json:
    """The fields that make the exact key, and the model's name as the client says it."""
    fields = key.meaningful(body)
    return {**fields, "model": body["model"]} if "model" in body else fields


def _member(name: str, path: str, a: Json, b: Json, out: list[Difference], depth: int) -> None:
    if name not in b:
        out.append(Difference(path, "removed", stored=_show(a[name], name)))
    elif name not in a:
        out.append(Difference(path, "added", asked=_show(b[name], name)))
    elif _is_secret(name) and isinstance(a[name], str) and a[name] != b[name]:
        out.append(Difference(path, "changed", MASK, MASK))
    else:
        _compare(a[name], b[name], path, out, depth + 1)


def _compare(a: Any, b: Any, path: str, out: list[Difference], depth: int) -> None:
    if key.canonical(a) == key.canonical(b):
        return
    if depth < MAX_DEPTH and isinstance(a, dict) and isinstance(b, dict):
        one, two = cast(Json, a), cast(Json, b)
        for name in sorted({*one, *two}):
            _member(name, f"{path}.{_printable(name[:_SHOWN])}", one, two, out, depth)
    elif depth < MAX_DEPTH and isinstance(a, list) and isinstance(b, list):
        _lists(cast(list[Any], a), cast(list[Any], b), path, out, depth)
    else:
        out.append(Difference(path, "changed", *_excerpts(a, b)))


def _lists(a: list[Any], b: list[Any], path: str, out: list[Difference], depth: int) -> None:
    same = path != "messages" and sorted(map(key.canonical, a)) == sorted(map(key.canonical, b))
    if same:
        out.append(Difference(path, "order"))
        return
    for at, (one, two) in enumerate(zip(a, b, strict=False)):
        _compare(one, two, f"{path}[{at}]", out, depth + 1)
    longer = a if len(a) > len(b) else b
    rest = range(min(len(a), len(b)), len(longer))
    shown = [(f"{path}[{at}]", _show(longer[at])) for at in rest]
    if longer is a:
        out += [Difference(path, "removed", stored=text) for path, text in shown]
    else:
        out += [Difference(path, "added", asked=text) for path, text in shown]


def _is_secret(name: str) -> bool:
    return name not in _HARMLESS_NAMES and bool(_SECRET_NAMES.search(name))


def _show(value: Any, name: str = "") -> str:
    if name and _is_secret(name) and isinstance(value, str):
        return MASK
    return _cut(_words(value), 0)


def _excerpts(a: Any, b: Any) -> tuple[str, str]:
    """Both values from a little before where they begin to differ."""
    one, two = _words(a), _words(b)
    if one == two:
        return _cut(one, 0), "the same but for what is hidden"
    at = next(
        (i for i, (x, y) in enumerate(zip(one, two, strict=False)) if x != y),
        min(len(one), len(two)),
    )
    start = max(0, at - _AROUND)
    return _cut(one, start), _cut(two, start)


def _words(value: Any) -> str:
    """A text in quotes, anything else as JSON; secrets hidden, always as a whole."""
    if isinstance(value, str):
        return '"' + mask(value).replace("\n", "\\n") + '"'
    return key.canonical(_without_secrets(value, 0)).decode("utf-8", "replace")


def _without_secrets(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return mask(value)
    if depth >= MAX_DEPTH:
        return "..."
    if isinstance(value, dict):
        return {
            name: MASK
            if _is_secret(name) and isinstance(item, str)
            else _without_secrets(item, depth + 1)
            for name, item in cast(Json, value).items()
        }
    if isinstance(value, list):
        return [_without_secrets(item, depth + 1) for item in cast(list[Any], value)]
    return value


def _cut(text: str, start: int) -> str:
    head = "..." if start else ""
    tail = "..." if len(text) > start + _SHOWN else ""
    return head + _printable(text[start : start + _SHOWN]) + tail


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
