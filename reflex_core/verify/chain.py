"""The chain: repeats, vetoes, then the learned verifier, which doubts make harder to please."""

from __future__ import annotations

from ..errors import BackendError
from ..ports import Embedding, Verdict
from ..token_vectors import unpack
from .calibration import CEILING, doubted
from .domain import is_english, is_long, is_too_long
from .guards import DOUBTS, LITERAL, first_veto, small_edit
from .model import Scorer, unit_rows
from .repeat import is_repeat, is_same_text, is_same_wording
from .text import Parsed, parse

_DOUBTED_WORDS = 30
"""In longer texts one word more or less drowns, so that a doubt is a veto."""


class ChainVerifier:
    """The Verifier port. Thread-safe.

    Reasons: "verified", "verified-same" (the same question typed again), "veto-…" (guards),
    "other-language", "text-too-long", "no-token-vectors", "below-threshold". `scorer` None: the
    embedder's token vectors are not those it was trained on, so that only repeats pass.
    """

    def __init__(
        self, scorer: Scorer | None, threshold: float, long_threshold: float | None = None
    ) -> None:
        self._scorer = scorer
        self.threshold = threshold
        self._long_threshold = threshold if long_threshold is None else long_threshold

    def verify(
        self,
        asked: str,
        asked_embedding: Embedding,
        stored: str,
        stored_tokens: bytes,
        cosine: float,
    ) -> Verdict:
        if asked == stored:
            return Verdict(True, 1.0, "verified-same", self.threshold)
        if is_too_long(asked) or is_too_long(stored):
            same = asked.split() == stored.split()
            reason = "verified-same" if same else "text-too-long"
            return Verdict(same, float(same), reason, self.threshold)
        a, b = parse(asked), parse(stored)
        early = self._without_vectors(a, b)
        if early is not None:
            return early
        doubt = first_veto(a, b, DOUBTS)
        long = is_long(a) or is_long(b)
        if doubt is not None and max(len(a.words), len(b.words)) > _DOUBTED_WORDS:
            return Verdict(False, 0.0, doubt, self.threshold)
        score = self._score(a, b, asked_embedding.tokens, stored_tokens, cosine)
        if score is None:
            return Verdict(False, 0.0, doubt or "no-token-vectors", self.threshold)
        score = score if doubt is None else doubted(score)
        limit = self._long_threshold if long else self.threshold
        accepted = score >= limit
        return Verdict(
            accepted, score, "verified" if accepted else doubt or "below-threshold", limit
        )

    def _without_vectors(self, a: Parsed, b: Parsed) -> Verdict | None:
        """What the texts alone decide."""
        limit = self.threshold
        if not is_english(a) or not is_english(b):
            same = is_same_text(a, b) and first_veto(a, b, LITERAL) is None
            return Verdict(same, float(same), "verified-same" if same else "other-language", limit)
        veto = first_veto(a, b, LITERAL)
        if veto is None and is_same_wording(a, b):
            return Verdict(True, 1.0, "verified-same", limit)
        veto = veto or first_veto(a, b)
        if veto is not None:
            return Verdict(False, 0.0, veto, limit)
        if is_repeat(a, b):
            return Verdict(True, 1.0, "verified-same", limit)
        edit = first_veto(a, b, (small_edit,))
        return None if edit is None else Verdict(False, 0.0, edit, limit)

    def _score(
        self, a: Parsed, b: Parsed, asked: bytes, stored: bytes, cosine: float
    ) -> float | None:
        scorer = self._scorer
        if scorer is None or not asked or not stored:
            return None
        try:
            ids_a, rows_a = unpack(asked)
            ids_b, rows_b = unpack(stored)
        except BackendError:
            return None
        known = len(scorer.idf)
        for ids, rows in ((ids_a, rows_a), (ids_b, rows_b)):
            if not len(ids) or rows.shape[1] != scorer.dim or ids.max() >= known:
                return None
        return min(
            scorer.score(a, b, ids_a, unit_rows(rows_a), ids_b, unit_rows(rows_b), cosine), CEILING
        )
