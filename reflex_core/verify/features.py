"""Numbers that describe a pair: alignment of token vectors, and what the guards see short of a veto.

Alignment is late interaction weighted by idf, in both directions: how well each token of one text
is matched by its best partner in the other (design, section 5). All features are symmetric.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from . import polarity
from .guards.contrast import members, opposites
from .guards.edits import changed
from .guards.entities import missing_names, places
from .guards.numbers import quantities
from .guards.questions import kinds
from .guards.shades import formats, head_tense, negators, quantifiers
from .text import CLOSED, Parsed, closeness, stem

Floats = npt.NDArray[np.float32]

_DIRECTED = 11
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


def _inversions(near: Floats) -> float:
    """Share of neighbouring well-matched tokens whose partners stand the other way round."""
    order = near.argmax(1)[near.max(1) > 0.75]
    return float(np.mean(np.diff(order) < 0)) if len(order) > 1 else 0.0


def alignment(
    ids_a: npt.NDArray[np.int64], a: Floats, ids_b: npt.NDArray[np.int64], b: Floats, idf: Floats
) -> Floats:
    """`a` (n, dim) and `b` (m, dim) have unit rows; `idf` is indexed by word-piece id."""
    near = a @ b.T
    same = ids_a[:, None] == ids_b[None, :]
    one = _gaps(near.max(1), same.any(1), idf[ids_a])
    other = _gaps(near.max(0), same.any(0), idf[ids_b])
    inversions = (_inversions(near) + _inversions(near.T)) / 2
    n, m = len(ids_a), len(ids_b)
    tail = np.array(
        [inversions, min(n, m) / max(n, m), np.log1p(min(n, m)), np.log1p(max(n, m))], np.float32
    )
    return np.concatenate([np.minimum(one, other), np.maximum(one, other), tail])


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
    content = [frozenset(stem(w) for w in p.core if w not in CLOSED) for p in (a, b)]
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
    out += _substitution(a.core, b.core)
    out += polarity.differ(a, b)
    return np.minimum(np.array(out, np.float32), 4)


def _substitution(x: tuple[str, ...], y: tuple[str, ...]) -> list[float]:
    """The shape of a small edit (guards/edits.py), and content words that changed places."""
    left, right, kept = changed(x, y)
    share = kept / max(1, len(x), len(y))
    sizes = sorted((len(left), len(right)))
    pairs = [set(pairwise([stem(w) for w in s if w not in CLOSED])) for s in (x, y)]
    turned = sum((v, u) in pairs[1] for u, v in pairs[0] if u != v)
    return [share, float(min(sizes) > 0), float(sizes[0]), float(sizes[1]), float(turned)]
