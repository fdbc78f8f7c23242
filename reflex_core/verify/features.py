"""Numbers that describe a pair: alignment of token vectors, and what the guards see short of a veto.

Alignment is late interaction weighted by idf, in both directions: how well each token of one text
is matched by its best partner in the other (design, section 5). All features are symmetric.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .guards.contrast import members, opposites
from .guards.entities import missing_names, places
from .guards.numbers import quantities
from .guards.questions import kinds
from .guards.shades import formats, head_tense, negators, quantifiers
from .text import Parsed, closeness, stem

Floats = npt.NDArray[np.float32]

_DIRECTED = 11
_CLOSED = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "to",
        "in",
        "on",
        "at",
        "for",
        "from",
        "with",
        "by",
        "as",
        "and",
        "or",
        "but",
        "if",
        "then",
        "than",
        "that",
        "this",
        "these",
        "those",
        "it",
        "its",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "am",
        "do",
        "does",
        "did",
        "done",
        "have",
        "has",
        "had",
        "will",
        "would",
        "can",
        "could",
        "should",
        "may",
        "might",
        "must",
        "shall",
        "i",
        "me",
        "my",
        "mine",
        "you",
        "your",
        "we",
        "us",
        "our",
        "he",
        "him",
        "his",
        "she",
        "her",
        "they",
        "them",
        "their",
        "there",
        "here",
        "what",
        "which",
        "who",
        "whom",
        "whose",
        "when",
        "where",
        "why",
        "how",
        "not",
        "no",
        "so",
        "too",
        "very",
        "just",
        "also",
        "about",
        "into",
        "onto",
        "over",
        "under",
        "up",
        "down",
        "out",
        "off",
        "any",
        "some",
        "all",
        "each",
        "every",
    ]
)
_MODALS = frozenset(["can", "could", "should", "must", "may", "might", "shall", "need", "ought"])
_PERSONS = {"i": 1, "me": 1, "my": 1, "mine": 1, "myself": 1, "we": 1, "us": 1, "our": 1, "he": 3, "him": 3,
            "his": 3, "she": 3, "her": 3, "they": 3, "them": 3, "their": 3, "you": 2, "your": 2}  # fmt: skip
_PREPOSITIONS = frozenset(
    [
        "in",
        "on",
        "at",
        "for",
        "from",
        "with",
        "by",
        "into",
        "onto",
        "over",
        "under",
        "before",
        "after",
        "without",
        "within",
        "between",
        "during",
        "since",
        "until",
        "against",
        "through",
        "across",
        "behind",
        "above",
        "below",
        "inside",
        "outside",
        "near",
        "to",
        "of",
    ]
)


def _gaps(best: Floats, exact: npt.NDArray[np.bool_], idf: Floats) -> Floats:
    """One direction: statistics of the best similarity of each token, (_DIRECTED,)."""
    mass = float(idf.sum()) or 1.0
    gap = np.sort((1 - best) * idf)[::-1]
    lost = np.where(exact, 0, idf)
    worst = int(np.argmin(best + (idf < 0.2)))
    second = float(gap[1]) if len(gap) > 1 else 0.0
    return np.array(
        [
            float(best @ idf) / mass,
            best[worst],
            idf[worst],
            gap[0],
            second,
            gap.sum(),
            float(idf[best > 0.8].sum()) / mass,
            float(idf[best > 0.9].sum()) / mass,
            lost.sum() / mass,
            lost.max(),
            float(((1 - best) * lost).max()),
        ],
        np.float32,
    )


def alignment(
    ids_a: npt.NDArray[np.int64], a: Floats, ids_b: npt.NDArray[np.int64], b: Floats, idf: Floats
) -> Floats:
    """`a` (n, dim) and `b` (m, dim) have unit rows; `idf` is indexed by word-piece id."""
    near = a @ b.T
    same = ids_a[:, None] == ids_b[None, :]
    one = _gaps(near.max(1), same.any(1), idf[ids_a])
    other = _gaps(near.max(0), same.any(0), idf[ids_b])
    order = near.argmax(1)[near.max(1) > 0.75]
    inversions = float(np.mean(np.diff(order) < 0)) if len(order) > 1 else 0.0
    n, m = len(ids_a), len(ids_b)
    tail = [inversions, min(n, m) / max(n, m), np.log1p(min(n, m)), np.log1p(max(n, m))]
    return np.concatenate([np.minimum(one, other), np.maximum(one, other), np.float32(tail)])


def _differ(x: frozenset[str], y: frozenset[str]) -> tuple[float, float]:
    """Whether each text has what the other lacks; and how many are on one side only."""
    left, right = len(x - y), len(y - x)
    return float(min(left, right)), float(abs(left - right))


def flags(a: Parsed, b: Parsed) -> Floats:
    """What the guards see, counted instead of judged."""
    out: list[float] = [closeness(a, b), float(opposites(a, b)), float(len(missing_names(a, b)))]
    x, y = members(a), members(b)
    replaced = one_sided = 0.0
    for name in x.keys() | y.keys():
        both, extra = _differ(x.get(name, frozenset()), y.get(name, frozenset()))
        replaced += both
        one_sided += extra
    out += [replaced, one_sided]
    qa, qb = quantities(a), quantities(b)
    out += [
        float(len(qa.numbers ^ qb.numbers)),
        float(len(qa.units ^ qb.units)),
        float(len(qa.ids ^ qb.ids)),
    ]
    out += [float(len(places(a)[1] ^ places(b)[1]))]
    na, nb = negators(a), negators(b)
    out += [float((na[0] > 0) != (nb[0] > 0)), float(abs(na[0] - nb[0])), float(na[1] != nb[1])]
    out += [*_differ(quantifiers(a), quantifiers(b)), *_differ(kinds(a), kinds(b))]
    out += [*_differ(formats(a), formats(b)), float(head_tense(a) != head_tense(b))]
    for words in (_MODALS, _PREPOSITIONS):
        out += _differ(
            frozenset(w for w in a.core if w in words), frozenset(w for w in b.core if w in words)
        )
    persons = [frozenset(str(_PERSONS[w]) for w in p.core if w in _PERSONS) for p in (a, b)]
    out += _differ(*persons)
    content = [frozenset(stem(w) for w in p.core if w not in _CLOSED) for p in (a, b)]
    shared = len(content[0] & content[1])
    smaller, larger = sorted(map(len, content))
    out += [shared / max(1, smaller), shared / max(1, larger), *_differ(*content)]
    graded = [
        frozenset(w for w in p.core if len(w) > 4 and w.endswith(("er", "est"))) for p in (a, b)
    ]
    out += _differ(*graded)
    out += [
        float(sorted(a.core) == sorted(b.core)),
        float(bool(a.core and b.core and a.core[0] == b.core[0])),
    ]
    changed = _substitution(a.core, b.core)
    out += changed
    return np.minimum(np.array(out, np.float32), 4)


def _substitution(x: tuple[str, ...], y: tuple[str, ...]) -> list[float]:
    """A common beginning and end with something else between: the shape of a small edit."""
    head = 0
    while head < min(len(x), len(y)) and x[head] == y[head]:
        head += 1
    tail = 0
    while tail < min(len(x), len(y)) - head and x[-1 - tail] == y[-1 - tail]:
        tail += 1
    left, right = len(x) - head - tail, len(y) - head - tail
    kept = (head + tail) / max(1, len(x), len(y))
    return [kept, float(left > 0 and right > 0), float(min(left, right)), float(max(left, right))]
