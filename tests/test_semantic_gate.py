"""The gate: what is known of a pair, the verifier, and thresholds that have been tightened."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reflex_core.ports import Embedding, Verdict
from reflex_core.semantic_gate import Gate
from reflex_core.semantic_types import Candidate, Settings

from .semantic_parts import WordEmbedder, a_query

NEAR = Candidate(7, 3, 0.96)
SETTINGS = Settings(unverified_cosine=0.95)


class Says:
    """A verifier with one opinion."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.asked = 0

    def verify(self, *texts: object) -> Verdict:
        self.asked += 1
        return self.verdict


def decide(
    verifier: Says | None,
    tightened: Callable[[float], float] = lambda threshold: threshold,
    judged: Callable[[str], bool | None] = lambda stored: None,
) -> Candidate:
    embedding = WordEmbedder().embed(["red"])[0]
    assert isinstance(embedding, Embedding)
    gate = Gate(verifier, SETTINGS, tightened)
    return gate.decide(a_query("red", judged=judged), embedding, "red rose", b"", NEAR)


def halved(threshold: float) -> float:
    return 1 - (1 - threshold) / 2


ACCEPTED = Verdict(True, 0.85, "verified", 0.8)
REFUSED = Verdict(False, 0.7, "below-threshold", 0.8)
VETOED = Verdict(False, 0.0, "veto-number", 0.8)


@pytest.mark.parametrize(
    ("verdict", "tightened", "reason", "threshold"),
    [
        (ACCEPTED, lambda t: t, "verified", 0.8),
        (ACCEPTED, halved, "below-threshold", 0.9),
        (Verdict(True, 1.0, "verified-same", 0.8), halved, "verified", 0.9),
        (REFUSED, halved, "below-threshold", 0.9),
        (VETOED, halved, "veto-number", 0.8),
    ],
)
def test_what_the_verifier_says(
    verdict: Verdict, tightened: Callable[[float], float], reason: str, threshold: float
) -> None:
    found = decide(Says(verdict), tightened)
    assert (found.reason, found.score) == (reason, verdict.score)
    assert found.threshold == pytest.approx(threshold)
    assert found.accepted is (reason == "verified")


@pytest.mark.parametrize(("known", "reason"), [(True, "judged"), (False, "judged-different")])
@pytest.mark.parametrize("verifier", [None, Says(REFUSED), Says(ACCEPTED)])
def test_what_is_known_of_the_pair_comes_first(
    known: bool, reason: str, verifier: Says | None
) -> None:
    asked: list[str] = []

    def judged(stored: str) -> bool:
        asked.append(stored)
        return known

    found = decide(verifier, judged=judged)
    assert (found.reason, found.accepted) == (reason, known)
    assert asked == ["red rose"]
    assert verifier is None or verifier.asked == 0


def test_without_a_verifier_the_cosine_decides() -> None:
    assert decide(None).accepted
    stricter = decide(None, halved)
    assert (stricter.reason, stricter.threshold) == ("too-far", pytest.approx(0.975))
