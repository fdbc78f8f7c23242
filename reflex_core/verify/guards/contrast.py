"""One word put in the place of another: opposites, and members of a set that exclude each other."""

from __future__ import annotations

from functools import lru_cache

from ..lexicon import OPPOSITES, SETS
from ..text import Parsed, closeness, stem
from .shades import GATE

_NEEDED = {
    "lang",
    "hlang",
    "os",
    "agegroup",
    "family",
    "pet",
    "drug",
    "weekday",
    "month",
    "holiday",
    "season",
}
"""Sets whose member may not even be left out."""
_GROUPS = {"lang": "language", "hlang": "language", "weekday": "date", "month": "date", "season": "date",
           "holiday": "date", "daypart": "date", "age": "unit", "os": "product", "browser": "product",
           "family": "scope", "agegroup": "scope", "who": "scope", "form": "format"}  # fmt: skip
_TOLD = {"family", "agegroup", "pet"}
_PREFIXES = ("un", "non", "in", "im", "dis", "ir", "il", "mis", "de")
_WEAK = {
    "may",
    "march",
    "go",
    "r",
    "c",
    "bash",
    "swift",
    "second",
    "first",
    "latin",
    "polish",
    "html",
    "css",
    "sql",
}
"""Words with a common other sense: only a replacement counts."""


@lru_cache(maxsize=4096)
def members(p: Parsed) -> dict[str, frozenset[str]]:
    """Set name -> the members named in the text."""
    out: dict[str, frozenset[str]] = {}
    stems = {stem(w) for w in p.core if w != "window"}
    for name, table in SETS.items():
        found = frozenset(table[s] for s in stems if s in table)
        if found:
            out[name] = found
    return out


def opposites(a: Parsed, b: Parsed) -> int:
    """Number of words of one text whose opposite stands only in the other."""
    left, right = a.stems - b.stems, b.stems - a.stems
    found = sum(1 for w in left if not right.isdisjoint(OPPOSITES.get(w, frozenset())))
    return found + sum(
        1 for one, other in ((left, right), (right, left)) for w in one
        if len(w) > 3 and any(p + w in other for p in _PREFIXES)
    )  # fmt: skip


def contrast(a: Parsed, b: Parsed) -> str | None:
    if opposites(a, b) and closeness(a, b) >= GATE:
        return "antonym"
    x, y = members(a), members(b)
    for name in x.keys() | y.keys():
        ours, theirs = x.get(name, frozenset[str]()), y.get(name, frozenset[str]())
        left, right = ours - theirs, theirs - ours
        if left and right:
            return _GROUPS.get(name, "contrast")
        if name in _NEEDED and (left | right) - _WEAK:
            if name in _TOLD and closeness(a, b) < 0.35:
                continue  # a long story may leave out whose it is
            return _GROUPS.get(name, "contrast")
    return None
