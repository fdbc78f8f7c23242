"""The tier as a whole: what a request sees."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reflex_core.backends.bit_index import BitIndex
from reflex_core.backends.memory_store import MemoryStore
from reflex_core.backends.sqlite import SqliteStore
from reflex_core.errors import BackendError, ConfigError
from reflex_core.ports import Entry, Store
from reflex_core.semantic import SemanticTier
from reflex_core.semantic_types import Parts, Refusal, SemanticHit, Settings

from .embedders import bundled
from .semantic_parts import BrokenVerifier, NumberVerifier, WordEmbedder, a_query, an_entry, parts

WAIT = 10.0
SETTINGS = Settings(min_cosine=0.3, timeout=WAIT, retry=0.02)


class Bench:
    def __init__(self, store: Store, load: Callable[[], Parts | None], settings: Settings) -> None:
        self.store = store
        self.tier = SemanticTier(store, load, settings)

    def start(self) -> None:
        self.tier.start()
        assert self.tier.wait(WAIT)

    def put(self, *entries: Entry) -> list[int]:
        found = self.store.put(entries)
        stored = [self.store.get_by_id(id, 0) for id in found]
        self.tier.note_stored([entry for entry in stored if entry is not None])
        assert self.tier.flush(WAIT)
        return found

    def ask(self, text: str, **fields: object) -> SemanticHit | Refusal:
        return asyncio.run(self.tier.lookup(a_query(text, **fields)))


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[tuple[Bench, list[WordEmbedder]]] = []

    def maker(
        load: Parts | Callable[[], Parts | None], store: Store | None = None, **settings: float
    ) -> Bench:
        embedders: list[WordEmbedder] = []

        def loader() -> Parts | None:
            found = load if isinstance(load, Parts) else load()
            if found is not None and isinstance(found.embedder, WordEmbedder):
                embedders.append(found.embedder)
            return found

        options = replace(SETTINGS, **settings)  # type: ignore[arg-type]
        bench = Bench(store or MemoryStore(1 << 30), loader, options)
        made.append((bench, embedders))
        return bench

    yield maker
    for bench, embedders in made:
        for embedder in embedders:
            embedder.go.set()
        bench.tier.close()
        bench.store.close()


def test_a_similar_question_is_answered(make: Callable[..., Bench]) -> None:
    bench = make(parts())
    bench.start()
    bench.put(an_entry("red green blue"))
    found = bench.ask("red green blue sky")
    assert isinstance(found, SemanticHit)
    assert found.status == "hit-l3-verified"
    assert {"wait", "embed", "search", "rescore", "verify"} == set(found.trace.seconds)
    assert bench.tier.reasons == {"verified": 1}


def test_removed_answers_are_not_served(make: Callable[..., Bench]) -> None:
    bench = make(parts())
    bench.start()
    ids = bench.put(an_entry("red green"))
    bench.tier.note_removed(ids)
    assert bench.tier.flush(WAIT)
    assert bench.ask("red green").detail == "no-neighbour"


def test_a_question_is_embedded_once_for_lookup_and_storing(make: Callable[..., Bench]) -> None:
    embedder = WordEmbedder()
    bench = make(parts(embedder))
    bench.start()
    assert bench.ask("red green").detail == "no-neighbour"
    bench.put(an_entry("red green"))
    assert isinstance(bench.ask("red green"), SemanticHit)
    assert embedder.asked == [["red green"]]
    bench.tier.forget()
    bench.ask("red green")
    assert embedder.asked == [["red green"]] * 2


def test_long_texts(make: Callable[..., Bench]) -> None:
    bench = make(parts())
    bench.start()
    assert bench.ask("x " * 21).detail == "text-too-long"


def test_before_it_is_started_and_while_it_builds(make: Callable[..., Bench]) -> None:
    embedder = WordEmbedder()
    embedder.go.clear()
    bench = make(parts(embedder))
    bench.store.put([an_entry("red green")])
    assert bench.ask("red green").detail == "index-building"
    assert bench.tier.states() == {
        "index": "pending",
        "embedding": "pending",
        "embedder_mode": "none",
    }
    bench.tier.start()
    assert embedder.entered.acquire(timeout=WAIT)
    assert bench.ask("red green").detail == "index-building"
    assert bench.tier.states()["index"] == "pending"
    embedder.go.set()
    assert bench.tier.wait(WAIT)
    assert isinstance(bench.ask("red green"), SemanticHit)
    assert bench.tier.states() == {"index": "ready", "embedding": "ready", "embedder_mode": "stub"}


def test_a_full_queue_sends_the_request_on(make: Callable[..., Bench]) -> None:
    embedder = WordEmbedder()
    bench = make(parts(embedder), threads=1, queue=2)
    bench.start()
    embedder.go.clear()

    async def ask() -> list[str]:
        asked = [
            asyncio.create_task(bench.tier.lookup(a_query(text))) for text in ("a", "b", "c", "d")
        ]
        done, _ = await asyncio.wait(asked[2:], timeout=WAIT)
        embedder.go.set()
        await asyncio.gather(*asked)
        return [task.result().detail for task in done]

    assert asyncio.run(ask()) == ["embed-queue-full"] * 2


def test_a_slow_lookup_is_given_up(make: Callable[..., Bench]) -> None:
    embedder = WordEmbedder()
    bench = make(parts(embedder), timeout=0.01)
    bench.start()
    embedder.go.clear()
    assert bench.ask("red green").detail == "lookup-timeout"
    embedder.go.set()
    bench.put(an_entry("red green"))
    assert embedder.asked[0] == ["red green"]


def test_a_client_that_leaves(make: Callable[..., Bench]) -> None:
    embedder = WordEmbedder()
    bench = make(parts(embedder))
    bench.start()
    embedder.go.clear()

    async def leave() -> None:
        task = asyncio.create_task(bench.tier.lookup(a_query("red")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    embedder.go.set()
    assert bench.ask("green").detail == "no-neighbour"


@pytest.mark.parametrize("failure", [BackendError("down"), RuntimeError("odd")])
def test_whatever_breaks_is_a_reason(make: Callable[..., Bench], failure: Exception) -> None:
    embedder, verifier = WordEmbedder(), NumberVerifier()
    bench = make(parts(embedder, verifier=verifier))
    bench.start()
    bench.put(an_entry("red green"))
    verifier.failure = failure
    assert bench.ask("red green").detail == "lookup-failed"
    verifier.failure = None
    embedder.failure = failure
    assert bench.ask("blue").detail == "lookup-failed"
    embedder.failure = None
    assert isinstance(bench.ask("red green"), SemanticHit)


def test_a_broken_store_is_a_reason(make: Callable[..., Bench]) -> None:
    bench = make(parts(verifier=BrokenVerifier()))
    bench.start()
    bench.put(an_entry("red green"))
    assert bench.ask("red green").detail == "lookup-failed"


def test_nothing_to_load_is_off(make: Callable[..., Bench]) -> None:
    bench = make(lambda: None)
    bench.start()
    assert bench.ask("red").detail == "semantic-off"
    assert bench.tier.states() == {"index": "off", "embedding": "off", "embedder_mode": "none"}
    bench.tier.note_stored([an_entry("red")])
    bench.tier.note_removed([1])
    bench.tier.forget()
    assert bench.tier.stats() == {"state": "off", "lookups semantic-off": 1}


@pytest.mark.parametrize("failure", [ConfigError("no such model"), RuntimeError("odd")])
def test_what_cannot_be_loaded_is_said_once(
    make: Callable[..., Bench], caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    def load() -> Parts | None:
        raise failure

    bench = make(load)
    bench.start()
    assert bench.tier.state() == "error"
    assert bench.ask("red").detail == "semantic-unavailable"
    assert caplog.text.count(str(failure)) >= 1


def test_what_fails_to_load_is_tried_again(
    make: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[int] = []
    third = threading.Event()

    def load() -> Parts | None:
        tries.append(1)
        if len(tries) < 3:
            raise BackendError("endpoint down")
        third.set()
        return parts()

    bench = make(load)
    with caplog.at_level(logging.WARNING, "reflex"):
        bench.tier.start()
        assert third.wait(WAIT)
    assert caplog.text.count("endpoint down") == 1
    tick = threading.Event()
    for _ in range(1000):
        if bench.tier.state() == "ready":
            break
        tick.wait(0.01)
    assert bench.tier.state() == "ready"


def test_stats_are_flat(make: Callable[..., Bench]) -> None:
    bench = make(parts())
    bench.start()
    bench.put(an_entry("red green"))
    bench.ask("red green")
    stats = bench.tier.stats()
    assert {"embedder", "index entries", "index bytes", "embed cached", "lookups verified"} < set(
        stats
    )
    assert all(isinstance(value, int | float | str) for value in stats.values())


def test_a_restart_with_the_bundled_model_and_files(
    make: Callable[..., Bench], tmp_path: Path
) -> None:
    embedder = bundled()

    def load() -> Parts:
        index = BitIndex(embedder.dim, embedder.identity, path=tmp_path / "index")
        return Parts(embedder, index, NumberVerifier())

    first = make(load, SqliteStore(tmp_path, 1 << 30, log=pytest.fail), min_cosine=0.8)
    first.start()
    first.put(an_entry("How do I reset my password?"), an_entry("What is a mortgage?"))
    first.tier.close()
    second = make(load, SqliteStore(tmp_path, 1 << 30, log=pytest.fail), min_cosine=0.8)
    second.start()
    found = second.ask("How can I reset the password?")
    assert isinstance(found, SemanticHit)
    assert found.entry.question == "How do I reset my password?"
    assert second.ask("Which river flows through Vienna?").trace.reason == "too-far"


def test_requests_while_answers_come_and_go(make: Callable[..., Bench], tmp_path: Path) -> None:
    bench = make(parts(), SqliteStore(tmp_path, 1 << 30, log=pytest.fail), queue=1000)
    bench.start()
    bench.put(an_entry("red green blue"))

    def churn() -> None:
        for n in range(60):
            ids = bench.store.put([an_entry(f"word{n} other{n}")])
            found = bench.store.get_by_id(ids[0], 0)
            assert found is not None
            bench.tier.note_stored([found])
            if n % 2:
                bench.store.purge(key=found.key)
                bench.tier.note_removed(ids)

    async def ask() -> list[SemanticHit | Refusal]:
        queries = [a_query(f"red green blue sky{n}"[: 14 + n % 5]) for n in range(200)]
        return await asyncio.gather(*[bench.tier.lookup(query) for query in queries])

    thread = threading.Thread(target=churn)
    thread.start()
    found = asyncio.run(ask())
    thread.join()
    assert all(isinstance(x, SemanticHit) and x.entry.question == "red green blue" for x in found)
    assert bench.tier.flush(WAIT)
    assert bench.tier.stats()["index entries"] == 31


# ---------------------------------------------------------------------- other texts


def test_texts_that_are_not_stored(make: Callable[..., Bench]) -> None:
    bench = make(parts())
    bench.start()
    texts = ["red green blue 2", "red green blue 3", "wide open sea", "x " * 21]
    query = a_query("red green blue 2 sky")
    same, other, far, long = asyncio.run(bench.tier.compare(query, texts, WAIT))
    assert same is not None
    assert other is not None
    assert far is not None
    assert (same.accepted, same.score) == (True, 0.9)
    assert other.reason == "veto-number"
    assert (far.reason, far.score) == ("too-far", None)
    assert long is None


def test_comparing_fails_open(make: Callable[..., Bench]) -> None:
    bench = make(parts(verifier=BrokenVerifier()))
    assert asyncio.run(bench.tier.compare(a_query("red"), ["red"], WAIT)) == [None]
    bench.start()
    assert asyncio.run(bench.tier.compare(a_query("red"), ["red"], WAIT)) == [None]
    assert asyncio.run(bench.tier.compare(a_query("x " * 21), ["red"], WAIT)) == [None]


def test_nobody_waits_for_a_comparison_that_takes_long(make: Callable[..., Bench]) -> None:
    embedder = WordEmbedder()
    bench = make(parts(embedder))
    bench.start()
    embedder.go.clear()
    assert asyncio.run(bench.tier.compare(a_query("red"), ["red"], 0.01)) == [None]


def test_embedding_answers_fills_no_cache(make: Callable[..., Bench]) -> None:
    embedder = WordEmbedder(batch=2)
    bench = make(parts(embedder))
    with pytest.raises(BackendError):
        bench.tier.embed(["red"])
    bench.start()
    found = bench.tier.embed(["red", "x " * 21, "blue"])
    assert [embedding is None for embedding in found] == [False, True, False]
    assert embedder.asked == [["red", "x " * 21], ["blue"]]
    assert bench.tier.stats()["embed cached"] == 0


def test_what_is_tightened(make: Callable[..., Bench]) -> None:
    bench = make(parts())
    tier = SemanticTier(bench.store, parts, SETTINGS, tightened=lambda t: 0.95)
    tier.start()
    assert tier.wait(WAIT)
    (found,) = asyncio.run(tier.compare(a_query("red"), ["red blue"], WAIT))
    tier.close()
    assert found is not None
    assert (found.reason, found.threshold) == ("below-threshold", 0.95)
