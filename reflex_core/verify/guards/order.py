"""Direction: `from A to B` is not `from B to A`, `A than B` is not `B than A`."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

from ..text import CLOSED, Parsed, stem

_STOP = frozenset(
    [
        "the",
        "a",
        "an",
        "my",
        "our",
        "your",
        "this",
        "that",
        "its",
        "his",
        "her",
        "their",
        "some",
        "any",
        "is",
        "it",
        "be",
        "of",
        "me",
        "i",
    ]
)
_TO = frozenset({"to", "into", "onto", "towards", "toward", "in"})
_FROM = frozenset({"from", "of", "out"})
_LIMIT = frozenset(
    [
        "from",
        "to",
        "into",
        "onto",
        "for",
        "with",
        "by",
        "on",
        "at",
        "and",
        "or",
        "if",
        "when",
        "than",
        "before",
        "after",
        "using",
        "via",
        "in",
    ]
)


@lru_cache(maxsize=4096)
def ends(p: Parsed) -> tuple[frozenset[str], frozenset[str]]:
    """Stems standing after `from` and after `to`."""
    words = p.core
    source: set[str] = set()
    target: set[str] = set()
    for i, word in enumerate(words):
        bag = source if word == "from" else target if word in {"to", "into", "onto"} else None
        if bag is None:
            continue
        for other in words[i + 1 : i + 5]:
            if other in _LIMIT:
                break
            if other not in _STOP:
                bag.add(stem(other))
    return frozenset(source), frozenset(target)


@lru_cache(maxsize=4096)
def around(p: Parsed, pivot: str) -> tuple[frozenset[str], frozenset[str]]:
    """Stems of the three content words before and after the pivot's first place."""
    if pivot not in p.core:
        return frozenset(), frozenset()
    i = p.core.index(pivot)
    before = [stem(w) for w in p.core[:i] if w not in _STOP][-3:]
    after = [stem(w) for w in p.core[i + 1 :] if w not in _STOP][:3]
    return frozenset(before), frozenset(after)


_PIVOTS = ("than", "into", "to", "before", "after", "from", "over", "instead", "without")
_MIRROR = frozenset(["versus", "and", "or", "between", "with", "vs"])


def _crossed(
    x: tuple[frozenset[str], frozenset[str]], y: tuple[frozenset[str], frozenset[str]]
) -> bool:
    """Something moved from the left to the right and something else the other way."""
    only = (x[0] - x[1]) & (y[1] - y[0]), (x[1] - x[0]) & (y[0] - y[1])
    return bool(only[0] and only[1])


def direction(a: Parsed, b: Parsed) -> str | None:
    if _crossed(ends(a), ends(b)):
        return "direction"
    for pivot in _PIVOTS:
        if pivot in a.core and pivot in b.core and _crossed(around(a, pivot), around(b, pivot)):
            return "direction"
    if _swapped(a, b):
        return "direction"
    return None


def _swapped(a: Parsed, b: Parsed) -> bool:
    """The same words, and two of them changed places around a word that stayed between them."""
    x, y = [stem(w) for w in a.core], [stem(w) for w in b.core]
    if len(x) != len(y) or x == y or sorted(x) != sorted(y):
        return False
    moved = [i for i, (s, t) in enumerate(zip(x, y, strict=True)) if s != t]
    if len(moved) < 2:
        return False
    between = set(x[moved[0] : moved[-1] + 1])
    return len(moved) == 2 and between.isdisjoint(_MIRROR) and moved[1] - moved[0] > 1


_SUBJECT = {"i": 1, "we": 2, "he": 3, "she": 4, "they": 5}
_OBJECT = {"me": 1, "us": 2, "him": 3, "her": 4, "them": 5}
_AUXILIARY = frozenset(["do", "does", "did"])


_PRONOUNS = frozenset(_SUBJECT) | frozenset(_OBJECT)


def _content(p: Parsed) -> list[str]:
    """Content words, cut so that `succeeded` and `succeed` are one."""
    return [w[:5] for w in p.core if w not in CLOSED]


def _likeness(a: Parsed, b: Parsed) -> float:
    """Closeness of what is neither a pronoun nor an auxiliary."""
    x, y = ({w[:5] for w in p.core if w not in _PRONOUNS | _AUXILIARY} for p in (a, b))
    return len(x & y) / max(1, len(x | y))


def roles(a: Parsed, b: Parsed) -> str | None:
    """Who does it to whom: `my boss owes me` and `I owe my boss`; `who did X beat`, `who beat X`."""
    if _likeness(a, b) < 0.6:
        return None
    doing = [{_SUBJECT[w] for w in p.core if w in _SUBJECT} for p in (a, b)]
    done_to = [{_OBJECT[w] for w in p.core if w in _OBJECT} for p in (a, b)]
    for here, there in ((0, 1), (1, 0)):
        if (doing[here] - doing[there]) & (done_to[there] - done_to[here]):
            return "direction"
    x, y = _content(a), _content(b)
    if sorted(x) != sorted(y):
        return None
    turned = {(v, u) for u, v in pairwise(x) if u != v} & set(pairwise(y))
    if turned and doing[0] != doing[1]:
        return "direction"
    if len(a.core) < 3 or len(b.core) < 3 or not a.core[0] == b.core[0] == "who":
        return None
    return "direction" if (a.core[1] in _AUXILIARY) != (b.core[1] in _AUXILIARY) else None
