"""Nearest neighbours by Hamming distance of sign bits, exactly, among the entries of one scope.

Entries lie sorted by scope, so a search reads one slice and nothing of other scopes; what came since
the last merge lies unsorted in a short tail. Searching takes no lock: writers publish a new state, and
arrays that a state shows are not changed, bar ids of removed rows, which become 0.

Against usearch's HNSW with the scope's hash in the metric (scripts/bench_semantic.py): exact instead of
nearly so, 64 bytes an entry instead of 430, milliseconds instead of a minute to build, and it saves
without holding the GIL. A graph is faster only where a single scope holds hundreds of thousands.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import BackendError
from ..ports import Floats, Neighbour
from . import bit_index_file
from .bit_index_file import Rows

_BLOCK = 65536
"""Rows of one pass, so that what it makes stays in the processor's cache."""
_SCAN_ALL = 262_144
"""Slices up to this are compared in full: about 1 ms at 384 bits."""
_FIRST_WORDS = 2
_KEPT = 0.01
"""Larger ones by their first 128 bits, then the nearest 1% in full. Of the ten nearest neighbours with
cosine > 0.85 among 1,000,000 in one scope this lost 0.2%."""
_SURE = 16_384
"""Entries in a scope among which the `k` nearest by bits hold the nearest by cosine. Of larger scopes
more are given, by the square root: ranks are closer there."""
_MIN_TAIL = 8192
_LOW_WATER = 0.99
"""Trimming goes down to this share of the capacity, so that it need not run at each write."""

Ids = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Distances = npt.NDArray[np.uint8 | np.uint16]


class _State(NamedTuple):
    """What a search sees. Of `tail` only the first `used` rows count."""

    main: Rows
    tail: Rows
    used: int


class BitIndex:
    """The Index port. With a `path` it is read from there, and `save` writes it.

    A file that is missing or cannot be used leaves it empty; `found` tells: "loaded", "missing", or
    why not. Holds the `capacity` entries with the highest ids.
    """

    def __init__(
        self, dim: int, embedder: str, *, capacity: int = 1_000_000, path: Path | None = None
    ) -> None:
        self.dim = dim
        self.embedder = embedder
        self._words = bit_index_file.words_for(dim)
        self._capacity = capacity
        self._path = path
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._changes = 0
        self._saved_changes = 0
        main, self.found = self._read()
        self._live = len(main)
        self._last_id = int(main.ids.max(initial=0))
        self._state = _State(main, self._new_tail(main), 0)

    def _read(self) -> tuple[Rows, str]:
        if self._path is None:
            return bit_index_file.empty(self._words, 0), "missing"
        try:
            rows = bit_index_file.read(self._path, dim=self.dim, embedder=self.embedder)
        except FileNotFoundError:
            return bit_index_file.empty(self._words, 0), "missing"
        except BackendError as error:
            return bit_index_file.empty(self._words, 0), str(error)
        return rows, "loaded"

    def _new_tail(self, main: Rows) -> Rows:
        return bit_index_file.empty(self._words, max(_MIN_TAIL, len(main) // 32))

    # ------------------------------------------------------------------ search

    def search(self, scope: bytes, vector: Floats, k: int) -> list[Neighbour]:
        """The `k` nearest in `scope`, nearest first; of equally near ones the newest.

        Up to 7 times as many in a scope of a million.
        """
        main, tail, used = self._state
        query = self._codes(np.asarray(vector, np.float32)[None, :])[:, 0]
        wanted = _scope_number(scope)
        start = np.searchsorted(main.scopes, wanted, "left")
        end = np.searchsorted(main.scopes, wanted, "right")
        k *= max(1, math.isqrt(int(end - start) // _SURE))
        rows = np.flatnonzero(tail.scopes[:used] == wanted)
        near = _nearest(main.ids[start:end], main.codes[:, start:end], query, k)
        if len(rows):
            recent = _nearest(tail.ids[rows], tail.codes[:, rows], query, k)
            near = tuple(np.concatenate(pair) for pair in zip(near, recent, strict=True))
        ids, distances = near
        order = np.lexsort((-ids, distances))[:k]
        # an id may have been removed since it was compared
        pairs = zip(ids[order].tolist(), distances[order].tolist(), strict=True)
        return [Neighbour(id, distance) for id, distance in pairs if id]

    def _codes(self, vectors: Floats) -> Words:
        """(words, n) of (n, dim)."""
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise BackendError(f"vectors {vectors.shape} in an index of dimension {self.dim}")
        bits = np.zeros((len(vectors), self._words * 64), np.bool_)
        np.greater(vectors, 0, out=bits[:, : self.dim])
        packed = np.packbits(bits, axis=1).view("<u8").astype(np.uint64, copy=False)
        return np.ascontiguousarray(packed.T)

    # ------------------------------------------------------------------ change

    def add(self, ids: Sequence[int], scopes: Sequence[bytes], vectors: Floats) -> None:
        """An id that exists is replaced. Ids are above 0 and the given ones differ."""
        new = Rows(
            np.array([_scope_number(scope) for scope in scopes], np.uint64),
            np.array(ids, np.int64),
            self._codes(np.asarray(vectors, np.float32)),
        )
        if not len(new.scopes) == len(new) == new.codes.shape[1]:
            raise BackendError("ids, scopes and vectors differ in number")
        if not len(new):
            return
        with self._lock:
            self._kill(new.ids[new.ids <= self._last_id])
            self._append(new)
            self._live += len(new)
            self._last_id = max(self._last_id, int(new.ids.max()))
            self._changes += len(new)
            self._trim()

    def remove(self, ids: Sequence[int]) -> None:
        with self._lock:
            self._changes += self._kill(np.array(ids, np.int64))

    def _append(self, new: Rows) -> None:
        main, tail, used = self._state
        end = used + len(new)
        if end > len(tail):
            self._merge(new)
            return
        tail.scopes[used:end], tail.ids[used:end] = new.scopes, new.ids
        tail.codes[:, used:end] = new.codes
        self._state = _State(main, tail, end)

    def _kill(self, ids: Ids) -> int:
        if not len(ids):
            return 0
        main, tail, used = self._state
        count = 0
        for known in (main.ids, tail.ids[:used]):
            rows = np.flatnonzero(np.isin(known, ids[ids > 0]))
            known[rows] = 0
            count += len(rows)
        self._live -= count
        if len(main) + used - self._live > max(_MIN_TAIL, self._live // 4):
            self._merge(None)
        return count

    def _trim(self) -> None:
        over = self._live - self._capacity
        if over <= 0:
            return
        main, tail, used = self._state
        ids = np.concatenate([main.ids, tail.ids[:used]])
        ids = ids[ids > 0]
        count = self._live - int(self._capacity * _LOW_WATER)
        self._kill(np.partition(ids, count - 1)[:count])

    def _merge(self, new: Rows | None) -> None:
        """Sort everything that is left into one `main`."""
        main, tail, used = self._state
        parts = [main, Rows(tail.scopes[:used], tail.ids[:used], tail.codes[:, :used])]
        parts += [new] if new is not None else []
        scopes = np.concatenate([part.scopes for part in parts])
        ids = np.concatenate([part.ids for part in parts])
        order = np.flatnonzero(ids)
        order = order[np.argsort(scopes[order], kind="stable")]
        codes = np.empty((self._words, len(order)), np.uint64)
        for word, out in enumerate(codes):
            np.take(np.concatenate([part.codes[word] for part in parts]), order, out=out)
        merged = Rows(scopes[order], ids[order], codes)
        self._state = _State(merged, self._new_tail(merged), 0)

    # ------------------------------------------------------------------ the rest

    def __len__(self) -> int:
        return self._live

    def ids(self) -> Ids:
        """All of them, ascending."""
        main, tail, used = self._state
        ids = np.concatenate([main.ids, tail.ids[:used]])
        return np.sort(ids[ids > 0])

    def save(self) -> None:
        """Raises BackendError when the file cannot be written. Does nothing if nothing changed."""
        if self._path is None:
            return
        with self._saving:
            with self._lock:
                changes = self._changes
                if changes == self._saved_changes:
                    return
                self._merge(None)
                main = self._state.main
                rows = Rows(main.scopes, main.ids.copy(), main.codes)
            bit_index_file.write(self._path, rows, dim=self.dim, embedder=self.embedder)
            self._saved_changes = changes

    def stats(self) -> dict[str, Any]:
        """entries, removed (rows not yet given back), bytes in memory, capacity, unsaved changes."""
        main, tail, used = self._state
        return {
            "entries": self._live,
            "removed": len(main) + used - self._live,
            "bytes": main.nbytes + tail.nbytes,
            "capacity": self._capacity,
            "unsaved": self._changes - self._saved_changes,
        }

    def close(self) -> None:
        self.save()


def _scope_number(scope: bytes) -> np.uint64:
    """A scope is a hash: its first 8 bytes stand for it. Who uses a neighbour compares all of it."""
    return np.uint64(int.from_bytes(scope[:8], "big"))


def _nearest(ids: Ids, codes: Words, query: Words, k: int) -> tuple[Ids, Distances]:
    """Ids and distances of the `k` nearest rows that are not removed, in no order."""
    if codes.shape[1] > _SCAN_ALL:
        rows, distances = _promising(codes, query, k)
        ids = ids[rows]
    else:
        distances = _distances(codes, query)
    alive = ids != 0
    if not alive.all():
        ids, distances = ids[alive], distances[alive]
    if len(ids) <= k:
        return ids, distances
    limit = _limit(distances, k)
    nearer = np.flatnonzero(distances < limit)
    ties = np.flatnonzero(distances == limit)
    ties = ties[np.argsort(ids[ties])[len(nearer) - k :]]
    rows = np.concatenate([nearer, ties])
    return ids[rows], distances[rows]


def _promising(codes: Words, query: Words, k: int) -> tuple[Ids, Distances]:
    """Rows that are nearest in their first words, and their distances."""
    first, rest = codes[:_FIRST_WORDS], codes[_FIRST_WORDS:]
    distances = _distances(first, query[:_FIRST_WORDS])
    sample = distances[:: max(1, len(distances) // _BLOCK)]
    share = max(_KEPT, 16 * k / len(distances))
    rows = np.flatnonzero(distances <= _limit(sample, int(len(sample) * share)))
    others = _distances(np.take(rest, rows, axis=1), query[_FIRST_WORDS:])
    return rows, distances[rows].astype(np.uint16) + others


def _distances(codes: Words, query: Words) -> Distances:
    n = codes.shape[1]
    # bytes are enough for three words, and quicker to go through again
    out = np.zeros(n, np.uint8 if len(codes) < 4 else np.uint16)
    differ = np.empty(min(n, _BLOCK), np.uint64)
    count = np.empty(min(n, _BLOCK), np.uint8)
    for start in range(0, n, _BLOCK):
        part = out[start : start + _BLOCK]
        size = len(part)
        for word, wanted in zip(codes, query, strict=True):
            np.bitwise_xor(word[start : start + size], wanted, out=differ[:size])
            np.bitwise_count(differ[:size], out=count[:size])
            part += count[:size]
    return out


def _limit(distances: Distances, k: int) -> int:
    """The distance of the `k`-th nearest."""
    return int(np.searchsorted(np.cumsum(np.bincount(distances)), max(k, 1)))
