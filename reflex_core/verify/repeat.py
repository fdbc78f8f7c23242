"""The same question typed again: equal but for case, punctuation, politeness, spelling and slips."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

from .guards.entities import names
from .guards.literals import quotes
from .text import Parsed
from .vocabulary import known_words

_AUXILIARIES = frozenset(
    [
        "do",
        "does",
        "did",
        "can",
        "could",
        "should",
        "would",
        "will",
        "is",
        "are",
        "was",
        "were",
        "am",
        "have",
        "has",
        "must",
        "may",
        "might",
    ]
)
_PRONOUNS = frozenset(["i", "you", "we", "they", "he", "she", "it", "one"])
_SYMBOLS = re.compile(r"[+*=<>^%|~$€£¥#@\\{}\[\]÷×√≤≥≠∞→←°µ]|-(?=\d)|(?<=\d)[/:.,](?=\d)")
_BRACKETS = re.compile(r"[()\"!&;]|(?<!\w)'|'(?!\w)")
_SLIP_LETTERS = 5


def is_same_text(a: Parsed, b: Parsed) -> bool:
    """Letter by letter but for case, spaces and punctuation that says nothing. Any language."""
    return bool(a.words) and _marks(a) == _marks(b) and _plain(a) == _plain(b)


def is_same_wording(a: Parsed, b: Parsed) -> bool:
    """The same English words in the same order, give or take politeness, joins and hyphens."""
    if not a.core or not b.core or _marks(a) != _marks(b):
        return False
    x, y = _canonical(a), _canonical(b)
    return x == y or "".join(x) == "".join(y)


def is_repeat(a: Parsed, b: Parsed) -> bool:
    """The same wording, give or take slips of the finger."""
    if not a.core or not b.core or _marks(a) != _marks(b):
        return False
    if is_same_wording(a, b):
        return True
    held = (
        set(names(a))
        | set(names(b))
        | {w for p in (a, b) for q in quotes(p) for w in q.lower().split()}
    )
    # A slip in an auxiliary hides that it stands before its pronoun: as typed, too.
    return any(
        _only_slips(x, y, held) for x, y in ((_canonical(a), _canonical(b)), (a.core, b.core))
    )


def _only_slips(x: tuple[str, ...], y: tuple[str, ...], held: set[str]) -> bool:
    """Word for word the same, but for a few slips in words that are not `held`."""
    if len(x) != len(y):
        return False
    wrong = [(v, w) for v, w in zip(x, y, strict=True) if v != w]
    return len(wrong) <= max(1, len(x) // 6) and all(
        is_slip(v, w) and not {v, w} & held for v, w in wrong
    )


def _marks(p: Parsed) -> Counter[str]:
    """Signs that may change the meaning, emoji among them."""
    signs = _SYMBOLS.findall(p.raw)
    if signs:  # a formula or code: every bracket and quotation mark counts too
        signs += _BRACKETS.findall(p.raw)
    odd = (c for c in p.raw if ord(c) > 127 and unicodedata.category(c)[0] == "S")
    return Counter([*signs, *odd])


def _plain(p: Parsed) -> str:
    return "".join(re.findall(r"[\w'+#&/]+", p.raw.casefold()))


@lru_cache(maxsize=4096)
def _canonical(p: Parsed) -> tuple[str, ...]:
    """`can I` and `I can` alike; `do I` and `I` alike."""
    out: list[str] = []
    words = list(p.core)
    i = 0
    while i < len(words):
        if i + 1 < len(words) and words[i] in _AUXILIARIES and words[i + 1] in _PRONOUNS:
            out.append(words[i + 1])
            if words[i] not in {"do", "does"}:
                out.append(words[i])
            i += 2
            continue
        out.append(words[i])
        i += 1
    return tuple(out)


def is_slip(v: str, w: str) -> bool:
    """One letter more, less, other or swapped, and at most one of the two is a word. Short words
    are another word too easily, unless their letters are all there."""
    if v.isdigit() or w.isdigit() or any(c.isdigit() for c in v + w):
        return False
    short = max(len(v), len(w)) < _SLIP_LETTERS - (sorted(v) == sorted(w))
    if short or abs(len(v) - len(w)) > 1 or v[0] != w[0]:
        return False
    known = known_words()
    if (v in known) == (w in known):
        return False
    return _one_edit(v, w)


def _one_edit(v: str, w: str) -> bool:
    """Damerau-Levenshtein distance 1."""
    if len(v) > len(w):
        v, w = w, v
    at = 0
    while at < len(v) and v[at] == w[at]:
        at += 1
    if len(v) < len(w):
        return v[at:] == w[at + 1 :]
    if v[at + 1 :] == w[at + 1 :]:
        return True
    return v[at : at + 2] == w[at : at + 2][::-1] and v[at + 2 :] == w[at + 2 :]
