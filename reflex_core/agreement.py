"""Do two answers to one question say the same? Without a judge: from embeddings and the verifier.

That tells what is plain, and is meant to say nothing else:

    different   numbers on both sides that the other lacks; yes against no; a veto for negation,
                antonym or direction; or texts that are far apart
    same        equal texts; or none of these, near to each other, and no other veto
    unclear     all the rest, among it whatever is formatted or quoted differently

Answers beyond the embedder's window are compared sentence by sentence. Limits were chosen on
tests/samples/answers.jsonl (docs/semantic.md has the numbers).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import numpy as np

from .errors import BackendError
from .judge import Judge
from .ports import Embedding
from .semantic import SemanticTier
from .semantic_types import Candidate, Query

NEAR = 0.83
"""Cosine from which two answers say the same, when nothing speaks against it."""
FAR = 0.6
"""Cosine below which they do not, for answers of `MIN_WORDS` and more whose lengths do not differ by
more than `MAX_RATIO`: a bare fact and a lecture on it are far apart too."""
MIN_WORDS = 5
MAX_RATIO = 3
FAR_SENTENCES = 0.5
"""The same for the mean of the sentences' best cosines; long answers share much of their manner."""
MAX_SENTENCES = 40
PATIENCE = 10.0
"""Seconds: nobody waits for this."""

_DIFFERENT = frozenset(["veto-negation", "veto-antonym", "veto-direction"])
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")
_YES_WORDS = "yes yeah yep ja sí si oui sim да 是 はい"
_NO_WORDS = "no nope nein non não нет 不 いいえ unfortunately leider"
_OPENINGS: dict[str, bool] = {
    **dict.fromkeys(_YES_WORDS.split(), True),
    **dict.fromkeys(_NO_WORDS.split(), False),
}


class Agreement:
    """Lives on the event loop. None: unclear."""

    def __init__(self, tier: Callable[[], SemanticTier | None], judge: Judge | None) -> None:
        """`judge` None: embeddings and verifier are asked."""
        self._tier = tier
        self._judge = judge

    async def same(self, question: str, served: str, fresh: str) -> bool | None:
        """Do both answers to `question` say the same?"""
        if served.split() == fresh.split():
            return True
        if self._judge is not None:
            return await self._judge.same_answer(question, served, fresh)
        tier = self._tier()
        if tier is None:
            return None
        query = Query(b"", b"", fresh, 0.0)
        (candidate,) = await tier.compare(query, [served], PATIENCE)
        if candidate is not None:
            return by_candidate(served, fresh, candidate)
        texts = [sentences(served), sentences(fresh)]
        if max(map(len, texts)) > MAX_SENTENCES or not all(texts):
            return None
        try:
            made = await asyncio.to_thread(tier.embed, texts[0] + texts[1])
        except BackendError:
            return None
        return by_sentences(made[: len(texts[0])], made[len(texts[0]) :])


def by_candidate(served: str, fresh: str, candidate: Candidate) -> bool | None:
    """For answers that are short enough to be embedded whole; `candidate`: how they compare."""
    if conflicting_numbers(served, fresh) or conflicting_openings(served, fresh):
        return False
    if candidate.reason in _DIFFERENT:
        return False
    if candidate.accepted:
        return True
    if candidate.reason.startswith("veto-"):
        return None
    if candidate.cosine >= NEAR:
        return True
    shorter, longer = sorted(len(_WORD.findall(text)) for text in (served, fresh))
    alike = shorter >= MIN_WORDS and longer <= MAX_RATIO * shorter
    return False if candidate.cosine < FAR and alike else None


def by_sentences(served: list[Embedding | None], fresh: list[Embedding | None]) -> bool | None:
    """From the sentences' vectors; None where one of them is too long as well."""
    one = [embedding.vector for embedding in served if embedding is not None]
    other = [embedding.vector for embedding in fresh if embedding is not None]
    if len(one) < len(served) or len(other) < len(fresh):
        return None
    near = np.stack(one) @ np.stack(other).T
    coverage = float(near.max(1).mean()), float(near.max(0).mean())
    if min(coverage) >= NEAR:
        return True
    return False if max(coverage) < FAR_SENTENCES else None


def sentences(text: str) -> list[str]:
    """Those with a word in them."""
    return [part.strip() for part in _SENTENCE.split(text) if _WORD.search(part)]


def conflicting_numbers(one: str, other: str) -> bool:
    """Each side has a number that the other has not: more than detail."""
    a, b = set(_NUMBER.findall(one)), set(_NUMBER.findall(other))
    return bool(a - b and b - a)


def conflicting_openings(one: str, other: str) -> bool:
    """One begins with yes, the other with no."""
    a, b = _opening(one), _opening(other)
    return a is not None and b is not None and a is not b


def _opening(text: str) -> bool | None:
    first = _WORD.search(text)
    return _OPENINGS.get(first[0].casefold()) if first else None
