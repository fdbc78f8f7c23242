"""May the answer to one text be served for another? What is known of the pair, then the verifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .ports import Embedding, Verifier
from .semantic_types import Candidate, Query, Settings

Tightened = Callable[[float], float]
"""From a threshold to the one that counts: see wrong_rate.py."""


class Gate:
    """Thread-safe."""

    def __init__(
        self,
        verifier: Verifier | None,
        settings: Settings,
        tightened: Tightened = lambda threshold: threshold,
    ) -> None:
        self.verifier = verifier
        self._settings = settings
        self._tightened = tightened

    def decide(
        self, query: Query, embedding: Embedding, stored: str, tokens: bytes, candidate: Candidate
    ) -> Candidate:
        """`candidate` with its reason; see `Candidate.accepted`. `tokens` are those of `stored`.

        What a judge said of this pair (`query.judged`) comes before what the verifier says.
        """
        known = query.judged(stored)
        if known is not None:
            return replace(candidate, reason="judged" if known else "judged-different")
        if self.verifier is None:
            return self._by_cosine(candidate)
        verdict = self.verifier.verify(query.text, embedding, stored, tokens, candidate.cosine)
        limit, reason = verdict.threshold, verdict.reason
        if verdict.accepted or reason == "below-threshold":
            limit = self._tightened(limit)
        if verdict.accepted:
            reason = "verified" if verdict.score >= limit else "below-threshold"
        return replace(candidate, score=verdict.score, threshold=limit, reason=reason)

    def _by_cosine(self, candidate: Candidate) -> Candidate:
        limit = self._tightened(self._settings.unverified_cosine)
        reason = "verified" if candidate.cosine >= limit else "too-far"
        return replace(candidate, threshold=limit, reason=reason)
