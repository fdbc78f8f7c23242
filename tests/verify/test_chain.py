"""The whole verifier on real token vectors of the bundled embedder."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reflex_core.backends.onnx_embedder import OnnxEmbedder
from reflex_core.backends.onnx_files import bundled_model
from reflex_core.errors import BackendError
from reflex_core.ports import Embedding
from reflex_core.verify.calibration import Calibration
from reflex_core.verify.chain import ChainVerifier
from reflex_core.verify.model import WEIGHTS, Scorer, shipped

NOTHING = Embedding(np.zeros(384, np.float32), b"")


@pytest.fixture(scope="module")
def embed():
    model = OnnxEmbedder(bundled_model())
    return lru_cache(maxsize=None)(lambda text: model.embed([text])[0])


@pytest.fixture(scope="module")
def verifier():
    return ChainVerifier(shipped(), Calibration.load(WEIGHTS).threshold_for(0.01))


def judge(verifier, embed, asked, stored):
    one, other = embed(asked), embed(stored)
    if one is None or other is None:
        return verifier.verify(asked, NOTHING, stored, b"", 0.0)
    return verifier.verify(asked, one, stored, other.tokens, float(one.vector @ other.vector))


SERVED = [
    ("How do I reset my password?", "how do i reset my password"),
    ("How do I reset my password?", "I forgot my password, how can I reset it?"),
    ("What is the capital of Peru?", "Tell me the capital city of Peru"),
    ("How long do I boil an egg?", "How many minutes should an egg boil for?"),
]
REFUSED = [
    ("How long do I boil an egg?", "What makes boiled eggs easy to peel?", "below-threshold"),
    ("Flights from Rome to Oslo", "Flights from Oslo to Rome", "veto-direction"),
    ("Can I take it for 5 days?", "Can I take it for 7 days?", "veto-number"),
    ("Wie lange kocht ein Ei?", "Wie lange muss ein Ei kochen?", "other-language"),
]


@pytest.mark.parametrize(("asked", "stored"), SERVED[:1] + SERVED[2:3])
def test_serves(verifier, embed, asked, stored):
    assert judge(verifier, embed, asked, stored).accepted
    assert judge(verifier, embed, stored, asked).accepted


def test_serves_most_rewordings(verifier, embed):
    assert sum(judge(verifier, embed, a, b).accepted for a, b in SERVED) >= 3


@pytest.mark.parametrize(("asked", "stored", "reason"), REFUSED)
def test_refuses_with_a_reason(verifier, embed, asked, stored, reason):
    verdict = judge(verifier, embed, asked, stored)
    assert not verdict.accepted
    assert verdict.reason.startswith(reason.split("-")[0])


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_never_raises_and_is_symmetric(verifier, embed, one, other):
    verdict = judge(verifier, embed, one, other)
    back = judge(verifier, embed, other, one)
    assert verdict.accepted == back.accepted
    assert 0 <= verdict.score <= 1
    assert judge(verifier, embed, one, one).accepted


@given(st.binary(max_size=60))
def test_damaged_token_vectors_are_a_refusal(verifier, embed, junk):
    asked = "How do plants make sugar?"
    verdict = verifier.verify(asked, embed(asked), "How is sugar made by plants?", junk, 0.9)
    assert (verdict.accepted, verdict.reason) == (False, "no-token-vectors")


def test_without_weights_only_repeats_pass(embed):
    verifier = ChainVerifier(None, 0.5)
    assert judge(verifier, embed, "What is tea?", "what is tea").reason == "verified-same"
    assert not judge(verifier, embed, *SERVED[1]).accepted


def test_long_questions_have_their_own_threshold(embed):
    long = "I have a question about the garden. " * 10
    asked, stored = long + "When do I plant beans?", long + "When should I sow beans?"
    verdict = judge(ChainVerifier(shipped(), 0.0, 0.9999), embed, asked, stored)
    assert verdict.threshold == 0.9999


def test_texts_that_are_too_long_pass_only_unchanged(verifier):
    long = "word " * 200
    assert verifier.verify(long, NOTHING, long + "\n", b"", 1.0).accepted
    verdict = verifier.verify(long, NOTHING, long + "more", b"", 1.0)
    assert (verdict.accepted, verdict.reason) == (False, "text-too-long")


def test_scores_are_deterministic(verifier, embed):
    scores = {judge(verifier, embed, *SERVED[3]).score for _ in range(3)}
    assert len(scores) == 1


def test_weights_that_are_not_ours(tmp_path):
    with pytest.raises(BackendError):
        Scorer(tmp_path)
    (tmp_path / "weights.npz").write_bytes(b"junk")
    with pytest.raises(BackendError):
        Scorer(tmp_path)
    np.savez(tmp_path / "weights.npz", format=np.int32(99))
    with pytest.raises(BackendError):
        Scorer(tmp_path)


def test_a_doubt_asks_for_more(embed):
    """A pair that a guard doubts needs a higher score, and is refused with the guard's reason."""
    lenient, strict = (ChainVerifier(shipped(), t) for t in (0.0, 0.9999))
    pair = ("how do I mock a function", "In Jest, how do I replace a function with a fake one?")
    passed = judge(lenient, embed, *pair)
    assert passed.accepted
    refused = judge(strict, embed, *pair)
    assert (refused.accepted, refused.reason) == (False, "veto-name")
    assert refused.score == passed.score


def test_in_long_texts_a_doubt_is_a_veto(embed):
    lenient = ChainVerifier(shipped(), 0.0)
    stored = "how do I replace a function with a fake one in a test of mine"
    asked = "In Jest, what do I do to replace a function with a fake one in a test"
    more = (
        ", given that the function sits in another file and that the other tests need it as it is"
    )
    short = judge(lenient, embed, asked, stored)
    assert short.accepted
    assert short.score > 0
    long = judge(lenient, embed, asked + more, stored + more)
    assert (long.accepted, long.score, long.reason) == (False, 0.0, "veto-name")
