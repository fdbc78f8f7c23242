"""Names: a capitalised word inside a sentence must stand in the other text, in some form."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

from ..places import SAME_PLACE
from ..text import Parsed, stem
from .numbers import CURRENCIES

_COMMON_TEXT = """
i im ill ive id a an the and or but if is are do does did can could will would should may might my
what how why when where who which whose please hi hello hey thanks thank good dear english ok okay
no not yes mr mrs ms dr prof sir madam it its he she they we you your in on at to of for from with
monday tuesday wednesday thursday friday saturday sunday january february march april june july
august september october november december faq diy asap pc pcs tv id ids pin atm cv usb api apis pdf
gps sim dvd cpu gpu ram url pm am vs tell me god internet web
"""
_COMMON = frozenset(_COMMON_TEXT.split())
_NOT_NAMES = _COMMON | CURRENCIES.keys()


@lru_cache(maxsize=4096)
def names(p: Parsed) -> dict[str, str]:
    """Lower-case names with their shapes; empty when capitals mean nothing (all lower case, all upper, Title Case)."""
    words = p.words
    letters = [w for w in words if w.shape[0].isalpha()]
    if not letters:
        return {}
    capital = [w for w in letters if w.shape[0].isupper()]
    if len(letters) > 4 and len(capital) > 0.7 * len(letters):
        return {}
    if len(letters) > 1 and all(w.shape.isupper() for w in letters):
        return {}
    out: dict[str, str] = {}
    start = True
    last = 0
    for w in words:
        between = p.raw[last : w.start]
        if any(c in '.?!:\n"(“' for c in between):
            start = True
        inner = any(c.isupper() for c in w.shape[1:])
        if w.shape[0].isupper() and (not start or inner) and w.text not in _NOT_NAMES:
            out[w.text] = w.shape
        last = w.start + len(w.shape)
        start = False
    return out


def _initials(lower: tuple[str, ...]) -> set[str]:
    """Abbreviations that runs of two to five words could have."""
    words = [w for w in lower if w not in {"of", "the", "and", "for"}]
    letters = "".join(w[0] for w in words)
    return {letters[i : i + n] for n in range(2, 6) for i in range(len(letters) - n + 1)}


def _joined(name: str, words: tuple[str, ...]) -> list[str]:
    """The name written together with the word before or after: `Wi-Fi` and `wifi`."""
    return (
        [
            one + other
            for one, other in pairwise(words)
            if name in (one, other) and len(one + other) > 3
        ]
        if len(name) < 4
        else []
    )


def missing_names(a: Parsed, b: Parsed) -> list[str]:
    """Names of either text that the other does not have in any form."""
    return [*_missing(a, b), *_missing(b, a)]


@lru_cache(maxsize=4096)
def _missing(one: Parsed, other: Parsed) -> tuple[str, ...]:
    here = names(one)
    if not here:
        return ()
    stems = {stem(w) for w in other.lower}
    places = {
        c for w in other.lower if (c := SAME_PLACE.get(w) or SAME_PLACE.get(w.removesuffix("s")))
    }
    squashed = "".join(other.lower)
    initials = _initials(tuple(here))
    if any(s.isupper() and len(n) > 1 and n in initials for n, s in names(other).items()):
        return ()
    return tuple(
        name
        for name, shape in here.items()
        if not (
            stem(name) in stems
            or (len(name) > 3 and name in squashed)
            or any(n in squashed for n in _joined(name, one.lower))
            or (SAME_PLACE.get(name) or SAME_PLACE.get(name.removesuffix("s"))) in places
            or (shape.isupper() and 2 <= len(name) <= 5 and name in _initials(other.lower))
        )
    )


def entity(a: Parsed, b: Parsed) -> str | None:
    """Each text names what the other does not."""
    if _missing(a, b) and _missing(b, a):
        return "name"
    (x, weak_x), (y, weak_y) = places(a), places(b)
    return "place" if x - weak_y != y - weak_x else None


def added_name(a: Parsed, b: Parsed) -> str | None:
    """One text names what the other does not: `this hook` and `this hook in React`."""
    return "name" if bool(_missing(a, b)) != bool(_missing(b, a)) else None


@lru_cache(maxsize=4096)
def places(p: Parsed) -> tuple[frozenset[str], frozenset[str]]:
    """Countries named in the text; and all that it might name."""
    found = [(w, SAME_PLACE.get(w) or SAME_PLACE.get(w.removesuffix("s"))) for w in p.core]
    return (
        frozenset(c for w, c in found if c and w not in _WEAK),
        frozenset(c for _, c in found if c),
    )


_WEAK = {
    "us",
    "turkey",
    "china",
    "jordan",
    "chile",
    "polish",
    "pole",
    "poles",
    "kiwi",
    "states",
    "swiss",
    "finn",
    "finns",
    "dane",
    "danes",
    "georgia",
    "islam",
    "america",
}
"""Words with a common other sense."""
