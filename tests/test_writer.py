from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reflex_core.backends import sqlite_database
from reflex_core.backends.memory_store import MemoryStore
from reflex_core.backends.sqlite import FILE_NAME, SqliteStore
from reflex_core.errors import BackendError
from reflex_core.ports import Entry, Store
from reflex_core.writer import Limits, Writer

NOW = 1_000_000.0
LONG = 20.0
"""Seconds that no test ever waits unless it fails."""


def an_entry(n: int, **fields: object) -> Entry:
    base = Entry(
        key=n.to_bytes(32, "big"),
        tenant=b"t" * 16,
        scope=b"s" * 32,
        provider="p",
        model="m",
        created=NOW,
        expires=None,
        completion=b"answer",
    )
    return replace(base, **fields)  # type: ignore[arg-type]


class Gated(MemoryStore):
    """A store whose `put` waits for `go`, refuses while `broken`, and always refuses model "bad"."""

    def __init__(self) -> None:
        super().__init__(1 << 40)
        self.go = threading.Event()
        self.go.set()
        self.inside = threading.Event()
        self.broken: Exception | None = None
        self.batches: list[int] = []

    def put(self, entries: Sequence[Entry]) -> list[int]:
        self.inside.set()
        assert self.go.wait(LONG)
        self.batches.append(len(entries))
        if self.broken is not None:
            raise self.broken
        if any(entry.model == "bad" for entry in entries):
            raise BackendError("bad entry")
        return super().put(entries)


Start = Callable[..., Writer]


@pytest.fixture
def start() -> Iterator[Start]:
    writers: list[Writer] = []

    def starter(store: Store, **fields: Any) -> Writer:
        writers.append(Writer(store, clock=lambda: NOW, **fields))
        return writers[-1]

    yield starter
    for writer in writers:
        assert writer.close(LONG)


def has(store: Store, n: int) -> bool:
    return store.get(an_entry(n).key, NOW) is not None


def test_writes_and_tells(start: Start, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, 1 << 40)
    told: list[Entry] = []
    after: list[Entry] = []
    writer = start(store, on_stored=told.extend)
    assert writer.submit(an_entry(1), after.append)
    assert writer.submit(an_entry(2))
    assert writer.flush(LONG)
    assert [entry.key for entry in told] == [an_entry(1).key, an_entry(2).key]
    assert told == [store.get_by_id(entry.id, NOW) for entry in told]
    assert after == told[:1]
    stats = writer.stats()
    assert (stats["written"], stats["queued"], stats["queued_bytes"]) == (2, 0, 0)
    assert not writer.failing
    assert writer.close(LONG)
    store.close()


def test_what_waits_goes_into_one_transaction(start: Start) -> None:
    store = Gated()
    store.go.clear()
    writer = start(store, limits=Limits(batch=4))
    writer.submit(an_entry(0))
    assert store.inside.wait(LONG)
    for n in range(1, 7):
        writer.submit(an_entry(n))
    assert writer.stats()["queued"] == 7
    store.go.set()
    assert writer.flush(LONG)
    assert store.batches == [1, 4, 2]


def test_full_queue_drops_and_counts(start: Start) -> None:
    store = Gated()
    store.go.clear()
    writer = start(store, limits=Limits(items=3))
    assert writer.submit(an_entry(0))
    assert store.inside.wait(LONG)
    assert writer.submit(an_entry(1))
    assert writer.submit(an_entry(2))
    assert not writer.submit(an_entry(3)), "what is being written counts too"
    assert writer.stats()["dropped"] == 1
    store.go.set()
    assert writer.flush(LONG)
    assert writer.submit(an_entry(4))
    assert writer.flush(LONG)
    assert [has(store, n) for n in range(5)] == [True, True, True, False, True]


def test_full_queue_by_size(start: Start) -> None:
    store = Gated()
    store.go.clear()
    writer = start(store, limits=Limits(bytes=10_000))
    assert writer.submit(an_entry(0, completion=bytes(6000)))
    assert not writer.submit(an_entry(1, completion=bytes(6000)))
    assert not writer.submit(an_entry(2, completion=bytes(20_000)))
    assert writer.submit(an_entry(3))
    store.go.set()
    assert writer.flush(LONG)
    assert writer.submit(an_entry(4, completion=bytes(6000)))


def test_bad_entry_does_not_take_others_along(start: Start) -> None:
    store = Gated()
    store.go.clear()
    writer = start(store, limits=Limits(retry_s=LONG))
    writer.submit(an_entry(0))
    assert store.inside.wait(LONG)
    for n in range(1, 5):
        writer.submit(an_entry(n, model="bad" if n in (2, 4) else "m"))
    store.go.set()
    assert writer.flush(LONG)
    assert [has(store, n) for n in range(5)] == [True, True, False, True, False]
    stats = writer.stats()
    assert (stats["written"], stats["failed"], stats["queued"]) == (3, 2, 0)
    assert stats["last_error"] == "bad entry"
    assert not writer.failing


def test_broken_store_is_given_up_and_comes_back(start: Start) -> None:
    store = Gated()
    store.broken = BackendError("disk full")
    writer = start(store, limits=Limits(retry_s=0.001, attempts=3))
    writer.submit(an_entry(0))
    assert writer.flush(LONG)
    assert store.batches == [1, 1, 1], "not endlessly"
    assert writer.failing
    stats = writer.stats()
    assert (stats["failed"], stats["queued"], stats["last_error"]) == (1, 0, "disk full")
    store.broken = None
    writer.submit(an_entry(1))
    assert writer.flush(LONG)
    assert not writer.failing
    assert has(store, 1)
    assert not has(store, 0)


def test_short_outage_loses_nothing(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_database, "WRITE_BUSY_MS", 5)
    store = SqliteStore(tmp_path, 1 << 40, log=lambda line: None, retry_s=0.001)
    writer = start(store, limits=Limits(retry_s=0.01, attempts=10_000))
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for n in range(20):
            assert writer.submit(an_entry(n))
        until = time.monotonic() + LONG
        while not writer.failing and time.monotonic() < until:
            time.sleep(0.001)
        assert writer.failing
        other.execute("ROLLBACK")
    assert writer.flush(LONG)
    assert all(has(store, n) for n in range(20))
    assert writer.stats()["failed"] == 0
    store.close()


def test_unexpected_exceptions_do_not_stop_it(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    def raises(value: object) -> None:
        raise ZeroDivisionError("hook")

    store = Gated()
    store.broken = ZeroDivisionError("store")
    limits = Limits(retry_s=0.001, attempts=2, evict_puts=1)
    writer = start(store, limits=limits, on_stored=raises, on_removed=raises)
    writer.submit(an_entry(0), raises)
    assert writer.flush(LONG)
    assert writer.stats()["last_error"] == "store"
    store.broken = None
    writer.submit(an_entry(1, expires=NOW), raises)
    writer.submit(an_entry(2), raises)
    assert writer.flush(LONG)
    assert has(store, 2)
    assert "hook" in caplog.text


class Forgetful(MemoryStore):
    """A store that can only be written."""

    def touch(self, hits: Any) -> None:
        raise BackendError("no touch")

    def evict(self, now: float) -> list[int]:
        raise BackendError("no evict")


def test_failing_touches_and_evictions_are_noted(start: Start) -> None:
    store = Forgetful(1 << 40)
    writer = start(store, limits=Limits(evict_puts=2))
    writer.touch(1, NOW)
    assert writer.flush(LONG)
    assert (writer.failing, writer.stats()["last_error"]) == (True, "no touch")
    writer.submit(an_entry(1))
    assert writer.flush(LONG)
    assert not writer.failing
    writer.submit(an_entry(2))
    assert writer.flush(LONG)
    assert writer.flush(LONG)
    assert (writer.failing, writer.stats()["last_error"]) == (True, "no evict")


def test_cancelled_action_is_not_run(start: Start) -> None:
    store = Gated()
    store.go.clear()
    writer = start(store)
    writer.submit(an_entry(0))
    assert store.inside.wait(LONG)
    purged = writer.purge(everything=True)
    assert purged.cancel()
    store.go.set()
    assert writer.flush(LONG)
    assert has(store, 0)


# --------------------------------------------------------------------------- order, purge, touch


def test_purge_takes_what_is_still_queued(start: Start) -> None:
    store = Gated()
    store.go.clear()
    removed: list[int] = []
    writer = start(store, on_removed=removed.extend)
    writer.submit(an_entry(0))
    assert store.inside.wait(LONG)
    writer.submit(an_entry(1))
    writer.submit(an_entry(2, model="other"))
    purged = writer.purge(model="m")
    writer.submit(an_entry(3))
    store.go.set()
    ids = purged.result(LONG)
    assert writer.flush(LONG)
    assert [has(store, n) for n in range(4)] == [False, False, True, True]
    assert removed == ids
    assert len(ids) == 2


def test_purge_reports_a_broken_store(start: Start, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, 1 << 40)
    writer = start(store)
    store.close()
    with pytest.raises(BackendError, match="closed"):
        writer.purge(everything=True).result(LONG)
    assert writer.flush(LONG), "the thread lives on"


def test_touches_are_collected(start: Start) -> None:
    store = MemoryStore(1 << 40)
    (id,) = store.put([an_entry(1)])
    writer = start(store)
    for n in range(100):
        writer.touch(id, NOW + n)
    assert writer.flush(LONG)
    found = store.get_by_id(id, NOW)
    assert found is not None
    assert found.hits == 100
    assert writer.stats()["touched"] == 100


def test_touches_are_written_in_time(start: Start) -> None:
    written = threading.Event()

    class Touched(MemoryStore):
        def touch(self, hits: Any) -> None:
            super().touch(hits)
            written.set()

    writer = start(Touched(1 << 40), limits=Limits(touch_s=0.01))
    writer.touch(1, NOW)
    assert written.wait(LONG)


def test_evicts_after_so_many_answers(start: Start) -> None:
    store = MemoryStore(1 << 40)
    removed: list[int] = []
    limits = Limits(evict_puts=3, keep_expired_s=100)
    writer = start(store, on_removed=removed.extend, limits=limits)
    for n in range(2):
        writer.submit(an_entry(n, expires=NOW - 150 + 100 * n))
        assert writer.flush(LONG)
    assert has(store, 2) is False
    assert store.stats()["entries"] == 2
    writer.submit(an_entry(2))
    assert writer.flush(LONG)
    assert writer.flush(LONG)
    assert store.stats()["entries"] == 2, "one expired long ago, one may still be served stale"
    assert len(removed) == 1
    assert writer.stats()["removed"] == 1


def test_evicts_in_time(start: Start) -> None:
    evicted = threading.Event()
    store = MemoryStore(1 << 40)
    store.put([an_entry(0, expires=NOW)])
    start(store, on_removed=lambda ids: evicted.set(), limits=Limits(evict_s=0.01))
    assert evicted.wait(LONG)


# --------------------------------------------------------------------------- the end


def test_close_writes_what_is_queued(start: Start) -> None:
    store = Gated()
    store.go.clear()
    writer = start(store, limits=Limits(batch=2))
    (id,) = MemoryStore.put(store, [an_entry(100)])
    for n in range(9):
        writer.submit(an_entry(n))
    writer.touch(id, NOW)
    purged = writer.purge(key=an_entry(8).key)
    assert not writer.close(0.01)
    assert not writer.submit(an_entry(50))
    store.go.set()
    assert writer.close(LONG)
    assert [has(store, n) for n in range(9)] == [True] * 8 + [False]
    assert len(purged.result(0)) == 1
    found = store.get_by_id(id, NOW)
    assert found is not None
    assert found.hits == 1
    assert not writer.flush(LONG)
    assert not has(store, 50)


def test_close_does_not_wait_for_a_broken_store(start: Start) -> None:
    store = Gated()
    store.broken = BackendError("gone")
    writer = start(store, limits=Limits(retry_s=1000, attempts=1000))
    writer.submit(an_entry(0))
    assert store.inside.wait(LONG)
    for n in range(1, 5):
        writer.submit(an_entry(n))
    assert writer.close(LONG)
    assert writer.stats()["failed"] == 5


def test_flush_gives_up(start: Start) -> None:
    store = Gated()
    store.go.clear()
    writer = start(store)
    writer.submit(an_entry(0))
    assert not writer.flush(0.01)
    store.go.set()
    assert writer.flush(LONG)


def test_many_threads(start: Start, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, 1 << 40)
    stored: list[Entry] = []
    writer = start(store, on_stored=stored.extend, limits=Limits(batch=16, evict_puts=20))

    def work(worker: int) -> None:
        for n in range(50):
            assert writer.submit(an_entry(worker * 50 + n))
            if stored:
                writer.touch(stored[-1].id, NOW)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.flush(LONG)
    assert all(has(store, n) for n in range(200))
    assert len({entry.id for entry in stored}) == 200
    assert writer.close(LONG)
    store.close()
