"""Small words that turn the answer: negation, quantifiers, tense, the requested format."""

from __future__ import annotations

import re
from functools import lru_cache

from ..lexicon import FORMATS
from ..text import CLOSED, Parsed, closeness, stem

GATE = 0.3
"""Below this closeness the texts are worded so differently that a small word says little."""
_NEGATORS = frozenset(
    [
        "not",
        "no",
        "never",
        "without",
        "none",
        "nobody",
        "nothing",
        "neither",
        "nor",
        "nowhere",
        "non",
    ]
)
_SOFT = re.compile(
    r" (?:fail\w*|unable|refus\w+|impossible|stop\w*|lack\w*|missing|dead|broken|forgot\w*|lost|avoid\w*|prevent\w*"
    r"|except\w*|exclud\w+|free of|free|skip\w*|disab\w+|remove\w*|deny|denied|den\w+|reject\w*|decline\w*|wrong|error\w*|gone|absent"
    r"|block\w*|omit\w*|unless|instead of|rather than|rid of|off|out of|loses?|losing|minus|un\w{4,}|in\w+able|non\w*|other than|but|only"
    r"|hates?|stuck|frozen|freez\w+|crash\w*|empty|blank|bar|outside|away from|empty|cease\w*|quit\w*|zero|bad|trouble|problem\w*|keep\w* from) "
)
_IDLE = re.compile(
    r" (?:i (?:do|did|am|have) not (?:know|understand|get|sure|remember|found|find|quite)|am not sure|no idea|not sure|do not know|can not (?:find|figure|remember|tell|work out)"
    r"|could not (?:find|figure)|no matter|not only|no longer|whether or not|or not|if not|why not|no [0-9]+|without (?:problem|any problem|issue)s?|no clue|never (?:done|used|tried|been)) "
)


@lru_cache(maxsize=4096)
def negators(p: Parsed) -> tuple[int, bool]:
    """Number of negators, and whether something else speaks of absence or failure."""
    text = _IDLE.sub(" ~ ", p.joined)
    idle = text != p.joined
    count = sum(w in _NEGATORS for w in text.split())
    return count, idle or bool(_SOFT.search(text))


def negation(a: Parsed, b: Parsed) -> str | None:
    """A negation on one side only, with nothing on the other side that could stand for it."""
    (x, soft_x), (y, soft_y) = negators(a), negators(b)
    if x and y and _moved(a, b):
        return "negation"
    if (x > 0) == (y > 0):
        return None
    if _one_word_apart(a, b):
        return "negation"
    if (soft_y if x else soft_x) or closeness(a, b) < 0.4:
        return None  # the learned verifier decides
    return "negation"


def _moved(a: Parsed, b: Parsed) -> bool:
    """The same content words, and the negation stands between other ones."""
    if sorted(w for w in a.core if w not in CLOSED) != sorted(w for w in b.core if w not in CLOSED):
        return False
    places: list[tuple[str, str]] = []
    for p in (a, b):
        at = next((i for i, w in enumerate(p.core) if w in _NEGATORS), 0)
        before = [w for w in p.core[:at] if w not in CLOSED]
        after = [w for w in p.core[at + 1 :] if w not in CLOSED]
        places.append((before[-1] if before else "", after[0] if after else ""))
    (u, v), (x, y) = places
    return u != x and v != y


def _one_word_apart(a: Parsed, b: Parsed) -> bool:
    """The texts are equal but for a negation and what goes with it (`do not`, `does`)."""
    extra = (a.stems ^ b.stems) - {
        stem(w) for w in _NEGATORS | {"do", "does", "did", "any", "is", "are"}
    }
    return len(extra) <= 1


_ALL = "all"
_QUANTIFIERS = {
    "all": _ALL, "every": _ALL, "each": _ALL, "everyone": _ALL, "everybody": _ALL, "everything": _ALL,
    "entire": _ALL, "whole": _ALL, "always": _ALL, "complete": _ALL, "both": "both",
    "some": "some", "several": "some", "few": "some", "sometimes": "some", "partly": "some", "partially": "some",
    "any": "any", "anyone": "any", "either": "any", "most": "most", "majority": "most", "mostly": "most",
    "only": "only", "just": "only", "single": "one", "once": "only", "solely": "only", "alone": "only",
    "one": "one", "none": "none", "no": "none", "half": "half", "another": "other", "other": "other", "others": "other",
}  # fmt: skip
_BOUNDS = (
    (
        re.compile(r" (?:at least|minimum|min|no less than|not less than|or more|minimal|lowest) "),
        "least",
    ),
    (
        re.compile(
            r" (?:at most|maximum|max|no more than|up to|or less|or fewer|maximal|limit|highest) "
        ),
        "most",
    ),
)


@lru_cache(maxsize=4096)
def quantifiers(p: Parsed) -> frozenset[str]:
    return frozenset(_QUANTIFIERS[w] for w in p.core if w in _QUANTIFIERS)


def quantifier(a: Parsed, b: Parsed) -> str | None:
    """One quantifier in the place of another; or one that limits (only, half, other) on one side."""
    if closeness(a, b) < GATE:
        return None
    x, y = quantifiers(a), quantifiers(b)
    left, right = x - y, y - x
    if left and right:
        return "quantifier"
    bounds = [{name for pattern, name in _BOUNDS if pattern.search(p.joined)} for p in (a, b)]
    if bounds[0] and bounds[1] and bounds[0] != bounds[1]:
        return "quantifier"
    return None


_TENSES = (
    ("future", frozenset(["will", "shall"])),
    ("past", frozenset(["did", "was", "were", "had"])),
    ("present", frozenset(["do", "does", "is", "are", "has", "have"])),
)
_WH = frozenset(
    ["what", "when", "where", "who", "why", "how", "which", "many", "much", "long", "often", "far"]
)
_FUTURE = re.compile(r" (?:going to|about to|plan to|planning to) ")


@lru_cache(maxsize=4096)
def head_tense(p: Parsed) -> str | None:
    """Tense of the first auxiliary, when the text begins as a question."""
    words = p.core
    if _FUTURE.search(p.joined):
        return "future"
    for i, word in enumerate(words[:7]):
        for name, group in _TENSES:
            if word in group:
                asked = i == 0 or words[0] in _WH
                return name if asked else None
    return None


def tense(a: Parsed, b: Parsed) -> str | None:
    x, y = head_tense(a), head_tense(b)
    return "tense" if x and y and x != y and closeness(a, b) >= GATE else None


@lru_cache(maxsize=4096)
def formats(p: Parsed) -> frozenset[str]:
    found = {FORMATS[s] for s in map(stem, p.core) if s in FORMATS}
    found |= {name for pattern, name in _SHAPES if pattern.search(p.joined)}
    return frozenset(found)


_SHAPES = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r" (?:one|a single|1) word ", "one-word"),
        (r" (?:one|a single|1|single) (?:sentence|line) ", "one-sentence"),
        (r" (?:step by step|numbered) ", "steps"),
        (r" (?:all caps|capital letters|uppercase|upper case) ", "caps"),
        (r" (?:in detail|detailed|details|long answer|full explanation) ", "long"),
        (
            r" (?:short answer|briefly|in brief|brief|shortly|concise|in short|keep it short) ",
            "short",
        ),
        (r" (?:no explanation|only code|just the code|code only|just code) ", "code-only"),
        (r" (?:(?:as|in|into) (?:an? )?(?:\w+ )?table|tabular|table format) ", "table"),
        (r" with (?:an )?examples? ", "example"),
    )
)


def requested_format(a: Parsed, b: Parsed) -> str | None:
    """The form of the answer (JSON, a table, one word) must be asked for in both texts."""
    return "format" if formats(a) != formats(b) else None
