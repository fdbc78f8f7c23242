"""What a lookup says of itself."""

from __future__ import annotations

from reflex_core.semantic_types import Candidate, Refusal, Trace, refuse

NEAR = Candidate(7, 12, 0.94213, 0.5, 0.9, "below-threshold")


def test_a_refusal_names_the_nearest_candidate() -> None:
    assert refuse("embed-queue-full").detail == "embed-queue-full"
    trace = Trace("below-threshold", (NEAR, Candidate(8, 13, 0.9)))
    assert Refusal(trace).detail == "below-threshold d=12 cos=0.942 score=0.500"


def test_a_candidate_that_was_not_verified_has_no_score() -> None:
    assert str(Candidate(7, 12, 0.94213)) == "d=12 cos=0.942"


def test_stages_take_seconds() -> None:
    assert refuse("text-too-long", embed=0.5).trace.seconds == {"embed": 0.5}
