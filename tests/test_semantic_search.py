"""Search: which stored answer is served, and why others are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from reflex_core import codec_store
from reflex_core.backends.memory_store import MemoryStore
from reflex_core.backends.sqlite import SqliteStore
from reflex_core.controls import Controls
from reflex_core.errors import BackendError
from reflex_core.ports import Embedding, Entry, Store, Vectors
from reflex_core.semantic_search import Search
from reflex_core.semantic_types import Refusal, SemanticHit, Settings

from .semantic_parts import (
    NOW,
    BrokenVerifier,
    NumberVerifier,
    WordEmbedder,
    a_query,
    an_entry,
    parts,
)

SETTINGS = Settings(min_cosine=0.3, verified=3)


class Bench:
    """A store and an index with answers in them."""

    def __init__(self, store: Store, verifier: object = None) -> None:
        self.store = store
        self.embedder = WordEmbedder()
        self.verifier = NumberVerifier() if verifier is None else verifier
        self.gone: list[int] = []
        self.parts = parts(self.embedder, verifier=self.verifier)
        self.search = Search(store, self.parts, SETTINGS, self.gone.extend)

    def embed(self, text: str) -> Embedding:
        (found,) = self.embedder.embed([text])
        assert found is not None
        return found

    def put(self, *entries: Entry) -> list[int]:
        ids = self.store.put(entries)
        for id, entry in zip(ids, entries, strict=True):
            made = self.embed(entry.question or "nothing")
            half = made.vector.astype("<f2").tobytes()
            row = Vectors(id, entry.scope, self.embedder.identity, half, made.tokens)
            self.store.put_vectors([row])
            self.parts.index.add([id], [entry.scope], made.vector[None, :])
        return ids

    def find(self, text: str, **fields: object) -> SemanticHit | Refusal:
        return self.search.find(a_query(text, **fields), self.embed(text))

    def hit(self, text: str, **fields: object) -> SemanticHit:
        found = self.find(text, **fields)
        assert isinstance(found, SemanticHit)
        return found

    def refused(self, text: str, **fields: object) -> Refusal:
        found = self.find(text, **fields)
        assert isinstance(found, Refusal)
        return found


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = (
        MemoryStore(1 << 30)
        if request.param == "memory"
        else SqliteStore(tmp_path, 1 << 30, log=pytest.fail)
    )
    yield made
    made.close()


@pytest.fixture
def bench(store: Store) -> Bench:
    return Bench(store)


def test_the_answer_to_the_nearest_question_is_served(bench: Bench) -> None:
    bench.put(an_entry("red green blue"), an_entry("red green blue sky"), an_entry("wide sea"))
    found = bench.hit("red green blue sky please")
    assert found.status == "hit-l3-verified"
    assert found.entry.question == "red green blue sky"
    assert found.completion == codec_store.load(found.entry.completion)
    assert found.detail == str(found.candidate)
    assert found.trace.reason == "verified"
    assert {"search", "rescore", "verify"} == set(found.trace.seconds)


def test_cosines_are_those_of_the_vectors(bench: Bench) -> None:
    bench.put(an_entry("red green blue"))
    found = bench.hit("red green sky")
    one, other = bench.embed("red green blue"), bench.embed("red green sky")
    assert found.candidate.cosine == pytest.approx(float(one.vector @ other.vector), abs=2e-3)
    assert found.candidate.distance == int(((one.vector > 0) != (other.vector > 0)).sum())
    assert (found.candidate.score, found.candidate.threshold) == (0.9, 0.5)


def test_the_verifier_sees_the_stored_question_and_its_tokens(bench: Bench) -> None:
    bench.put(an_entry("red green"))
    bench.hit("green red")
    assert isinstance(bench.verifier, NumberVerifier)
    assert bench.verifier.seen == [("green red", "red green", b"red green")]


def test_a_refused_candidate_makes_way_for_the_next(bench: Bench) -> None:
    bench.put(an_entry("pay 20 now please"), an_entry("pay now please thanks"))
    found = bench.hit("pay now please")
    assert found.entry.question == "pay now please thanks"
    refused = bench.refused("pay 7 now please")
    assert refused.trace.reason == "veto-number"
    assert refused.detail.startswith("veto-number d=")
    assert refused.detail.endswith("score=0.000")
    assert [c.reason for c in refused.trace.candidates] == ["veto-number", "veto-number"]


def test_only_the_nearest_few_are_verified(bench: Bench) -> None:
    bench.put(*[an_entry(f"pay the bill {n} now") for n in range(10, 16)])
    refused = bench.refused("pay the bill now")
    assert len(refused.trace.candidates) == 3
    assert isinstance(bench.verifier, NumberVerifier)
    assert len(bench.verifier.seen) == 3


def test_nothing_near(bench: Bench) -> None:
    assert bench.refused("red green").detail == "no-neighbour"
    bench.put(an_entry("one two three"))
    refused = bench.refused("red green")
    assert refused.trace.reason == "too-far"
    assert refused.detail.startswith("too-far d=")


def test_other_scopes_and_tenants_are_never_served(bench: Bench) -> None:
    bench.put(an_entry("red green", scope=b"o" * 32))
    assert bench.refused("red green").detail == "no-neighbour"
    bench.put(an_entry("red blue", tenant=b"o" * 16))
    assert bench.refused("red blue").trace.reason == "other-scope"


def test_a_scope_that_shares_its_first_bytes_is_another(bench: Bench) -> None:
    bench.put(an_entry("red green", scope=b"s" * 31 + b"x"))
    assert bench.refused("red green").trace.reason == "other-scope"


def test_expired_entries_are_refused_and_leave_the_index(bench: Bench) -> None:
    (id,) = bench.put(an_entry("red green", expires=NOW + 10))
    assert bench.hit("red green").entry.id == id
    assert bench.refused("red green", now=NOW + 10).trace.reason == "expired"
    assert bench.gone == [id]


def test_entries_that_are_gone_leave_the_index(bench: Bench) -> None:
    (id,) = bench.put(an_entry("red green"))
    bench.store.purge(everything=True)
    assert bench.refused("red green").detail == "no-neighbour"
    assert bench.gone == [id]


def test_a_reader_who_wants_a_fresh_answer(bench: Bench) -> None:
    bench.put(an_entry("red green"))
    fresh = Controls(max_age=5)
    assert bench.hit("red green", now=NOW + 5, wishes=fresh).entry.question == "red green"
    assert bench.refused("red green", now=NOW + 6, wishes=fresh).trace.reason == "too-old"
    assert bench.gone == []


def test_banned_entries_are_passed_over(bench: Bench) -> None:
    bench.put(an_entry("red green"), an_entry("red green sky"))
    first = bench.hit("red green")
    second = bench.hit("red green", banned=frozenset([first.entry.key]))
    assert second.entry.question == "red green sky"
    assert [c.reason for c in second.trace.candidates] == ["verified", "marked-wrong"]


def test_entries_for_the_exact_key_only(bench: Bench) -> None:
    bench.put(an_entry("red green", exact_only=True), an_entry(None))
    assert bench.refused("red green").trace.reason == "exact-only"
    assert bench.refused("nothing").trace.reason == "exact-only"


def test_vectors_of_another_embedder_are_not_compared(bench: Bench) -> None:
    (id,) = bench.put(an_entry("red green"))
    half = bench.embed("red green").vector.astype("<f2").tobytes()
    bench.store.put_vectors([Vectors(id, b"s" * 32, "other", half, b"")])
    assert bench.refused("red green").detail == "no-neighbour"
    bench.store.put_vectors([Vectors(id, b"s" * 32, "words", half[:-2], b"")])
    assert bench.refused("red green").detail == "no-neighbour"


def test_without_a_verifier_the_cosine_decides(store: Store) -> None:
    bench = Bench(store)
    bench.search = Search(store, parts(bench.embedder, verifier=None), SETTINGS)
    bench.parts = parts(bench.embedder, index=bench.search._index)
    bench.put(an_entry("one two three four five six seven eight nine ten"))
    same = bench.hit("two one three four five six seven eight nine ten")
    assert same.status == "hit-l2-semantic"
    assert "score" not in same.detail
    near = bench.refused("one two three four five six seven red green")
    assert near.trace.reason == "too-far"
    assert near.trace.candidates[0].threshold == 0.95


def test_a_verifier_that_fails_is_a_backend_error(store: Store) -> None:
    bench = Bench(store, BrokenVerifier())
    bench.put(an_entry("red green"))
    with pytest.raises(BackendError):
        bench.find("red green")


def test_the_nearest_by_cosine_need_not_be_the_nearest_by_bits(bench: Bench) -> None:
    rng = np.random.default_rng(3)
    questions = [f"w{a} w{b} w{c}" for a, b, c in rng.integers(0, 12, (60, 3))]
    bench.put(*[an_entry(question) for question in dict.fromkeys(questions)])
    asked = bench.embed("w1 w2 w3 w4").vector
    wanted = max(float(asked @ bench.embed(question).vector) for question in questions)
    nearest = bench.refused("w1 w2 w3 w4").trace.candidates[0]
    assert nearest.cosine == pytest.approx(wanted, abs=2e-3)
