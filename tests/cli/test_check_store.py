"""The doctor's look at the store, every fault made for real."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reflex_core.backends.sqlite import SqliteStore
from reflex_core.cli import check_store
from reflex_core.cli.settings import Settings

from .checking import Load, by_name, only

pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.fixture
def store(load: Load) -> Settings:
    """With a store that was used."""
    loaded = load()
    made = SqliteStore(loaded.config.storage_path, 2**30)
    made.close()
    return loaded


def database(loaded: Settings) -> Path:
    return loaded.config.storage_path / "reflex.db"


def test_no_store_yet(load: Load) -> None:
    loaded = load()
    assert only(check_store.store(loaded)).status == "info"
    assert not loaded.config.storage_path.exists()
    assert only(check_store.store(load(reflex_cache="false"))).status == "info"


def test_store(store: Settings) -> None:
    check = only(check_store.store(store))
    assert check.status == "ok"
    assert "0 answers" in check.detail


def test_store_that_cannot_be_made(load: Load, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert (
        "is not a folder"
        in only(check_store.store(load(reflex_storage_path=tmp_path / "file"))).detail
    )
    below = load(reflex_storage_path=tmp_path / "file" / "store")
    assert only(check_store.store(below)).status == "fail"


@contextmanager
def as_somebody() -> Iterator[None]:
    """Root may write everywhere."""
    user, effective, saved = os.getresuid()
    if user == 0:
        os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(user, effective, saved)


def test_store_that_is_not_writable(load: Load) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own is closed to others
        place = Path(name)
        place.chmod(0o755)
        store = load(reflex_storage_path=place / "store")
        SqliteStore(place / "store", 2**30).close()
        (place / "store").chmod(0o555)
        with as_somebody():
            check = only(check_store.store(store))
        assert "is not writable: answers are kept in memory only" in check.detail
        database(store).chmod(0)
        (place / "store").chmod(0o1777)
        with as_somebody():
            assert "cannot be read" in only(check_store.store(store)).detail
        place.chmod(0o600)
        with as_somebody():
            check = only(check_store.store(store))
        place.chmod(0o700)
        assert check.status == "fail"
        assert "cannot be read: Permission denied" in check.detail


def test_store_that_others_may_touch(store: Settings) -> None:
    database(store).chmod(0o644)
    found = list(check_store.store(store))
    assert [check.status for check in found] == ["warn", "ok"]
    assert found[0].fix == f"chmod 600 {database(store)}"
    store.config.storage_path.chmod(0o777)
    assert only(check_store.store(store)).fix == f"chmod 700 {store.config.storage_path}"


def test_store_that_is_damaged(store: Settings) -> None:
    with sqlite3.connect(database(store)) as db:
        db.executescript(
            "CREATE TABLE filler (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
            " WHERE i < 5000) INSERT INTO filler SELECT hex(randomblob(50)) FROM n;"
            "PRAGMA wal_checkpoint(TRUNCATE);"
        )
    db.close()
    with database(store).open("r+b") as file:
        file.seek(file.seek(0, 2) - 40_000)
        file.write(b"\xff" * 20_000)
    check = only(check_store.store(store))
    assert check.status == "fail"
    assert "is damaged" in check.detail or "malformed" in check.detail
    database(store).write_bytes(b"not a database at all" * 100)
    assert "not a database" in only(check_store.store(store)).detail


def test_store_of_another_program(store: Settings) -> None:
    database(store).unlink()
    with sqlite3.connect(database(store)) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    assert "belongs to another program" in only(check_store.store(store)).detail


def test_store_of_a_newer_version(store: Settings) -> None:
    with sqlite3.connect(database(store)) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    assert "written by a newer Reflex (schema 999" in only(check_store.store(store)).detail


def test_tenant_key(store: Settings) -> None:
    key = store.config.storage_path / "tenant.key"
    key.write_bytes(b"short")
    key.chmod(0o600)
    assert by_name(check_store.store(store))["tenant key"].status == "fail"
    key.write_bytes(bytes(32))
    assert by_name(check_store.store(store))["tenant key"].status == "ok"
    key.chmod(0o640)
    assert by_name(check_store.store(store))["tenant key"].fix == f"chmod 600 {key}"
