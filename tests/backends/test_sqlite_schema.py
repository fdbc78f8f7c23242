from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reflex_core.backends import sqlite_schema as schema


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield connection


def test_new_database(db: sqlite3.Connection) -> None:
    assert not schema.is_foreign(db)
    schema.migrate(db, 1_700_000_000.5)
    assert schema.version(db) == schema.SCHEMA
    assert not schema.is_foreign(db)
    schema.probe(db)
    db.execute(
        "INSERT INTO entries (key, used, hits, created, exact_only, tenant, scope, provider, model,"
        " completion) VALUES (x'', 0, 0, 0, 0, x'', x'', '', '', x'')"
    )
    assert db.execute("SELECT id FROM entries").fetchone() == (1_700_000_000_500_001,)
    schema.migrate(db, 5)
    assert db.execute("SELECT count(*) FROM entries").fetchone() == (1,)


def test_ladder_keeps_rows(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    schema.migrate(db, 7)
    db.execute("INSERT INTO embedders (name) VALUES ('old')")
    step = "ALTER TABLE embedders ADD COLUMN dim INTEGER; UPDATE embedders SET dim = 384"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    monkeypatch.setattr(schema, "SCHEMA", schema.SCHEMA + 1)
    schema.migrate(db, 9)
    assert schema.version(db) == schema.SCHEMA
    assert db.execute("SELECT name, dim FROM embedders").fetchall() == [("old", 384)]
    assert db.execute("SELECT seq FROM sqlite_sequence").fetchall() == [(7_000_000,)]


def test_failed_step_changes_nothing(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE a (x); nonsense"))
    monkeypatch.setattr(schema, "SCHEMA", schema.SCHEMA + 1)
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(db, 7)
    assert schema.version(db) == 0
    assert db.execute("SELECT * FROM sqlite_schema").fetchall() == []
    assert not db.in_transaction


def test_foreign(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE other (x)")
    assert schema.is_foreign(db)


def test_step_that_another_process_took_first(tmp_path: Path) -> None:
    """`migrate` looks at the version again once it holds the lock."""
    with (
        closing(sqlite3.connect(tmp_path / "x", isolation_level=None)) as one,
        closing(sqlite3.connect(tmp_path / "x", isolation_level=None)) as two,
    ):
        looked: list[str] = []

        def first(statement: str) -> None:
            if statement == "BEGIN IMMEDIATE":
                looked.append(statement)
                schema.migrate(one, 1)

        two.set_trace_callback(first)
        schema.migrate(two, 2)
        assert looked
        assert two.execute("SELECT seq FROM sqlite_sequence").fetchall() == [(1_000_000,)]


@pytest.mark.parametrize("change", ["DROP TABLE vectors", "ALTER TABLE entries DROP COLUMN hits"])
def test_probe(db: sqlite3.Connection, change: str) -> None:
    schema.migrate(db, 1)
    db.execute(change)
    with pytest.raises(sqlite3.OperationalError):
        schema.probe(db)
