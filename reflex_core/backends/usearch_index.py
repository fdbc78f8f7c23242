"""Nearest neighbours by Hamming distance in a usearch HNSW graph, with the scope in the metric.

Each code is an entry's sign bits with 256 bits of its scope's hash appended: entries of another scope
are some hundred bits further away, so the neighbours found are those of the own scope. A graph finds
nearly all of them in the same time however large a scope is; `BitIndex`, which compares a whole scope,
is exact, smaller and quicker to build, and the default. Format: usearch's own file, and a JSON beside it
that says what is in it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ..errors import BackendError
from ..ports import Floats, Neighbour

with suppress(ImportError):
    import_module("onnxruntime")  # loaded after usearch it crashes the interpreter; before it, not

from usearch.compiled import MetricKind, ScalarKind
from usearch.index import Index

_SALT = 32
"""Bytes of the scope's hash in a code."""
_CONNECTIVITY = 16
_EXPANSION_ADD = 96
_EXPANSION_SEARCH = 96
_STEP = 16
"""Rows of one turn under the lock, so that searches get theirs."""
_LOW_WATER = 0.99
_EXACT = 4096
"""Up to this many entries are compared in full."""

Codes = npt.NDArray[np.uint8]


class UsearchIndex:
    """The Index port. With a `path` it is read from there, and `save` writes it.

    `found` tells what was there: "loaded", "missing", or why it cannot be used. Holds the `capacity`
    entries with the highest ids.
    """

    def __init__(
        self, dim: int, embedder: str, *, capacity: int = 1_000_000, path: Path | None = None
    ) -> None:
        self.dim = dim
        self.embedder = embedder
        self._capacity = capacity
        self._path = path
        self._lock = threading.Lock()
        self._changes = self._saved_changes = 0
        self._bytes = (dim + 7) // 8
        self._graph = self._new()
        self.found = "missing" if path is None else self._load(path)

    def _new(self) -> Index:
        return Index(
            ndim=8 * (self._bytes + _SALT),
            metric=MetricKind.Hamming,
            dtype=ScalarKind.B1,
            connectivity=_CONNECTIVITY,
            expansion_add=_EXPANSION_ADD,
            expansion_search=_EXPANSION_SEARCH,
        )

    # ------------------------------------------------------------------ search

    def search(self, scope: bytes, vector: Floats, k: int) -> list[Neighbour]:
        """The `k` nearest in `scope`, nearest first; of equally near ones the newest."""
        code = self._codes([scope], np.asarray(vector, np.float32)[None, :])[0]
        with self._lock:
            size = len(self._graph)
            if not size:
                return []
            exact = size <= _EXACT
            count = size if exact else min(size, 2 * k)
            matches = self._graph.search(code, count, exact=exact)
            keys = np.asarray(matches.keys, np.int64)
            stored = cast(Codes, self._graph.get(np.asarray(matches.keys)))
        own = (
            np.asarray(stored).reshape(len(keys), -1)[:, self._bytes :] == code[self._bytes :]
        ).all(1)
        distances = np.asarray(matches.distances, np.int64)[own]
        keys = keys[own]
        order = np.lexsort((-keys, distances))[:k]
        return [Neighbour(int(keys[n]), int(distances[n])) for n in order]

    def _codes(self, scopes: Sequence[bytes], vectors: Floats) -> Codes:
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise BackendError(f"vectors {vectors.shape} in an index of dimension {self.dim}")
        if len(scopes) != len(vectors):
            raise BackendError("ids, scopes and vectors differ in number")
        salts = np.frombuffer(
            b"".join(scope[:_SALT].ljust(_SALT, b"\0") for scope in scopes), np.uint8
        )
        bits = np.packbits(vectors > 0, axis=1)
        return np.ascontiguousarray(np.hstack([bits, salts.reshape(len(scopes), _SALT)]))

    # ------------------------------------------------------------------ change

    def add(self, ids: Sequence[int], scopes: Sequence[bytes], vectors: Floats) -> None:
        """An id that exists is replaced. Ids are above 0 and the given ones differ."""
        codes = self._codes(scopes, np.asarray(vectors, np.float32))
        if len(ids) != len(codes):
            raise BackendError("ids, scopes and vectors differ in number")
        for rows in _steps(len(ids)):
            keys = np.array(ids[rows], np.uint64)
            with self._lock:
                self._drop(keys)
                self._graph.add(keys, codes[rows])
                self._changes += len(keys)
        self._trim()

    def remove(self, ids: Sequence[int]) -> None:
        for rows in _steps(len(ids)):
            with self._lock:
                self._changes += self._drop(np.array(ids[rows], np.uint64))

    def _drop(self, keys: npt.NDArray[np.uint64]) -> int:
        known = [int(key) for key in keys if key in self._graph]
        for key in known:
            self._graph.remove(key)
        return len(known)

    def _trim(self) -> None:
        over = len(self._graph) - self._capacity
        if over > 0:
            count = len(self._graph) - int(self._capacity * _LOW_WATER)
            self.remove(self.ids()[:count].tolist())

    # ------------------------------------------------------------------ file

    def save(self) -> None:
        """Raises BackendError when the file cannot be written. Does nothing if nothing changed."""
        if self._path is None or self._changes == self._saved_changes:
            return
        draft = self._path.with_name(f".{self._path.name}.draft")
        about = self._path.with_name(self._path.name + ".json")
        try:
            with self._lock:
                changes, size = self._changes, len(self._graph)
                # A graph beside the description of another one is not read: the description goes first.
                about.unlink(missing_ok=True)
                self._graph.save(str(draft))
            _flush(draft)
            os.replace(draft, self._path)
            text = {"dim": self.dim, "embedder": self.embedder, "entries": size}
            text["bytes"] = self._path.stat().st_size
            about.write_text(json.dumps(text), encoding="utf-8")
            about.chmod(0o600)
        except (OSError, RuntimeError) as error:
            raise BackendError(f"the index cannot be written: {error}") from error
        self._saved_changes = changes

    def _load(self, path: Path) -> str:
        about = path.with_name(path.name + ".json")
        if not path.exists() or not about.exists():
            return "missing"
        try:
            said = json.loads(about.read_text(encoding="utf-8"))
            if not isinstance(said, dict) or said.get("bytes") != path.stat().st_size:
                return "it is damaged"
            if (said.get("dim"), said.get("embedder")) != (self.dim, self.embedder):
                return "it belongs to another embedder"
            self._graph.load(str(path))
            if len(self._graph) != said.get("entries"):
                raise ValueError
        except (OSError, ValueError, RuntimeError):
            self._graph = self._new()
            return "it is damaged"
        return "loaded"

    # ------------------------------------------------------------------ the rest

    def __len__(self) -> int:
        return len(self._graph)

    def ids(self) -> npt.NDArray[np.int64]:
        """All of them, ascending."""
        with self._lock:
            return np.sort(np.array(self._graph.keys, np.int64))

    def stats(self) -> dict[str, Any]:
        """entries, bytes in memory, capacity, unsaved changes."""
        return {
            "entries": len(self._graph),
            "bytes": int(self._graph.memory_usage),
            "capacity": self._capacity,
            "unsaved": self._changes - self._saved_changes,
        }

    def close(self) -> None:
        self.save()


def _steps(n: int) -> Iterator[slice]:
    return (slice(start, start + _STEP) for start in range(0, n, _STEP))


def _flush(path: Path) -> None:
    path.chmod(0o600)
    with path.open("rb+") as file:
        os.fsync(file.fileno())
