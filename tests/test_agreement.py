"""Do two answers say the same? The rules, and how well they do on pairs of answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest

from reflex_core.agreement import (
    FAR,
    FAR_SENTENCES,
    MAX_SENTENCES,
    NEAR,
    Agreement,
    by_candidate,
    by_sentences,
    conflicting_numbers,
    conflicting_openings,
    sentences,
)
from reflex_core.backends.bit_index import BitIndex
from reflex_core.backends.memory_store import MemoryStore
from reflex_core.backends.onnx_embedder import OnnxEmbedder
from reflex_core.backends.onnx_files import bundled_model
from reflex_core.errors import BackendError
from reflex_core.judge import Judge
from reflex_core.ports import Embedder, Embedding, Verifier
from reflex_core.semantic import SemanticTier
from reflex_core.semantic_types import Candidate, Parts, Settings
from reflex_core.types import ChatRequest, Choice, Completion
from reflex_core.verify import ChainVerifier

from .embedders import bundled
from .semantic_parts import NumberVerifier, WordEmbedder

SAMPLES = Path(__file__).parent / "samples" / "answers.jsonl"
LONG_A = "Put the kettle on and wait. Warm the pot with hot water. Add one spoon of leaves a cup. "
LONG_B = "Stocks fell on Monday. Traders blamed the bank. Oil went up again. Bonds were quiet. "


@pytest.fixture
def make() -> Iterator[object]:
    tiers: list[SemanticTier] = []

    def maker(embedder: Embedder, verifier: Verifier | None) -> Agreement:
        def load() -> Parts:
            return Parts(embedder, BitIndex(embedder.dim, embedder.identity), verifier)

        tier = SemanticTier(MemoryStore(1 << 20), load, Settings())
        tiers.append(tier)
        tier.start()
        assert tier.wait(20)
        return Agreement(lambda: tier, None)

    yield maker
    for tier in tiers:
        tier.close()


def same(agreement: Agreement, one: str, other: str) -> bool | None:
    return asyncio.run(agreement.same("What?", one, other))


# ---------------------------------------------------------------------- the whole


def test_on_pairs_of_answers(make: object) -> None:
    """What it says is right but for a few; it often says nothing (docs/semantic.md, "Recheck")."""
    agreement = make(bundled(), ChainVerifier(None, 0.9))  # type: ignore[operator]
    seen: Counter[tuple[bool, bool | None]] = Counter()
    for line in SAMPLES.read_bytes().splitlines():
        row = orjson.loads(line)
        found = asyncio.run(agreement.same(row["question"], row["served"], row["fresh"]))
        seen[row["same"], found] += 1
    assert seen[True, False] == 0
    assert seen[False, True] <= 2
    assert seen[True, True] >= 25
    assert seen[False, False] >= 30


def test_long_answers(make: object) -> None:
    """Of those beyond the window sentences are compared."""
    bundled()
    agreement = make(OnnxEmbedder(bundled_model(), max_tokens=64), None)  # type: ignore[operator]
    tea = LONG_A * 10
    assert same(agreement, tea, tea.replace("Warm the pot", "Heat up the pot")) is True
    assert same(agreement, tea, LONG_B * 10) is None
    assert same(agreement, tea, "x y. " * (MAX_SENTENCES + 1) + LONG_B * 5) is None
    assert same(agreement, tea, "word " * 600) is None


def test_without_a_tier() -> None:
    agreement = Agreement(lambda: None, None)
    assert same(agreement, "It is  5 m.\n", "It is 5 m.") is True
    assert same(agreement, "It is 5 m.", "It is 6 m.") is None


def test_a_broken_tier(make: object) -> None:
    embedder = WordEmbedder()
    agreement = make(embedder, NumberVerifier())  # type: ignore[operator]
    embedder.failure = BackendError("gone")
    assert same(agreement, "red green", "red blue") is None


def test_a_judge_is_asked_instead() -> None:
    seen: list[ChatRequest] = []

    async def ask(request: ChatRequest) -> Completion:
        seen.append(request)
        return Completion("id", 1, "judge", (Choice(0, "no", finish_reason="stop"),))

    agreement = Agreement(lambda: None, Judge("judge", ask, 10, lambda: 0.0))
    assert same(agreement, "one", "one") is True
    assert seen == []
    assert same(agreement, "one", "two") is False
    assert len(seen) == 1


# ---------------------------------------------------------------------- the rules

FIVE = "these are five plain words"


def candidate(cosine: float, reason: str = "below-threshold") -> Candidate:
    return Candidate(0, 0, cosine, reason=reason)


@pytest.mark.parametrize(
    ("cosine", "reason", "expected"),
    [
        (NEAR, "below-threshold", True),
        (0.75, "verified", True),
        (0.75, "below-threshold", None),
        (0.95, "veto-quote", None),
        (0.99, "veto-negation", False),
        (0.99, "veto-antonym", False),
        (0.99, "veto-direction", False),
        (FAR - 0.01, "too-far", False),
        (FAR, "too-far", None),
    ],
)
def test_from_a_candidate(cosine: float, reason: str, expected: bool | None) -> None:
    assert by_candidate(FIVE, FIVE + " too", candidate(cosine, reason)) is expected


def test_numbers_and_openings_come_first() -> None:
    assert by_candidate("It is 5 m high.", "It is 6 m high.", candidate(0.99, "verified")) is False
    assert by_candidate("Yes, you can.", "No, you can not.", candidate(0.99, "verified")) is False


def test_a_bare_fact_is_far_from_a_lecture() -> None:
    assert by_candidate("Paris.", FIVE, candidate(0.2, "too-far")) is None
    assert by_candidate(FIVE, "word " * 40, candidate(0.2, "too-far")) is None


@pytest.mark.parametrize(
    ("one", "other", "conflict"),
    [
        ("5 m", "6 m", True),
        ("5 m", "5 m", False),
        ("330 m", "330 m, built in 1889", False),
        ("at 10:30", "at 10:45", True),
        ("3.1%", "3.10%", True),
        ("none", "6", False),
    ],
)
def test_conflicting_numbers(one: str, other: str, conflict: bool) -> None:
    assert conflicting_numbers(one, other) is conflict
    assert conflicting_numbers(other, one) is conflict


@pytest.mark.parametrize(
    ("one", "other", "conflict"),
    [
        ("Yes.", "No.", True),
        ("**Ja**, klar", "Nein", True),
        ("Yes", "Unfortunately not", True),
        ("Yes", "Yes, it is", False),
        ("Yes", "It is", False),
        ("", "No", False),
    ],
)
def test_conflicting_openings(one: str, other: str, conflict: bool) -> None:
    assert conflicting_openings(one, other) is conflict


def test_sentences() -> None:
    assert sentences("One. Two!\n\n- three\n---\n4.5 m? 是。 ") == [
        "One.",
        "Two!",
        "- three",
        "4.5 m?",
        "是。",
    ]
    assert sentences("...") == []


def test_sentences_need_vectors() -> None:
    (vector,) = WordEmbedder().embed(["red"])
    assert by_sentences([vector], [vector]) is True
    assert by_sentences([vector, None], [vector]) is None


def test_what_sentences_say() -> None:
    def at(*cosines: float) -> list[Embedding | None]:
        return [Embedding(np.array([c, (1 - c * c) ** 0.5], np.float32), b"") for c in cosines]

    assert by_sentences(at(1.0), at(NEAR + 0.01)) is True
    assert by_sentences(at(1.0), at(0.9, 0.6)) is None
    assert by_sentences(at(1.0), at(FAR_SENTENCES - 0.01, 0.1)) is False
