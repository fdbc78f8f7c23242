"""What kind of answer is asked for: a reason, a way, a time, a place, a person, an amount."""

from __future__ import annotations

import re
from functools import lru_cache

from ..text import Parsed, closeness
from .shades import GATE

_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("why", r" (?:why|how come|reasons?|cause[sd]?|what makes|what made|what is behind|whats behind|for what purpose) "),
        ("when", r" (?:when|what time|which day|what day|what date|which date|what year|which year|at what time|how soon|since when|by when|which month) "),
        ("where", r" (?:where|whereabouts|which place|what place|which city|which country|in what country|location) "),
        ("who", r" (?:who|whom|whose|which person|which people|which team|which author) "),
        ("howmany", r" (?:how many|number of|count of|how often|how frequently) "),
        ("howmuch", r" (?:how much|price|cost|costs|fee|fees|how expensive|what amount|charge for) "),
        ("howlong", r" (?:how long|duration|how many (?:minutes|hours|days|weeks|months|years)|how much time|time needed) "),
        ("howfar", r" (?:how far|distance) "),
        ("howold", r" (?:how old|what age|age of) "),
    )
)  # fmt: skip
_HARD = {"why", "when", "where", "who", "howmany", "howmuch", "howlong", "howfar", "howold"}
_ALIKE = (
    {"howmany", "howmuch"},
    {"howmany", "howlong"},
    {"when", "howlong"},
    {"howlong", "howmuch"},
    {"howold", "when"},
)
_ASKED = re.compile(
    r"(?:^|[.?!\n])(?! ?(?:thank|can you help|could you help))([^.?!\n]*)(?=\?)", re.IGNORECASE
)
_LEADING = re.compile(r"^ (?:why|when|where|who|how (?:many|much|long|far|old|often)) ")


@lru_cache(maxsize=4096)
def kinds(p: Parsed) -> frozenset[str]:
    return frozenset(name for name, pattern in _KINDS if pattern.search(p.joined))


def question_type(a: Parsed, b: Parsed) -> str | None:
    """Two different kinds, each named in one text only."""
    x, y = kinds(a), kinds(b)
    left, right = x - y, y - x
    if not left or not right:
        return None
    if any(left | right <= alike for alike in _ALIKE):
        return None
    if _LEADING.search(a.joined) and _LEADING.search(b.joined):
        return "question-type"
    return None


def question_count(a: Parsed, b: Parsed) -> str | None:
    """Several questions in one text, and not as many in the other."""
    x, y = (sum(len(s.split()) > 3 for s in _ASKED.findall(p.raw)) for p in (a, b))
    if closeness(a, b) < GATE:
        return None
    return "question-count" if max(x, y) >= 2 and min(x, y) >= 1 and x != y else None
