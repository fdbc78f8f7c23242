"""The durable store: one SQLite file in WAL mode."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import BackendError
from ..memory import ascii_lower
from ..ports import SEARCHED, Entry, StoredRequest, Vectors
from .sqlite_database import Database
from .sqlite_schema import COLUMNS, SCHEMA, entry

_LOG = logging.getLogger(__name__)

FILE_NAME = "reflex.db"
_LOW_WATER = 0.95
"""Eviction goes down to this share of the bound, so that it need not run at each write."""
_OVERHEAD = 300
"""Bytes that a row and its places in the indexes take beside its values."""
_BATCH = 1000
_TOKENS = "ifnull((SELECT tokens FROM tokens t WHERE t.id = e.id), x'')"
_SHRINK_PAGES = 5000
"""At most so many pages are given back at a time: moving one takes about 60 us."""
_MAX_REQUEST = 256 * 1024
"""Bytes, deflated: larger requests (images, mostly) are not kept."""
_ALIVE = "(expires IS NULL OR expires > ?)"


class SqliteStore:
    """The Store port on disk. A file that breaks is moved aside and begun anew; see Database.

    Making one never fails: where the file cannot be opened `log` says so, the methods raise
    BackendError, and it is tried again, at most once in `retry_s` seconds.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        *,
        log: Callable[[str], None] = _LOG.warning,
        retry_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._max_bytes = max_bytes
        path = folder / FILE_NAME
        self._db = Database(path, log=log, retry_s=retry_s, clock=clock, wall=wall)
        self._lock = threading.Lock()
        self._replaced: list[int] = []
        self._embedded: dict[str, int] = {}
        with suppress(BackendError):
            self._db.open()

    # ----------------------------------------------------------------- entries

    def get(self, key: bytes, now: float, tenant: bytes | None = None) -> Entry | None:
        """With `tenant` given, an entry of another one is not seen even if the key is right."""
        found = self._one("key = ?", key, now)
        if found is None or (tenant is not None and found.tenant != tenant):
            return None
        return found

    def get_by_id(self, id: int, now: float) -> Entry | None:
        return self._one("id = ?", id, now)

    def _one(self, condition: str, value: bytes | int, now: float) -> Entry | None:
        query = f"SELECT {COLUMNS} FROM entries WHERE {condition} AND {_ALIVE}"
        with self._db.read() as db:
            row = db.execute(query, (value, now)).fetchone()
        return None if row is None else entry(row)

    def put(self, entries: Sequence[Entry]) -> list[int]:
        """The ids of entries that were replaced come out of the next `evict`."""
        ids: list[int] = []
        replaced: list[int] = []
        with self._db.write() as db:
            for item in entries:
                old = db.execute("DELETE FROM entries WHERE key = ? RETURNING id", (item.key,))
                replaced += [row[0] for row in old.fetchall()]
                ids.append(_insert(db, item))
                if item.request and len(packed := zlib.compress(item.request)) <= _MAX_REQUEST:
                    db.execute("INSERT INTO requests VALUES (?, ?)", (ids[-1], packed))
        self._tell_later(replaced)
        return ids

    def touch(self, hits: Iterable[tuple[int, float]]) -> None:
        counts: dict[int, tuple[int, float]] = {}
        for id, when in hits:
            count, last = counts.get(id, (0, when))
            counts[id] = (count + 1, max(last, when))
        rows = [(count, last, id) for id, (count, last) in counts.items()]
        if rows:
            with self._db.write() as db:
                db.executemany(
                    "UPDATE entries SET hits = hits + ?, used = max(used, ?) WHERE id = ?", rows
                )

    def recent(self, limit: int, now: float) -> list[Entry]:
        query = f"SELECT {COLUMNS} FROM entries WHERE {_ALIVE} ORDER BY used DESC, id DESC LIMIT ?"
        with self._db.read() as db:
            rows = db.execute(query, (now, limit)).fetchall()
        return [entry(row) for row in rows]

    def search(self, text: str, limit: int, *, questions: bool) -> list[Entry]:
        """Reads the rows one by one: what is searched for may be anywhere in a text."""
        names = ["model", "provider", "namespace", *(["question"] if questions else [])]
        places = " OR ".join(f"instr(lower({name}), :text)" for name in names)
        query = (
            f"SELECT {COLUMNS} FROM (SELECT * FROM entries ORDER BY id DESC LIMIT {SEARCHED})"
            f" WHERE :text = '' OR instr(lower(hex(key)), :text) = 1 OR {places}"
            " ORDER BY used DESC, id DESC LIMIT :limit"
        )
        with self._db.read() as db:
            rows = db.execute(query, {"text": ascii_lower(text), "limit": limit}).fetchall()
        return [entry(row) for row in rows]

    def requests(self, tenant: bytes, limit: int) -> list[StoredRequest]:
        query = (
            "SELECT e.id, key, scope, model, created, body FROM requests r JOIN entries e USING (id)"
            " WHERE tenant = ? ORDER BY used DESC, e.id DESC LIMIT ?"
        )
        with self._db.read() as db:
            rows = db.execute(query, (tenant, limit)).fetchall()
        found = [
            StoredRequest(id, key, scope, model, created, _inflate(packed))
            for id, key, scope, model, created, packed in rows
        ]
        return [request for request in found if request.body]

    # ----------------------------------------------------------------- removal

    def purge(
        self,
        *,
        key: bytes | None = None,
        model: str | None = None,
        tenant: bytes | None = None,
        namespace: str | None = None,
        everything: bool = False,
    ) -> list[int]:
        """What is purged is gone from the disk too: overwritten, and taken out of the -wal file."""
        wanted = {"model": model, "tenant": tenant, "namespace": namespace}
        given: dict[str, Any] = {k: value for k, value in wanted.items() if value is not None}
        conditions = [f"{name} = :{name}" for name in given]
        if key is not None:
            conditions.append("key BETWEEN :key AND :last AND :key <> x''")
            given |= {"key": key, "last": key.ljust(32, b"\xff")}
        if not conditions:
            return self._purge_everything() if everything else []
        gone = self._delete(" AND ".join(conditions), given)
        with suppress(BackendError), self._db.pragmas() as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return gone

    def _purge_everything(self) -> list[int]:
        """A new file is made: deleting a million rows takes minutes."""
        with self._db.read() as db:
            ids = [row[0] for row in db.execute("SELECT id FROM entries ORDER BY id")]
        self._db.replace()
        return ids

    def evict(self, now: float) -> list[int]:
        """Also returns the ids that `put` replaced since the last time."""
        with self._lock:
            gone, self._replaced = self._replaced, []
        try:
            gone += self._delete("expires <= :now", {"now": now})
            while over := self._over():
                removed = self._remove_oldest(over)
                gone += removed
                if not removed:
                    break
            self._shrink()
        except BackendError:
            self._tell_later(gone)
            raise
        return gone

    def _delete(self, condition: str, values: dict[str, Any]) -> list[int]:
        """In batches, so that neither the transaction nor the -wal file grows with their number."""
        query = (
            "DELETE FROM entries WHERE id IN (SELECT id FROM entries"
            f" WHERE id > :after AND {condition} ORDER BY id LIMIT {_BATCH}) RETURNING id"
        )
        gone: list[int] = []
        try:
            while True:
                after = gone[-1] if gone else 0
                with self._db.write() as db:
                    rows = db.execute(query, {**values, "after": after}).fetchall()
                gone += sorted(row[0] for row in rows)
                if len(rows) < _BATCH:
                    return gone
        except BackendError:
            self._tell_later(gone)
            raise

    def _tell_later(self, gone: list[int]) -> None:
        with self._lock:
            self._replaced += gone

    def _over(self) -> int:
        """Bytes to free; 0 while the bound is kept."""
        with self._db.read() as db:
            used = _used_bytes(db)
        return 0 if used <= self._max_bytes else int(used - self._max_bytes * _LOW_WATER)

    def _remove_oldest(self, size: int) -> list[int]:
        """Delete the least recently used entries that hold about `size` bytes, one batch at most."""
        query = (
            "SELECT e.id, length(completion) + ifnull(length(CAST(question AS BLOB)), 0)"
            " + ifnull(length(embedding), 0) + ifnull(length(tokens), 0) + ifnull(length(body), 0)"
            " FROM entries e LEFT JOIN vectors USING (id) LEFT JOIN tokens USING (id)"
            " LEFT JOIN requests USING (id)"
            " ORDER BY used, e.id LIMIT ?"
        )
        with self._db.write() as db:
            ids: list[int] = []
            for id, length in db.execute(query, (_BATCH,)).fetchall():
                ids.append(id)
                size -= length + _OVERHEAD
                if size <= 0:
                    break
            db.executemany("DELETE FROM entries WHERE id = ?", [(id,) for id in ids])
        return ids

    def _shrink(self) -> None:
        """Give free pages back to the disk where the file is over the bound; else they are reused."""
        with self._db.read() as db:
            pages, _, size = _pages(db)
        if pages * size > self._max_bytes:
            with self._db.pragmas() as db:
                db.execute(f"PRAGMA incremental_vacuum({_SHRINK_PAGES})").fetchall()

    # ----------------------------------------------------------------- vectors

    def put_vectors(self, rows: Sequence[Vectors]) -> None:
        """Rows whose entry is gone are skipped.

        An empty embedding means that this embedder can make none: the row is never scanned, and
        `without_vectors` does not name the entry again.
        """
        with self._db.write() as db:
            for row in rows:
                db.execute("INSERT OR IGNORE INTO embedders (name) VALUES (?)", (row.embedder,))
                db.execute("DELETE FROM vectors WHERE id = ?", (row.id,))
                made = db.execute(
                    "INSERT INTO vectors (id, embedder, embedding)"
                    " SELECT e.id, m.id, ? FROM entries e, embedders m WHERE e.id = ? AND m.name = ?",
                    (row.embedding, row.id, row.embedder),
                )
                if made.rowcount and row.tokens:
                    db.execute("INSERT INTO tokens VALUES (?, ?)", (row.id, row.tokens))
        with self._lock:
            names = {row.embedder for row in rows}
            self._embedded = {name: id for name, id in self._embedded.items() if {name} == names}

    def get_vectors(self, ids: Sequence[int], *, tokens: bool = True) -> dict[int, Vectors]:
        query = (
            f"SELECT e.id, e.scope, m.name, v.embedding, {_TOKENS if tokens else "x''"}"
            " FROM entries e JOIN vectors v USING (id) JOIN embedders m ON m.id = v.embedder"
            " WHERE e.id IN (%s)"
        )
        found: dict[int, Vectors] = {}
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            with self._db.read() as db:
                rows = db.execute(query % ",".join("?" * len(batch)), batch).fetchall()
            found.update({row[0]: Vectors(*row) for row in rows})
        return found

    def get_embeddings(self, ids: Sequence[int], embedder: str) -> dict[int, bytes]:
        query = (
            "SELECT id, embedding FROM vectors WHERE id IN (%s)"
            " AND embedder = (SELECT id FROM embedders WHERE name = ?)"
        )
        found: dict[int, bytes] = {}
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            with self._db.read() as db:
                marks = ",".join("?" * len(batch))
                found.update(db.execute(query % marks, [*batch, embedder]).fetchall())
        return found

    def vector_ids(self, embedder: str) -> list[int]:
        query = (
            "SELECT id FROM vectors"
            " WHERE embedder = (SELECT id FROM embedders WHERE name = ?) ORDER BY id"
        )
        with self._db.read() as db:
            return [row[0] for row in db.execute(query, (embedder,)).fetchall()]

    def scan_vectors(self, after: int, embedder: str) -> Iterator[Vectors]:
        """Without tokens. Reads in batches: nothing is held open between them."""
        query = (
            "SELECT v.id, e.scope, v.embedding FROM vectors v JOIN entries e USING (id)"
            " WHERE v.id > ? AND length(v.embedding) > 0"
            " AND v.embedder = (SELECT id FROM embedders WHERE name = ?) ORDER BY v.id LIMIT ?"
        )
        while True:
            with self._db.read() as db:
                rows = db.execute(query, (after, embedder, _BATCH)).fetchall()
            for id, scope, embedding in rows:
                yield Vectors(id, scope, embedder, embedding, b"")
            if len(rows) < _BATCH:
                return
            after = rows[-1][0]

    def without_vectors(self, embedder: str, limit: int) -> list[Entry]:
        """In row id order. Those for the exact key only need none, and are left out."""
        query = (
            f"SELECT {COLUMNS} FROM entries e"
            " WHERE id >= ? AND question IS NOT NULL AND NOT exact_only AND NOT EXISTS"
            " (SELECT 1 FROM vectors v JOIN embedders m ON m.id = v.embedder"
            " WHERE v.id = e.id AND m.name = ?) ORDER BY id LIMIT ?"
        )
        with self._lock:
            start = self._embedded.get(embedder, 0)
        with self._db.read() as db:
            last = db.execute("SELECT ifnull(max(id), 0) FROM entries").fetchone()[0]
            found = [entry(row) for row in db.execute(query, (start, embedder, limit)).fetchall()]
        # all below have theirs: the next call need not look at them again
        with self._lock:
            self._embedded[embedder] = found[0].id if found else last + 1
        return found

    # ----------------------------------------------------------------- the rest

    def stats(self) -> dict[str, Any]:
        """entries, bytes (pages in use), max_bytes, oldest (unix seconds), schema, path."""
        with self._db.read() as db:
            count, oldest = db.execute(
                "SELECT (SELECT count(*) FROM entries), (SELECT min(created) FROM entries)"
            ).fetchone()
            used = _used_bytes(db)
        return {
            "entries": count,
            "bytes": used,
            "max_bytes": self._max_bytes,
            "oldest": oldest,
            "schema": SCHEMA,
            "path": str(self._db.path),
        }

    def close(self) -> None:
        self._db.close()


def _insert(db: sqlite3.Connection, item: Entry) -> int:
    row = (
        item.key,
        item.tenant,
        item.scope,
        item.provider,
        item.model,
        item.created,
        item.expires,
        item.completion,
        item.exact_only,
        item.question,
        item.namespace,
        item.took,
        item.created,
    )
    return db.execute(
        "INSERT INTO entries (key, tenant, scope, provider, model, created, expires, completion,"
        " exact_only, question, namespace, took, used, hits) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,0)"
        " RETURNING id",
        row,
    ).fetchone()[0]


def _pages(db: sqlite3.Connection) -> tuple[int, int, int]:
    """All pages, free ones among them, bytes in one."""
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return pages, free, size


def _used_bytes(db: sqlite3.Connection) -> int:
    pages, free, size = _pages(db)
    return (pages - free) * size


def _inflate(packed: bytes) -> bytes:
    """Empty for what is damaged."""
    try:
        return zlib.decompress(packed)
    except zlib.error:
        return b""
