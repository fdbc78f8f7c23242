"""Connections to one SQLite file that may be locked, full, damaged or deleted at any time.

One connection writes, a few read. Whatever SQLite or the disk does comes out as BackendError, and
the next try is made no sooner than `retry_s` later, so that a broken store does not slow requests.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import BackendError
from . import sqlite_files, sqlite_schema

READ_BUSY_MS = 100
"""In WAL mode readers wait only for another process that holds the whole file: keep it short."""
WRITE_BUSY_MS = 2000
CHECK_BYTES = 64 * 1024 * 1024
"""Up to this size the whole file is checked when it is opened (about 0.1 s). Damage in a larger one
is found when a page is used; single answers carry their own sum (codec_store)."""
_MIN_SQLITE = (3, 37)
"""STRICT tables."""
_IDLE_READERS = 8
_GIVE_UP_AFTER = 3
"""Failed reads in a row after which the connections are made anew. Failed writes do not count: on
a full disk reading goes on, and opening would fail."""


@dataclass(slots=True)
class _Gate:
    """Holds back tries after a failure. Reads and writes have one each."""

    failures: int = 0
    closed_until: float = 0.0
    error: str = ""


@dataclass(slots=True, eq=False)
class _Open:
    """The connections to one file. `dead`: whoever uses a connection closes it."""

    writer: sqlite3.Connection
    identity: tuple[int, int] | None
    writing: threading.Lock = field(default_factory=threading.Lock)
    readers: list[sqlite3.Connection] = field(default_factory=list[sqlite3.Connection])
    dead: bool = False


class _Unusable(Exception):
    """The file is no store of ours: "corrupt", "newer" or "foreign"."""


class Database:
    """Thread-safe. `log` gets a line when something happened that the user should know."""

    def __init__(
        self,
        path: Path,
        *,
        log: Callable[[str], None],
        retry_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._log = log
        self._retry_s = retry_s
        self._clock = clock
        self._wall = wall
        self._reads, self._writes = _Gate(), _Gate()
        self._opening = threading.Lock()
        self._opened: _Open | None = None
        self._closed = False

    @contextmanager
    def read(self) -> Generator[sqlite3.Connection]:
        """A connection for queries; fetch all rows inside. Raises BackendError."""
        with self._guard(self._reads, READ_BUSY_MS) as opened:
            try:
                connection = opened.readers.pop()
            except IndexError:
                connection = self._reader()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            if opened.dead or len(opened.readers) >= _IDLE_READERS:
                connection.close()
            else:
                opened.readers.append(connection)

    @contextmanager
    def write(self) -> Generator[sqlite3.Connection]:
        """A connection inside a transaction, committed at the end. Raises BackendError."""
        with self.pragmas() as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            finally:
                with suppress(sqlite3.Error):
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")

    @contextmanager
    def pragmas(self) -> Generator[sqlite3.Connection]:
        """The writing connection outside of a transaction. Raises BackendError."""
        with self._guard(self._writes, WRITE_BUSY_MS) as opened, opened.writing:
            if opened.dead:
                raise BackendError("the store was just replaced")
            try:
                yield opened.writer
            finally:
                if opened.dead:
                    opened.writer.close()

    def open(self) -> None:
        """Open now rather than at the first use. Raises BackendError."""
        with self._guard(self._writes, WRITE_BUSY_MS):
            pass

    def replace(self) -> None:
        """Delete the file and start an empty one. Waits for a write in progress. Raises BackendError."""
        with self._guard(self._writes, WRITE_BUSY_MS) as opened:
            with self._opening, opened.writing:
                if self._opened is not opened:
                    raise BackendError("the store was just replaced")
                opened.writer.close()
                self._drop(opened)
                self.path.unlink()
                sqlite_files.remove_sides(self.path)
            self._current(WRITE_BUSY_MS)

    def close(self) -> None:
        """Waits for a write in progress. Everything after it raises BackendError."""
        with self._opening:
            self._closed = True
            if self._opened is not None:
                with self._opened.writing:
                    self._opened.writer.close()
                self._drop(self._opened)

    # ----------------------------------------------------------------- failing and recovering

    @contextmanager
    def _guard(self, gate: _Gate, busy_ms: int) -> Generator[_Open]:
        if gate.failures and self._clock() < gate.closed_until:
            raise BackendError(gate.error)
        opened: _Open | None = None
        try:
            opened = self._current(busy_ms)
            yield opened
        except (sqlite3.Error, OSError, OverflowError, UnicodeError) as error:
            raise self._failed(gate, opened, error) from error
        if gate.failures:
            gate.failures = 0
            self._log(f"The store {self.path} works again.")

    def _failed(self, gate: _Gate, opened: _Open | None, error: Exception) -> BackendError:
        """Take note of a failure, and do what helps the next try."""
        text = f"the store {self.path} failed: {error}"
        if _is_of_one_row(error):
            return BackendError(text)
        first = gate.failures == 0
        gate.failures += 1
        gate.error = text
        gate.closed_until = self._clock() + self._retry_s
        if opened is not None and _is_damage(error):
            self._replace(opened)
        elif opened is not None and gate is self._reads and gate.failures >= _GIVE_UP_AFTER:
            with self._opening:
                self._drop(opened)
        elif first:
            self._log(f"{text}. Requests go on without it.")
        return BackendError(text)

    def _replace(self, opened: _Open) -> None:
        """Move a damaged store aside; the next use starts an empty one."""
        with self._opening:
            if self._opened is not opened:
                return
            self._drop(opened)
            if sqlite_files.identity(self.path) == opened.identity:
                with suppress(OSError):
                    self._log(sqlite_files.set_aside(self.path, "corrupt", self._wall()))

    def _drop(self, opened: _Open) -> None:
        """Forget the connections; those in use are closed by their users."""
        opened.dead = True
        if self._opened is opened:
            self._opened = None
        while opened.readers:
            opened.readers.pop().close()
        if opened.writing.acquire(blocking=False):
            opened.writer.close()
            opened.writing.release()

    # ----------------------------------------------------------------- opening

    def _current(self, busy_ms: int) -> _Open:
        opened = self._opened
        if opened is not None and sqlite_files.identity(self.path) == opened.identity:
            return opened
        if not self._opening.acquire(timeout=busy_ms / 1000):
            raise BackendError("the store is being opened")
        try:
            if self._closed:
                raise BackendError("the store is closed")
            opened = self._opened
            if opened is not None:
                now = sqlite_files.identity(self.path)
                if now == opened.identity:
                    return opened
                self._log(f"The store {self.path} was removed or replaced; it is opened anew.")
                self._drop(opened)
                if now is None:
                    sqlite_files.remove_sides(self.path)
            opened = self._opened = self._open(busy_ms)
            return opened
        finally:
            self._opening.release()

    def _open(self, busy_ms: int) -> _Open:
        if sqlite3.sqlite_version_info < _MIN_SQLITE:
            raise OSError(f"SQLite {sqlite3.sqlite_version} is too old")
        sqlite_files.prepare(self.path)
        try:
            return self._open_file(busy_ms)
        except _Unusable as why:
            self._log(sqlite_files.set_aside(self.path, str(why), self._wall()))
        sqlite_files.prepare(self.path)
        try:
            return self._open_file(busy_ms)
        except _Unusable as why:
            raise OSError(f"a new store is {why} at once") from why

    def _open_file(self, busy_ms: int) -> _Open:
        """Raises _Unusable for a file that must be moved aside, else sqlite3.Error."""
        identity = sqlite_files.identity(self.path)
        connection = self._connection(busy_ms)
        try:
            self._set_up(connection)
            connection.execute(f"PRAGMA busy_timeout = {WRITE_BUSY_MS}")
        except sqlite3.DatabaseError as error:
            connection.close()
            # SQLITE_ERROR: a table or column is missing
            if _is_damage(error) or _code(error) == sqlite3.SQLITE_ERROR:
                raise _Unusable("corrupt") from error
            raise
        except BaseException:
            connection.close()
            raise
        return _Open(connection, identity)

    def _connection(self, busy_ms: int) -> sqlite3.Connection:
        return sqlite3.connect(
            self.path, timeout=busy_ms / 1000, isolation_level=None, check_same_thread=False
        )

    def _reader(self) -> sqlite3.Connection:
        connection = self._connection(READ_BUSY_MS)
        try:
            _settings(connection)
            connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        _settings(connection)
        if sqlite_schema.is_foreign(connection):
            raise _Unusable("foreign")
        if sqlite_schema.version(connection) > sqlite_schema.SCHEMA:
            raise _Unusable("newer")
        if self.path.stat().st_size <= CHECK_BYTES:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise _Unusable("corrupt")
        connection.executescript(
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
            "PRAGMA secure_delete = ON; PRAGMA journal_size_limit = 67108864;"
        )
        sqlite_schema.migrate(connection, self._wall())
        sqlite_schema.probe(connection)


def _settings(connection: sqlite3.Connection) -> None:
    # NORMAL with WAL: a commit is in the operating system's hands at once, so a killed process loses
    # none; a power cut may lose the last ones but never damages the file. FULL would wait for the
    # disk at each commit, and all there is to lose is a cached answer.
    # No temporary file with prompts in it, and no SIGBUS from a mapped file that is cut under us.
    connection.executescript(
        "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;"
        "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;"
    )


def _code(error: Exception) -> int:
    """SQLite's primary result code."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_of_one_row(error: Exception) -> bool:
    """A value that cannot be written or read; other rows can."""
    if isinstance(error, sqlite3.Error):
        return _code(error) in (0, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG)
    return not isinstance(error, OSError)


def _is_damage(error: Exception) -> bool:
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
