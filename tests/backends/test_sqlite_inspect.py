"""A look at the store's file, alone and while others use it."""

from __future__ import annotations

import sqlite3
from itertools import count
from pathlib import Path

import pytest

from reflex_core.backends import sqlite_inspect
from reflex_core.backends.sqlite import FILE_NAME, SqliteStore
from reflex_core.backends.sqlite_inspect import ModelCount
from reflex_core.errors import BackendError
from reflex_core.ports import Entry


def entry(number: int, model: str = "gpt-4o", expires: float | None = None) -> Entry:
    return Entry(
        key=bytes([number]) * 32,
        tenant=b"t" * 16,
        scope=b"s" * 32,
        provider="openai",
        model=model,
        created=1000.0 + number,
        expires=expires,
        completion=b"answer",
        exact_only=True,
        question=None,
    )


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    made = SqliteStore(tmp_path, 2**30)
    ids = made.put([entry(1), entry(2, expires=5000.0), entry(3, model="claude-haiku-4-5")])
    made.touch([(ids[0], 2000.0), (ids[0], 2001.0), (ids[2], 2000.0)])
    return made


@pytest.mark.parametrize("open_elsewhere", [True, False])
def test_summary(open_elsewhere: bool, store: SqliteStore, tmp_path: Path) -> None:
    if not open_elsewhere:
        store.close()
    found = sqlite_inspect.summary(tmp_path / FILE_NAME, now=6000.0)
    assert (found.entries, found.expired, found.hits, found.oldest) == (3, 1, 3, 1001.0)
    assert found.models == (
        ModelCount("openai", "gpt-4o", 2, 2),
        ModelCount("openai", "claude-haiku-4-5", 1, 1),
    )
    assert found.bytes >= (tmp_path / FILE_NAME).stat().st_size
    assert sqlite_inspect.damage(tmp_path / FILE_NAME, limit_s=10) is None
    store.close()


def test_nothing_changes(store: SqliteStore, tmp_path: Path) -> None:
    store.close()
    path = tmp_path / FILE_NAME
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    sqlite_inspect.summary(path, now=0)
    sqlite_inspect.damage(path, limit_s=10)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_an_empty_store(tmp_path: Path) -> None:
    SqliteStore(tmp_path, 2**30).close()
    found = sqlite_inspect.summary(tmp_path / FILE_NAME, now=0)
    assert (found.entries, found.expired, found.hits, found.oldest) == (0, 0, 0, None)


def test_a_long_check_is_given_up(store: SqliteStore, tmp_path: Path) -> None:
    store.put([entry(n) for n in range(10, 250)])
    store.close()
    seconds = count()
    sqlite_inspect._STEPS, before = 1, sqlite_inspect._STEPS
    try:
        verdict = sqlite_inspect.damage(tmp_path / FILE_NAME, 3, clock=lambda: next(seconds))
    finally:
        sqlite_inspect._STEPS = before
    assert verdict is None
    assert next(seconds) < 10


@pytest.mark.parametrize("content", [b"hello", b"hello" * 1000])
def test_no_database(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd #?%.db"
    path.write_bytes(content)
    with pytest.raises(BackendError, match="cannot be read: file is not a database"):
        sqlite_inspect.summary(path, now=0)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="unable to open database file"):
        sqlite_inspect.summary(tmp_path / "gone.db", now=0)
    assert not (tmp_path / "gone.db").exists()


def test_of_others(store: SqliteStore, tmp_path: Path) -> None:
    store.close()
    path = tmp_path / FILE_NAME
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(BackendError, match="written by a newer Reflex"):
        sqlite_inspect.summary(path, now=0)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA application_id = 1")
    db.close()
    with pytest.raises(BackendError, match="belongs to another program"):
        sqlite_inspect.damage(path, 1)
