"""A look at a store's file that changes nothing, whoever else has it open."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ..errors import BackendError
from . import sqlite_schema

_BUSY_S = 2.0
_STEPS = 100_000
"""Virtual machine steps between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class ModelCount:
    provider: str
    model: str
    entries: int
    hits: int


@dataclass(frozen=True, slots=True)
class Summary:
    """`bytes` are of the file and its -wal; times are unix seconds."""

    path: Path
    bytes: int
    schema: int
    entries: int
    expired: int
    hits: int
    oldest: float | None
    models: tuple[ModelCount, ...]
    """Most entries first."""


def summary(path: Path, now: float) -> Summary:
    """Raises BackendError, also for a file that is no store or was written by a newer version."""
    with _reading(path) as db:
        entries, hits, oldest, expired = db.execute(
            "SELECT count(*), ifnull(sum(hits), 0), min(created), ifnull(sum(expires <= ?), 0)"
            " FROM entries",
            (now,),
        ).fetchone()
        models = db.execute(
            "SELECT provider, model, count(*), sum(hits) FROM entries"
            " GROUP BY provider, model ORDER BY count(*) DESC, provider, model"
        ).fetchall()
        return Summary(
            path=path,
            bytes=_size(path),
            schema=sqlite_schema.version(db),
            entries=entries,
            expired=expired,
            hits=hits,
            oldest=oldest,
            models=tuple(ModelCount(*row) for row in models),
        )


def damage(path: Path, limit_s: float, clock: Callable[[], float] = time.monotonic) -> str | None:
    """What SQLite's quick check finds wrong; None for nothing in `limit_s` seconds.

    Raises BackendError when the file cannot be read at all.
    """
    with _reading(path) as db:
        deadline = clock() + limit_s
        db.set_progress_handler(lambda: int(clock() > deadline), _STEPS)
        try:
            verdict = " ".join(db.execute("PRAGMA quick_check(1)").fetchone()[0].split())
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                return None
            raise
    return None if verdict == "ok" else verdict


@contextmanager
def _reading(path: Path) -> Generator[sqlite3.Connection]:
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    try:
        db = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)
        try:
            if sqlite_schema.is_foreign(db):
                raise BackendError(f"{path} belongs to another program")
            found = sqlite_schema.version(db)
            if found > sqlite_schema.SCHEMA:
                raise BackendError(
                    f"{path} was written by a newer Reflex (schema {found},"
                    f" this one knows {sqlite_schema.SCHEMA})"
                )
            yield db
        finally:
            db.close()
    except sqlite3.Error as error:
        raise BackendError(f"{path} cannot be read: {error}") from error


def _size(path: Path) -> int:
    files = (path, path.with_name(path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())
