"""What only a store on a disk can suffer. The behaviour proper is in contract/test_store.py."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from reflex_core import codec_store
from reflex_core.backends import sqlite_database
from reflex_core.backends.sqlite import FILE_NAME, SqliteStore
from reflex_core.errors import BackendError
from reflex_core.ports import Entry
from reflex_core.types import Choice, Completion

NOW = 1_000_000.0
BIG = 1 << 40


def an_entry(n: int, size: int = 2000) -> Entry:
    answer = Completion(str(n), n, "m", (Choice(content=f"{n} " * size, finish_reason="stop"),))
    return Entry(
        key=n.to_bytes(32, "big"),
        tenant=b"t" * 16,
        scope=b"s" * 32,
        provider="p",
        model="m",
        created=NOW,
        expires=None,
        completion=codec_store.dump(answer),
        question=f"question {n}",
    )


class Harness:
    """A store, its log, and a clock that stands still until told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FILE_NAME
        self.log: list[str] = []
        self.time = 0.0
        self.store = self.open()

    def open(self) -> SqliteStore:
        return SqliteStore(
            self.folder, BIG, log=self.log.append, retry_s=1.0, clock=lambda: self.time
        )

    def reopen(self) -> None:
        self.store.close()
        self.store = self.open()

    def works(self, n: int = 99) -> bool:
        self.store.put([an_entry(n)])
        return self.store.get(an_entry(n).key, NOW) is not None

    def has(self, n: int) -> bool:
        found = self.store.get(an_entry(n).key, NOW)
        assert found is None or replace(found, id=0, hits=0) == an_entry(n)
        return found is not None

    def asides(self, why: str) -> list[Path]:
        found = self.folder.glob(f"{FILE_NAME}.{why}-*")
        return sorted(p for p in found if not p.name.endswith(("-wal", "-shm")))


@pytest.fixture
def h(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    monkeypatch.setattr(sqlite_database, "WRITE_BUSY_MS", 50)
    harness = Harness(tmp_path / "data")
    yield harness
    harness.store.close()


def child(code: str, *args: object) -> subprocess.Popen[str]:
    """Another process. `code` sees `folder`, `args` and this module's `an_entry`."""
    setup = (
        "import sys; from pathlib import Path\n"
        "from tests.backends.test_sqlite import *\n"
        "folder = Path(sys.argv[1]); args = sys.argv[2:]\n"
    )
    command = [sys.executable, "-c", setup + code, *map(str, args)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def end(process: subprocess.Popen[str]) -> int:
    process.communicate()
    return process.returncode


# --------------------------------------------------------------------------- restart and kill


def test_survives_a_restart(h: Harness) -> None:
    h.store.put([an_entry(1)])
    h.reopen()
    assert h.has(1)
    assert h.log == []


WRITES = """
store = SqliteStore(folder, BIG)
n = int(args[0])
print("ready", flush=True)
while True:
    store.put([an_entry(n + i, 50 * (i + 1) ** 2) for i in range(5)])
    print(n, flush=True)
    n += 5
"""


def test_kill_9_while_writing(h: Harness) -> None:
    """No half answer, no half batch, and nothing lost that was acknowledged."""
    rng = random.Random(1)
    start = 0
    for _ in range(4):
        process = child(WRITES, h.folder, start)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0.05, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        seen = [
            int(line) for line in process.stdout.read().split("\n") if line.endswith(("0", "5"))
        ]
        process.wait()
        assert process.stdin is not None
        process.stdin.close()
        process.stdout.close()
        last = seen[-1] if seen else start - 5
        h.reopen()
        for n in range(0, last + 5, 5):
            batch = [h.store.get((n + i).to_bytes(32, "big"), NOW) for i in range(5)]
            assert all(batch)
            for i, found in enumerate(batch):
                assert found is not None
                answer = codec_store.load(found.completion)
                assert answer.choices[0].content == f"{n + i} " * (50 * (i + 1) ** 2)
        torn = [h.store.get((last + 5 + i).to_bytes(32, "big"), NOW) is None for i in range(5)]
        assert all(torn) or not any(torn)
        start = last + 10
        h.store.put([an_entry(last + 5 + i, 50 * (i + 1) ** 2) for i in range(5)])
    with sqlite3.connect(h.path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
    assert h.log == []
    assert start > 10


def test_two_processes_start_at_once_and_share(h: Harness) -> None:
    h.store.close()
    shutil.rmtree(h.folder)
    code = """
sys.stdin.readline()
store = SqliteStore(folder, BIG, retry_s=0.01)
for n in range(40):
    store.put([an_entry(1000 * int(args[0]) + n)])
"""
    processes = [child(code, h.folder, number) for number in (1, 2)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [end(process) for process in processes] == [0, 0]
    h.reopen()
    assert h.store.stats()["entries"] == 80
    assert h.asides("corrupt") == []


# --------------------------------------------------------------------------- disk full


def test_disk_full(h: Harness) -> None:
    h.store.put([an_entry(1)])
    with h.store._db.pragmas() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages + 5}").fetchall()
    with pytest.raises(BackendError, match="full"):
        h.store.put([an_entry(2), an_entry(3, 100_000)])
    assert h.has(1)
    assert not h.has(2), "half a batch"
    assert len(h.log) == 1
    with pytest.raises(BackendError, match="full"):
        h.store.put([an_entry(4)])
    h.time += 1.1
    h.store.put([an_entry(2)])
    assert h.has(2)
    assert h.log[1:] == [f"The store {h.path} works again."]


FILE_LIMIT = """
import resource
log = []
store = SqliteStore(folder, BIG, retry_s=0, log=log.append)
assert store.put([an_entry(1)])
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
failed = 0
for n in range(2, 60):
    try:
        store.put([an_entry(n, 10_000)])
    except BackendError:
        failed += 1
        assert store.get(an_entry(1).key, NOW)
assert failed > 10, failed
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
for n in range(60, 70):
    store.put([an_entry(n, 10_000)])
    assert store.get(an_entry(n).key, NOW)
assert store.get(an_entry(1).key, NOW)
store.close()
"""


def test_writes_that_the_system_refuses(h: Harness) -> None:
    h.store.close()
    assert end(child(FILE_LIMIT, h.folder)) == 0
    h.reopen()
    assert h.has(1)
    assert h.store.get(an_entry(69).key, NOW)
    assert h.asides("corrupt") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    h = Harness(tmp_path / "data")
    with pytest.raises(BackendError):
        h.store.get(b"k", NOW)
    assert len(h.log) == 1
    tmp_path.chmod(0o700)
    h.time += 1.1
    assert h.works()


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    h = Harness(tmp_path / "data")
    with pytest.raises(BackendError):
        h.store.get(b"k", NOW)
    (tmp_path / "data").unlink()
    with pytest.raises(BackendError):
        h.store.put([an_entry(1)])
    h.time += 1.1
    assert h.works()
    h.store.close()


# --------------------------------------------------------------------------- locked

HOLD = """
import sqlite3
db = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
for statement in args:
    db.execute(statement).fetchall()
print("held", flush=True)
sys.stdin.readline()
"""


def test_write_lock_of_another_process(h: Harness) -> None:
    h.store.put([an_entry(1)])
    holder = child(HOLD, h.folder, "BEGIN IMMEDIATE")
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(BackendError, match="locked"):
        h.store.put([an_entry(2)])
    assert h.has(1), "readers go on"
    end(holder)
    h.time += 1.1
    h.store.put([an_entry(2)])
    assert h.has(1)
    assert h.has(2)


def test_file_held_whole_by_another_process(h: Harness) -> None:
    h.store.put([an_entry(1)])
    h.store.close()
    exclusive = ["PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE"]
    holder = child(HOLD, h.folder, *exclusive)
    assert holder.stdout is not None
    holder.stdout.readline()
    h.store = h.open()
    with pytest.raises(BackendError, match="locked"):
        h.store.get(an_entry(1).key, NOW)
    with pytest.raises(BackendError, match="locked"):
        h.store.put([an_entry(2)])
    end(holder)
    h.time += 1.1
    assert h.has(1)
    assert h.works()
    assert h.asides("corrupt") == []


# --------------------------------------------------------------------------- deleted


def test_file_deleted_under_us(h: Harness) -> None:
    h.store.put([an_entry(1)])
    h.path.unlink()
    assert not h.has(1), "who deletes the file wants the answers gone"
    assert h.works()
    assert h.path.exists()
    assert len(h.log) == 1
    assert "removed" in h.log[0]
    h.reopen()
    assert h.has(99)


def test_folder_deleted_under_us(h: Harness) -> None:
    h.store.put([an_entry(1)])
    shutil.rmtree(h.folder)
    assert h.works()
    assert not h.has(1)


def test_file_replaced_under_us(h: Harness, tmp_path: Path) -> None:
    other = Harness(tmp_path / "other")
    other.store.put([an_entry(2)])
    other.store.close()
    h.store.put([an_entry(1)])
    for side in ("-wal", "-shm"):
        h.path.with_name(h.path.name + side).unlink()
    other.path.rename(h.path)
    assert h.has(2)
    assert not h.has(1)


def test_deleted_while_readers_are_inside(h: Harness) -> None:
    h.store.put([an_entry(n) for n in range(50)])
    with h.store._db.read() as old:
        rows = old.execute("SELECT completion FROM entries")
        assert rows.fetchone()
        h.path.unlink()
        assert h.works()
        assert len(rows.fetchall()) == 49
    assert h.works()
    assert not h.has(1)


# --------------------------------------------------------------------------- damaged, newer, foreign


def test_not_a_database(h: Harness) -> None:
    h.store.close()
    h.path.write_bytes(b"hello, I am a text file" * 1000)
    h.reopen()
    assert h.works()
    (aside,) = h.asides("corrupt")
    assert aside.read_bytes().startswith(b"hello")
    assert len(h.log) == 1
    assert str(aside) in h.log[0]
    h.reopen()
    assert h.has(99)
    assert len(h.log) == 1


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_damage_anywhere(
    h: Harness, monkeypatch: pytest.MonkeyPatch, seed: int, checked: bool
) -> None:
    """Never a wrong answer, never a start that fails; and soon a store that works."""
    if not checked:
        monkeypatch.setattr(sqlite_database, "CHECK_BYTES", 0)
    rng = random.Random(seed)
    h.store.put([an_entry(n, 100) for n in range(200)])
    h.store.close()
    data = bytearray(h.path.read_bytes())
    for _ in range(rng.randint(1, 12)):
        at = rng.randrange(len(data))
        junk = rng.randbytes(rng.choice([1, 50, 4096]))
        data[at : at + len(junk)] = junk
    if seed % 3 == 0:
        del data[rng.randrange(len(data)) :]
    h.path.write_bytes(data)
    h.reopen()
    for n in range(200):
        h.time += 2
        try:
            found = h.store.get(an_entry(n).key, NOW)
            answer = codec_store.load(found.completion) if found else None
        except BackendError:
            continue
        assert answer is None or answer.choices[0].content == f"{n} " * 100
    for n in range(1000, 1010):
        h.time += 2
        try:
            h.store.put([an_entry(n)])
        except BackendError:
            continue
    assert h.works()


def test_damage_found_in_use(h: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_database, "CHECK_BYTES", 0)
    h.store.put([an_entry(n) for n in range(200)])
    h.store.close()
    data = h.path.read_bytes()
    h.path.write_bytes(data[: 4096 * 16] + b"\xaa" * (len(data) - 4096 * 16))
    h.reopen()
    assert h.log == []
    with pytest.raises(BackendError, match="malformed"):
        h.store.recent(200, NOW)
    assert len(h.asides("corrupt")) == 1
    assert "damaged" in h.log[0]
    with pytest.raises(BackendError):
        h.store.recent(200, NOW)
    h.time += 1.1
    assert h.works()
    assert h.store.stats()["entries"] == 1


def test_newer_schema(h: Harness) -> None:
    h.store.put([an_entry(1)])
    with h.store._db.pragmas() as db:
        db.execute("PRAGMA user_version = 99")
    h.reopen()
    assert not h.has(1)
    assert h.works()
    (aside,) = h.asides("newer")
    assert "newer Reflex" in h.log[0]
    h.store.close()
    aside.rename(h.path)
    with sqlite3.connect(h.path) as db:
        assert db.execute("SELECT count(*) FROM entries").fetchone() == (1,)
    db.close()


def test_database_of_another_program(h: Harness) -> None:
    h.store.close()
    h.path.unlink()
    with sqlite3.connect(h.path) as db:
        db.execute("CREATE TABLE precious (x)")
    db.close()
    h.reopen()
    assert h.works()
    (aside,) = h.asides("foreign")
    with sqlite3.connect(aside) as db:
        assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("precious",)]
    db.close()


def test_table_missing(h: Harness) -> None:
    h.store.put([an_entry(1)])
    with h.store._db.pragmas() as db:
        db.execute("DROP TABLE tokens")
    h.reopen()
    assert h.works()
    assert len(h.asides("corrupt")) == 1


def test_ids_of_a_new_store_lie_above_the_old_ones(h: Harness) -> None:
    old = h.store.put([an_entry(n) for n in range(50)])
    h.path.unlink()
    assert min(h.store.put([an_entry(1)])) > max(old)
    assert h.store.get_by_id(old[0], NOW) is None
    assert max(old) < 2**53, "exact in JSON"


# --------------------------------------------------------------------------- privacy and size


def test_only_the_owner_may_read(h: Harness) -> None:
    old = os.umask(0)
    try:
        h.store.close()
        shutil.rmtree(h.folder)
        h.reopen()
        h.store.put([an_entry(1)])
    finally:
        os.umask(old)
    assert h.folder.stat().st_mode & 0o777 == 0o700
    files = {p.name: p.stat().st_mode & 0o777 for p in h.folder.iterdir()}
    assert files == {FILE_NAME: 0o600, f"{FILE_NAME}-wal": 0o600, f"{FILE_NAME}-shm": 0o600}


def test_lax_permissions_are_tightened(h: Harness) -> None:
    h.store.close()
    h.path.chmod(0o644)
    h.folder.chmod(0o755)
    h.reopen()
    assert h.path.stat().st_mode & 0o777 == 0o600
    assert h.folder.stat().st_mode & 0o777 == 0o755, "the user's own folder stays as it is"


def test_purged_text_is_gone_from_the_disk(h: Harness) -> None:
    def on_disk(text: bytes) -> bool:
        return any(text in path.read_bytes() for path in h.folder.iterdir())

    h.store.put([an_entry(7), replace(an_entry(8, 10), question="keep me")])
    assert on_disk(b"question 7")
    h.store.purge(key=an_entry(7).key)
    assert not on_disk(b"question 7")
    assert not on_disk(b"7 7 7 7")
    assert on_disk(b"keep me")


def test_purging_everything_starts_a_new_file(h: Harness) -> None:
    ids = h.store.put([an_entry(n) for n in range(50)])
    with h.store._db.read() as reader:
        rows = reader.execute("SELECT question FROM entries")
        rows.fetchone()
        assert h.store.purge(everything=True) == ids
        assert len(rows.fetchall()) == 49, "a reader that is inside goes on undisturbed"
    assert not any(b"question 7" in path.read_bytes() for path in h.folder.iterdir())
    assert h.store.stats()["entries"] == 0
    assert min(h.store.put([an_entry(7)])) > max(ids)
    h.reopen()
    assert h.has(7)
    assert h.log == []


def test_purge_of_many(h: Harness) -> None:
    ids = h.store.put([an_entry(n, 1) for n in range(2500)])
    kept = h.store.put([replace(an_entry(9999), model="other")])
    assert h.store.purge(model="m") == ids
    assert h.store.purge(model="other") == kept


def test_expired_text_is_gone_from_the_file(h: Harness) -> None:
    h.store.put([replace(an_entry(7), expires=NOW), an_entry(8)])
    h.store.evict(NOW)
    h.store.close()
    data = h.path.read_bytes()
    assert b"question 7" not in data
    assert b"question 8" in data


def test_eviction_gives_the_disk_back(h: Harness) -> None:
    store = SqliteStore(h.folder / "small", 1_000_000)
    for n in range(300):
        store.put([an_entry(n)])
        if n % 20 == 0:
            store.evict(NOW)
    store.evict(NOW)
    store.close()
    assert (h.folder / "small" / FILE_NAME).stat().st_size <= 1_000_000


def test_a_value_of_the_wrong_type_is_one_failure(h: Harness) -> None:
    for wrong in ({"key": object()}, {"scope": None}, {"created": "soon"}, {"question": "\ud83d"}):
        with pytest.raises(BackendError):
            h.store.put([replace(an_entry(1), **wrong)])  # type: ignore[arg-type]
        assert h.works()
    with pytest.raises(BackendError):
        h.store.get_by_id(2**70, NOW)
    assert h.works()
    assert h.log == []


def test_a_failed_put_keeps_its_replaced_entries(h: Harness) -> None:
    (first,) = h.store.put([an_entry(1)])
    with pytest.raises(BackendError):
        h.store.put([an_entry(1), replace(an_entry(2), scope=None)])  # type: ignore[arg-type]
    assert h.has(1)
    assert h.store.evict(NOW) == []
    assert h.store.get_by_id(first, NOW) is not None


def test_ids_are_not_lost_when_eviction_fails(h: Harness) -> None:
    (first,) = h.store.put([an_entry(1)])
    h.store.put([an_entry(1)])
    holder = child(HOLD, h.folder, "BEGIN IMMEDIATE")
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(BackendError):
        h.store.evict(NOW)
    end(holder)
    h.time += 1.1
    assert h.store.evict(NOW) == [first]


def test_large_requests_are_left_out(h: Harness) -> None:
    """What does not deflate well is an image; the answer is stored all the same."""
    small = replace(an_entry(1), request=b"x" * 1_000_000)
    big = replace(an_entry(2), request=random.Random(0).randbytes(300_000))
    h.store.put([small, big])
    assert [r.body for r in h.store.requests(small.tenant, 5)] == [small.request]
    assert h.store.get(big.key, NOW) is not None


def test_damaged_request_is_not_shown(h: Harness) -> None:
    h.store.put([replace(an_entry(1), request=b"{}")])
    with closing(sqlite3.connect(h.path)) as db, db:
        db.execute("UPDATE requests SET body = x'00'")
    assert h.store.requests(an_entry(1).tenant, 5) == []
