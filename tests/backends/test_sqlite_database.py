from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reflex_core.backends.sqlite_database import Database
from reflex_core.errors import BackendError


class Harness:
    def __init__(self, path: Path) -> None:
        self.time = 0.0
        self.log: list[str] = []
        self.db = Database(path, log=self.log.append, clock=lambda: self.time)

    def add(self, value: str = "x") -> None:
        with self.db.write() as db:
            db.execute("INSERT INTO embedders (name) VALUES (?)", (value,))

    def names(self) -> list[str]:
        with self.db.read() as db:
            return [row[0] for row in db.execute("SELECT name FROM embedders ORDER BY id")]


@pytest.fixture
def h(tmp_path: Path) -> Iterator[Harness]:
    harness = Harness(tmp_path / "data" / "x.db")
    yield harness
    harness.db.close()


def test_write_then_read(h: Harness) -> None:
    h.add("a")
    h.add("b")
    assert h.names() == ["a", "b"]


def test_settings(h: Harness) -> None:
    def ask(db: sqlite3.Connection, *names: str) -> list[object]:
        return [db.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    with h.db.pragmas() as db:
        assert ask(db, "journal_mode", "auto_vacuum", "busy_timeout") == ["wal", 2, 2000]
        assert ask(db, "synchronous", "foreign_keys", "mmap_size") == [1, 1, 0]
    with h.db.read() as db:
        assert ask(db, "busy_timeout", "query_only") == [100, 1]


def test_error_inside_rolls_back_and_comes_through(h: Harness) -> None:
    h.add("a")
    for error in (KeyError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(error)), h.db.write() as db:
            db.execute("INSERT INTO embedders (name) VALUES ('lost')")
            raise error
    with pytest.raises(KeyError), h.db.read():
        raise KeyError("mine")
    h.add("b")
    assert h.names() == ["a", "b"]
    assert h.log == []


def test_reader_cannot_write(h: Harness) -> None:
    with pytest.raises(BackendError, match="readonly"), h.db.read() as db:
        db.execute("INSERT INTO embedders (name) VALUES ('x')")


def test_constraint_is_no_breakdown(h: Harness) -> None:
    h.add("a")
    with pytest.raises(BackendError, match="UNIQUE"):
        h.add("a")
    h.add("b")
    assert h.names() == ["a", "b"]
    assert h.log == []


def test_broken_store_is_tried_once_in_a_while(h: Harness) -> None:
    """Between tries it fails at once, without touching the disk."""
    folder = h.db.path.parent
    folder.write_text("in the way")
    for _ in range(3):
        with pytest.raises(BackendError):
            h.add()
    folder.unlink()
    h.time = 0.99
    with pytest.raises(BackendError, match=str(folder)):
        h.add()
    assert not folder.exists()
    h.time = 1.0
    h.add("a")
    assert h.names() == ["a"]
    assert len(h.log) == 2
    assert "Requests go on without it" in h.log[0]
    assert "works again" in h.log[1]


def test_a_long_outage_is_logged_once(h: Harness) -> None:
    h.db.path.parent.write_text("in the way")
    for second in range(10):
        h.time = second * 2.0
        with pytest.raises(BackendError):
            h.names()
    assert len(h.log) == 1


def test_failing_writes_do_not_stop_reads(h: Harness) -> None:
    h.add("a")
    for second in range(6):
        h.time = second * 2.0
        with pytest.raises(BackendError), h.db.write() as db:
            db.execute("PRAGMA max_page_count = 1").fetchall()
            db.execute("INSERT INTO embedders (name) VALUES (?)", ("x" * 100_000,))
        assert h.names() == ["a"]
    assert len(h.log) == 1


def test_failing_reads_make_new_connections(h: Harness) -> None:
    h.add("a")
    with h.db.read() as first:
        pass
    for second in range(3):
        h.time = second * 2.0
        with pytest.raises(BackendError), h.db.read() as db:
            db.execute("SELECT nothing FROM nowhere")
    h.time = 10
    assert h.names() == ["a"]
    with pytest.raises(sqlite3.ProgrammingError):
        first.execute("SELECT 1")


def test_moved_aside_while_writing(h: Harness) -> None:
    """The writer finishes on the old file; what comes after goes to the new one."""
    h.add("a")
    damage = sqlite3.DatabaseError("malformed")
    damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    with h.db.write() as old:
        old.execute("INSERT INTO embedders (name) VALUES ('late')")
        with pytest.raises(BackendError), h.db.read():
            raise damage
    with pytest.raises(sqlite3.ProgrammingError):
        old.execute("SELECT 1")
    h.time = 1.0
    assert h.names() == []
    h.add("b")
    assert h.names() == ["b"]
    assert len([line for line in h.log if "damaged" in line]) == 1


def test_close_waits_for_the_write(h: Harness) -> None:
    inside, go = threading.Event(), threading.Event()

    def write() -> None:
        with h.db.write() as db:
            inside.set()
            go.wait(5)
            db.execute("INSERT INTO embedders (name) VALUES ('a')")

    writer = threading.Thread(target=write)
    writer.start()
    inside.wait(5)
    closer = threading.Thread(target=h.db.close)
    closer.start()
    closer.join(0.05)
    assert closer.is_alive()
    go.set()
    writer.join(5)
    closer.join(5)
    with pytest.raises(BackendError, match="closed"):
        h.add()
    again = Harness(h.db.path)
    assert again.names() == ["a"]
    again.db.close()


def test_readers_do_not_wait_while_it_is_opened(h: Harness) -> None:
    """Opening may take long (a check, a lock); a request goes on without the store."""
    inside, go = threading.Event(), threading.Event()

    def slow(line: str) -> None:
        inside.set()
        go.wait(10)

    h.add("a")
    h.db._log = slow
    h.db.path.unlink()
    opener = threading.Thread(target=h.add)
    opener.start()
    assert inside.wait(10)
    with pytest.raises(BackendError, match="being opened"):
        h.names()
    go.set()
    opener.join(10)
    assert h.names() == ["x"]


def test_deleted_again_and_again_under_load(h: Harness) -> None:
    stop = threading.Event()
    broken: list[BaseException] = []

    def work(number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            h.time += 1.0
            try:
                h.add(f"{number}-{count}")
                h.names()
            except BackendError:
                pass
            except BaseException as error:
                broken.append(error)
                return

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(60):
        h.db.path.unlink(missing_ok=True)
        stop.wait(0.005)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert broken == []
    assert not any(thread.is_alive() for thread in threads)
    h.time += 1000
    h.add("last")
    assert "last" in h.names()
    assert not list(h.db.path.parent.glob("*.corrupt-*"))
