"""Small edits: two texts that differ in one place by a word or two mean different things.

People who ask the same thing again either repeat it or put it in other words; one content word
exchanged, added or left out between an equal beginning and an equal end is nearly always another
question (in the training corpus 45 to 1, and the exceptions are slips and synonyms).
"""

from __future__ import annotations

from ..lexicon import SYNONYMS
from ..text import CLOSED, Parsed, closeness, stem
from .numbers import NUMBER_WORDS

_KEPT = 0.4
"""Least share of words that must be equal for an edit to be a small one."""


def changed(x: tuple[str, ...], y: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """What is left of both between the common beginning and the common end; and their length."""
    head = 0
    while head < min(len(x), len(y)) and x[head] == y[head]:
        head += 1
    tail = 0
    while tail < min(len(x), len(y)) - head and x[-1 - tail] == y[-1 - tail]:
        tail += 1
    return x[head : len(x) - tail], y[head : len(y) - tail], head + tail


def small_edit(a: Parsed, b: Parsed) -> str | None:
    left, right, kept = changed(a.core, b.core)
    if max(len(left), len(right)) > 2 or kept < 2 or kept < _KEPT * max(len(a.core), len(b.core)):
        return None
    ours, theirs = ([stem(w) for w in side if w not in CLOSED] for side in (left, right))
    if not ours and not theirs:
        return None
    if (
        sorted(ours) == sorted(theirs)
        or _related(ours, theirs)
        or " ".join(sorted(theirs)) in SYNONYMS.get(" ".join(sorted(ours)), frozenset())
    ):
        return None
    return "small-edit"


def _related(ours: list[str], theirs: list[str]) -> bool:
    """`invented` and `inventor`, `eleven` and `11`: left to the learned verifier."""
    if len(ours) != 1 or len(theirs) != 1:
        return False
    short, long = sorted((ours[0], theirs[0]), key=len)
    if len(short) >= 5 and long.startswith(short):
        return True
    values = {str(NUMBER_WORDS.get(w, w)) for w in (short, long)}
    return len(values) == 1


def inflection(a: Parsed, b: Parsed) -> str | None:
    """The same verb in another tense in texts that are otherwise close: `owned` and `owns`."""
    if closeness(a, b) < 0.6:
        return None
    past = [{stem(w): w.endswith("ed") for w in p.core if len(w) > 3} for p in (a, b)]
    for name in past[0].keys() & past[1].keys():
        if past[0][name] != past[1][name]:
            words = {w for p in (a, b) for w in p.core if stem(w) == name}
            if not any(w.endswith("ing") for w in words):
                return "tense"
    return None
