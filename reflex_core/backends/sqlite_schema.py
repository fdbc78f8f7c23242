"""The store's tables, how they got there, and rows <-> entries."""

from __future__ import annotations

import sqlite3
from typing import Any

from ..ports import Entry

APPLICATION_ID = 0x52464C58
""""RFLX": tells our file from another program's (PRAGMA application_id)."""

# Small columns first: eviction and touches need not walk a large answer's overflow pages.
# AUTOINCREMENT: an id is never given out twice, since the index knows entries by id only.
_V1 = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE,
    used REAL NOT NULL,
    hits INTEGER NOT NULL,
    created REAL NOT NULL,
    expires REAL,
    exact_only INTEGER NOT NULL,
    tenant BLOB NOT NULL,
    scope BLOB NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    namespace TEXT,
    question TEXT,
    completion BLOB NOT NULL
) STRICT;
CREATE INDEX entries_used ON entries (used);
CREATE INDEX entries_expires ON entries (expires) WHERE expires IS NOT NULL;
CREATE INDEX entries_created ON entries (created);
CREATE TABLE embedders (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY REFERENCES entries (id) ON DELETE CASCADE,
    embedder INTEGER NOT NULL REFERENCES embedders (id),
    embedding BLOB NOT NULL
) STRICT;
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY REFERENCES vectors (id) ON DELETE CASCADE,
    tokens BLOB NOT NULL
) STRICT;
"""

_V2 = """
CREATE TABLE requests (
    id INTEGER PRIMARY KEY REFERENCES entries (id) ON DELETE CASCADE,
    body BLOB NOT NULL
) STRICT
"""
"""`body` is deflated (zlib)."""

_V3 = "CREATE INDEX vectors_embedder ON vectors (embedder)"
"""Lists what the index should hold without reading a vector."""

_V4 = "ALTER TABLE entries ADD COLUMN took REAL"

MIGRATIONS = (_V1, _V2, _V3, _V4)
"""MIGRATIONS[n] takes schema n to n + 1. Never edit one that was released: add another."""

SCHEMA = len(MIGRATIONS)

COLUMNS = (
    "id, key, tenant, scope, provider, model, created, expires, completion, exact_only, question,"
    " namespace, hits, took"
)
"""In the order `entry` reads them."""


def entry(row: tuple[Any, ...]) -> Entry:
    return Entry(
        id=row[0],
        key=row[1],
        tenant=row[2],
        scope=row[3],
        provider=row[4],
        model=row[5],
        created=row[6],
        expires=row[7],
        completion=row[8],
        exact_only=bool(row[9]),
        question=row[10],
        namespace=row[11],
        hits=row[12],
        took=row[13],
    )


def version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def is_foreign(connection: sqlite3.Connection) -> bool:
    """True for a database that has tables and is not ours."""
    if connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
        return False
    return connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is not None


def migrate(connection: sqlite3.Connection, now: float) -> None:
    """Bring the schema up to date, in one transaction; `connection` is in autocommit mode.

    Row ids of a new store start at the microsecond it is made in, so that they lie above all ids of
    a store that was here before: an index that outlived it can only miss, never point wrongly.
    """
    if version(connection) == SCHEMA:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = version(connection)
        for script in MIGRATIONS[found:]:
            for statement in script.split(";"):
                connection.execute(statement)
        if found == 0:
            seed = int(now * 1_000_000)
            connection.execute("INSERT INTO sqlite_sequence VALUES ('entries', ?)", (seed,))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def probe(connection: sqlite3.Connection) -> None:
    """Raises sqlite3.OperationalError when tables or columns are missing."""
    connection.execute(f"SELECT {COLUMNS}, used FROM entries LIMIT 0")
    connection.execute("SELECT v.id, v.embedding, t.tokens FROM vectors v, tokens t LIMIT 0")
    connection.execute("SELECT id, name FROM embedders LIMIT 0")
    connection.execute("SELECT id, body FROM requests LIMIT 0")
