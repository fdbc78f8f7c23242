"""A Store that forgets: for tests, and for running without a disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from ..memory import ascii_lower, matching
from ..ports import SEARCHED, Entry, StoredRequest, Vectors

_OVERHEAD = 512


class MemoryStore:
    """Same behaviour as SqliteStore, bar survival. `max_bytes` is kept by `evict` only."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: dict[int, Entry] = {}
        self._ids: dict[bytes, int] = {}
        self._used: dict[int, float] = {}
        self._requests: dict[int, bytes] = {}
        self._vectors: dict[int, Vectors] = {}
        self._replaced: list[int] = []
        self._next = count(1)
        self._lock = threading.RLock()

    def get(self, key: bytes, now: float, tenant: bytes | None = None) -> Entry | None:
        with self._lock:
            entry = self.get_by_id(self._ids.get(key, 0), now)
            if entry is None or (tenant is not None and entry.tenant != tenant):
                return None
            return entry

    def get_by_id(self, id: int, now: float) -> Entry | None:
        entry = self._entries.get(id)
        if entry is None or (entry.expires is not None and entry.expires <= now):
            return None
        return entry

    def put(self, entries: Sequence[Entry]) -> list[int]:
        with self._lock:
            ids: list[int] = []
            for entry in entries:
                old = self._ids.get(entry.key)
                if old is not None:
                    self._delete(old)
                    self._replaced.append(old)
                id = next(self._next)
                self._entries[id] = replace(entry, id=id, hits=0, request=b"")
                if entry.request:
                    self._requests[id] = entry.request
                self._ids[entry.key] = id
                self._used[id] = entry.created
                ids.append(id)
            return ids

    def touch(self, hits: Iterable[tuple[int, float]]) -> None:
        with self._lock:
            for id, when in hits:
                entry = self._entries.get(id)
                if entry is not None:
                    self._entries[id] = replace(entry, hits=entry.hits + 1)
                    self._used[id] = max(self._used[id], when)

    def purge(
        self,
        *,
        key: bytes | None = None,
        model: str | None = None,
        tenant: bytes | None = None,
        namespace: str | None = None,
        everything: bool = False,
    ) -> list[int]:
        unwanted = matching(
            key=key, model=model, tenant=tenant, namespace=namespace, everything=everything
        )
        return self._delete_where(unwanted)

    def evict(self, now: float) -> list[int]:
        with self._lock:
            gone, self._replaced = self._replaced, []
            gone += self._delete_where(lambda e: e.expires is not None and e.expires <= now)
            size = sum(map(self._size, self._entries))
            for id in sorted(self._entries, key=self._use):
                if size <= self._max_bytes:
                    break
                size -= self._size(id)
                self._delete(id)
                gone.append(id)
            return gone

    def recent(self, limit: int, now: float) -> list[Entry]:
        with self._lock:
            ids = sorted(self._entries, key=self._use, reverse=True)
            found = [entry for id in ids if (entry := self.get_by_id(id, now)) is not None]
            return found[:limit]

    def search(self, text: str, limit: int, *, questions: bool) -> list[Entry]:
        wanted = ascii_lower(text)
        with self._lock:
            latest = sorted(self._entries, reverse=True)[:SEARCHED]
            ids = sorted(latest, key=self._use, reverse=True)
            entries = [self._entries[id] for id in ids]
        return [e for e in entries if _matches(e, wanted, questions)][:limit]

    def requests(self, tenant: bytes, limit: int) -> list[StoredRequest]:
        with self._lock:
            ids = sorted(self._requests, key=self._use, reverse=True)
            mine = [id for id in ids if self._entries[id].tenant == tenant][:limit]
            return [_stored_request(self._entries[id], self._requests[id]) for id in mine]

    def put_vectors(self, rows: Sequence[Vectors]) -> None:
        with self._lock:
            self._vectors.update({row.id: row for row in rows if row.id in self._entries})

    def get_vectors(self, ids: Sequence[int], *, tokens: bool = True) -> dict[int, Vectors]:
        with self._lock:
            found = {id: self._vectors[id] for id in ids if id in self._vectors}
        return found if tokens else {id: replace(row, tokens=b"") for id, row in found.items()}

    def get_embeddings(self, ids: Sequence[int], embedder: str) -> dict[int, bytes]:
        rows = self.get_vectors(ids).values()
        return {row.id: row.embedding for row in rows if row.embedder == embedder}

    def vector_ids(self, embedder: str) -> list[int]:
        with self._lock:
            return sorted(id for id, row in self._vectors.items() if row.embedder == embedder)

    def scan_vectors(self, after: int, embedder: str) -> Iterator[Vectors]:
        with self._lock:
            rows = sorted(self._vectors.items())
        for id, row in rows:
            if id > after and row.embedder == embedder and row.embedding:
                yield row

    def without_vectors(self, embedder: str, limit: int) -> list[Entry]:
        with self._lock:
            found: list[Entry] = []
            for id, entry in sorted(self._entries.items()):
                vectors = self._vectors.get(id)
                done = vectors is not None and vectors.embedder == embedder
                if len(found) < limit and entry.question is not None and not entry.exact_only:
                    found += [] if done else [entry]
            return found

    def stats(self) -> dict[str, Any]:
        with self._lock:
            return {
                "entries": len(self._entries),
                "bytes": sum(map(self._size, self._entries)),
                "max_bytes": self._max_bytes,
                "oldest": min((e.created for e in self._entries.values()), default=None),
                "schema": None,
                "path": None,
            }

    def close(self) -> None:
        with self._lock:
            self._delete_where(lambda entry: True)

    def _delete_where(self, unwanted: Callable[[Entry], bool]) -> list[int]:
        with self._lock:
            ids = [id for id, entry in self._entries.items() if unwanted(entry)]
            for id in ids:
                self._delete(id)
            return ids

    def _delete(self, id: int) -> None:
        entry = self._entries.pop(id)
        del self._ids[entry.key], self._used[id]
        self._vectors.pop(id, None)
        self._requests.pop(id, None)

    def _use(self, id: int) -> tuple[float, int]:
        return self._used[id], id

    def _size(self, id: int) -> int:
        entry, vectors = self._entries[id], self._vectors.get(id)
        size = len(entry.completion) + len((entry.question or "").encode()) + _OVERHEAD
        size += len(self._requests.get(id, b""))
        return size + (len(vectors.embedding) + len(vectors.tokens) if vectors else 0)


def _stored_request(entry: Entry, body: bytes) -> StoredRequest:
    return StoredRequest(entry.id, entry.key, entry.scope, entry.model, entry.created, body)


def _matches(entry: Entry, text: str, questions: bool) -> bool:
    values = [entry.model, entry.provider, entry.namespace, entry.question if questions else None]
    return entry.key.hex().startswith(text) or any(text in ascii_lower(v) for v in values if v)
