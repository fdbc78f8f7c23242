"""Indexer: what is stored can be found, whatever happened before."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from reflex_core import semantic_indexer
from reflex_core.backends.bit_index import BitIndex
from reflex_core.backends.memory_store import MemoryStore
from reflex_core.backends.sqlite import SqliteStore
from reflex_core.errors import BackendError
from reflex_core.ports import Entry, Store
from reflex_core.semantic_indexer import Indexer
from reflex_core.semantic_types import Parts, Settings

from .semantic_parts import SCOPE, WordEmbedder, an_entry, parts

WAIT = 10.0


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = (
        MemoryStore(1 << 30)
        if request.param == "memory"
        else SqliteStore(tmp_path, 1 << 30, log=pytest.fail)
    )
    yield made
    made.close()


class Running:
    """Indexers on one store; each is closed at the end."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.made: list[tuple[Indexer, WordEmbedder]] = []

    def __call__(self, of: Parts, **settings: float) -> Indexer:
        embedder = of.embedder
        assert isinstance(embedder, WordEmbedder)
        indexer = Indexer(self.store, of, Settings(**settings), embedder.embed)  # type: ignore[arg-type]
        self.made.append((indexer, embedder))
        indexer.start()
        return indexer

    def ready(self, of: Parts, **settings: float) -> Indexer:
        indexer = self(of, **settings)
        assert indexer.ready.wait(WAIT)
        return indexer


@pytest.fixture
def run(store: Store) -> Iterator[Running]:
    running = Running(store)
    yield running
    for indexer, embedder in running.made:
        embedder.go.set()
        assert indexer.close(WAIT)


def put(store: Store, *questions: str | None, **fields: object) -> list[Entry]:
    entries = [an_entry(question, **fields) for question in questions]
    ids = store.put(entries)
    return [found for id in ids if (found := store.get_by_id(id, 0)) is not None]


def ids(entries: Sequence[Entry]) -> list[int]:
    return [entry.id for entry in entries]


def held(of: Parts) -> list[int]:
    return of.index.ids().tolist()


def test_what_is_stored_and_removed_is_followed(store: Store, run: Running) -> None:
    of = parts()
    indexer = run.ready(of)
    entries = put(store, "red", "green", "blue")
    indexer.stored(entries)
    assert indexer.flush(WAIT)
    assert held(of) == ids(entries)
    rows = store.get_vectors(ids(entries))
    assert [rows[entry.id].tokens.decode() for entry in entries] == ["red", "green", "blue"]
    assert len(rows[entries[0].id].embedding) == 2 * of.embedder.dim
    indexer.removed(ids(entries)[:2])
    assert indexer.flush(WAIT)
    assert held(of) == [entries[2].id]


def test_entries_for_the_exact_key_only_are_left_out(store: Store, run: Running) -> None:
    of = parts()
    indexer = run.ready(of)
    indexer.stored([*put(store, None), *put(store, "red", exact_only=True)])
    assert indexer.flush(WAIT)
    assert held(of) == []


def test_long_questions_are_noted_and_not_tried_again(store: Store, run: Running) -> None:
    of = parts()
    indexer = run.ready(of)
    (entry,) = put(store, "x " * 21)
    indexer.stored([entry])
    assert indexer.flush(WAIT)
    assert held(of) == []
    assert store.get_vectors([entry.id])[entry.id].embedding == b""
    assert store.without_vectors(of.embedder.identity, 5) == []


def test_a_new_index_is_filled_from_the_stores_vectors(
    store: Store, run: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semantic_indexer, "_CHUNK", 3)
    first = parts()
    indexer = run.ready(first)
    entries = put(store, *[f"word{n}" for n in range(20)], "x " * 21)
    indexer.stored(entries)
    assert indexer.flush(WAIT)
    second = parts()
    run.ready(second)
    assert held(second) == ids(entries)[:20]
    assert isinstance(second.embedder, WordEmbedder)
    assert second.embedder.asked == []


def test_rows_without_vectors_are_embedded(
    store: Store, run: Running, caplog: pytest.LogCaptureFixture
) -> None:
    entries = put(store, *[f"word{n}" for n in range(40)])
    of = parts()
    with caplog.at_level(logging.INFO, "reflex"):
        run.ready(of)
    assert held(of) == ids(entries)
    assert "[####################] 40 answers embedded" in caplog.text


def test_the_progress_is_told(
    store: Store, run: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(semantic_indexer, "_PROGRESS", 0.0)
    put(store, *[f"word{n}" for n in range(32)])
    with caplog.at_level(logging.INFO, "reflex"):
        run.ready(parts())
    assert "[##########..........] 16 of 32 answers embedded, about" in caplog.text


def test_with_most_vectors_there_it_is_ready_before_the_rest(store: Store, run: Running) -> None:
    indexer = run.ready(parts())
    indexer.stored(put(store, "red"))
    assert indexer.flush(WAIT)
    (green,) = put(store, "green")
    embedder = WordEmbedder()
    embedder.go.clear()
    of = parts(embedder)
    run.ready(of)
    embedder.go.set()
    poll(lambda: green.id in held(of))


def test_without_any_vectors_it_is_not_ready_before_they_are_made(
    store: Store, run: Running
) -> None:
    put(store, "red")
    embedder = WordEmbedder()
    embedder.go.clear()
    indexer = run(parts(embedder))
    assert embedder.entered.acquire(timeout=WAIT)
    assert not indexer.ready.is_set()
    embedder.go.set()
    assert indexer.ready.wait(WAIT)


def test_another_embedder_starts_anew_and_the_old_vectors_go(store: Store, run: Running) -> None:
    entries = put(store, "red", "green")
    run.ready(parts(WordEmbedder("old")))
    of = parts(WordEmbedder("new"))
    run.ready(of)
    assert held(of) == ids(entries)
    assert {row.embedder for row in store.get_vectors(ids(entries)).values()} == {"new"}


def test_what_the_store_lost_leaves_the_index(store: Store, run: Running) -> None:
    entries = put(store, "red", "green")
    of = parts()
    indexer = run.ready(of)
    indexer.close(WAIT)
    store.purge(key=entries[0].key)
    run.ready(of)
    assert held(of) == [entries[1].id]


def test_a_full_index_is_not_filled_with_the_oldest(store: Store, run: Running) -> None:
    entries = put(store, *[f"word{n}" for n in range(30)])
    run.ready(parts())
    small = parts(index=BitIndex(64, "words", capacity=10))
    run.ready(small)
    assert held(small) == ids(entries)[-10:]


def test_an_embedder_that_fails_is_tried_again(
    store: Store, run: Running, caplog: pytest.LogCaptureFixture
) -> None:
    (first,) = put(store, "red")
    embedder = WordEmbedder()
    embedder.failure = BackendError("endpoint down")
    of = parts(embedder)
    indexer = run.ready(of, retry=0.02)
    (second,) = put(store, "green")
    indexer.stored([second])
    assert indexer.flush(WAIT)
    assert held(of) == []
    embedder.failure = None
    poll(lambda: held(of) == [first.id, second.id])
    assert caplog.text.count("endpoint down; trying again later") == 1


def poll(condition: Callable[[], bool]) -> None:
    """Wait for another thread, up to the limit."""
    tick = threading.Event()
    for _ in range(int(WAIT / 0.01)):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("it did not come to pass")


def test_an_unexpected_failure_is_logged_and_tried_again(
    store: Store, run: Running, caplog: pytest.LogCaptureFixture
) -> None:
    (entry,) = put(store, "red")
    embedder = WordEmbedder()
    embedder.failure = RuntimeError("odd")
    of = parts(embedder)
    run.ready(of, retry=0.02)
    embedder.failure = None
    poll(lambda: held(of) == [entry.id])
    assert "an unexpected failure" in caplog.text


def test_notes_without_room_are_found_by_comparing(
    store: Store, run: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semantic_indexer, "_MAX_NOTES", 2)
    of = parts()
    indexer = run.ready(of)
    entries = put(store, "red", "green", "blue")
    indexer.stored(entries)
    poll(lambda: held(of) == ids(entries))
    assert indexer.stats()["missed"] == 3


def test_a_store_that_does_not_keep_vectors_is_not_asked_for_ever(
    run: Running, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(store, *[f"word{n}" for n in range(3)])
    monkeypatch.setattr(store, "put_vectors", lambda rows: None)
    run.ready(parts())
    assert "vectors that were stored are not there" in caplog.text


def test_closing_indexes_what_was_noted_and_saves(tmp_path: Path) -> None:
    store = MemoryStore(1 << 30)
    embedder = WordEmbedder()
    path = tmp_path / "index"
    of = parts(embedder, index=BitIndex(64, "words", path=path))
    indexer = Indexer(store, of, Settings(), embedder.embed)
    indexer.start()
    assert indexer.ready.wait(WAIT)
    entries = put(store, "red", "green")
    indexer.stored(entries)
    assert indexer.close(WAIT)
    again = BitIndex(64, "words", path=path)
    assert again.ids().tolist() == ids(entries)
    assert again.search(SCOPE, embedder.embed(["red"])[0].vector, 1)[0].distance == 0  # type: ignore[union-attr]


def test_the_index_is_saved_now_and_then(tmp_path: Path) -> None:
    store = MemoryStore(1 << 30)
    embedder = WordEmbedder()
    path = tmp_path / "index"
    of = parts(embedder, index=BitIndex(64, "words", path=path))
    indexer = Indexer(store, of, Settings(save=0.02), embedder.embed)
    indexer.start()
    indexer.stored(put(store, "red"))
    poll(path.exists)
    assert indexer.close(WAIT)


def test_an_index_that_cannot_be_saved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore(1 << 30)
    embedder = WordEmbedder()
    of = parts(embedder, index=BitIndex(64, "words", path=tmp_path / "gone" / "index"))
    indexer = Indexer(store, of, Settings(), embedder.embed)
    put(store, "red")
    indexer.start()
    assert indexer.ready.wait(WAIT)
    assert indexer.close(WAIT)
    assert "cannot be written" in caplog.text
