"""What the core needs from the outside: Protocols that backends implement.

All methods may block; callers run them off the event loop unless a docstring says otherwise.
A backend that breaks raises BackendError; callers fail open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Int8s = npt.NDArray[np.int8]


SEARCHED = 20_000
"""Entries that a text search looks at."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored answer."""

    key: bytes
    """Exact key, 32 bytes."""
    tenant: bytes
    """16 bytes."""
    scope: bytes
    """32 bytes."""
    provider: str
    model: str
    created: float
    """Unix seconds when it was stored."""
    expires: float | None
    """Unix seconds, None for never."""
    completion: bytes
    """The Completion, as `codec_store.dump` makes it."""
    exact_only: bool = False
    """Never a semantic answer: length finishes, tool calls, several choices, logprobs."""
    question: str | None = None
    """Semantic text: the last user message, None when the semantic tier must not see it."""
    namespace: str | None = None
    id: int = 0
    """Row id, set by the store; the index's key."""
    hits: int = 0
    took: float | None = None
    """Seconds the provider needed; None where that is not known."""
    request: bytes = field(default=b"", repr=False)
    """The request's body, kept to explain misses. Write-only: read it with `Store.requests`."""


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """What was asked to get one stored answer."""

    id: int
    """The entry's row id."""
    key: bytes
    scope: bytes
    model: str
    created: float
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Vectors:
    """What the semantic tier keeps for one entry."""

    id: int
    """The entry's row id."""
    scope: bytes
    embedder: str
    """Identity of the embedder that made them; others are not comparable."""
    embedding: bytes
    """float16, little endian."""
    tokens: bytes
    """The verifier's token vectors, in its own format; may be empty."""


class Store(Protocol):
    """Durable truth. Thread-safe."""

    def get(self, key: bytes, now: float, tenant: bytes | None = None) -> Entry | None:
        """The entry that has not expired by `now`; another tenant's is not seen when one is given."""
        ...

    def get_by_id(self, id: int, now: float) -> Entry | None: ...

    def put(self, entries: Sequence[Entry]) -> list[int]:
        """Insert or replace, in one transaction; returns the row ids. A replaced key gets a new id."""
        ...

    def touch(self, hits: Iterable[tuple[int, float]]) -> None:
        """Record uses: (row id, unix seconds)."""
        ...

    def purge(
        self,
        *,
        key: bytes | None = None,
        model: str | None = None,
        tenant: bytes | None = None,
        namespace: str | None = None,
        everything: bool = False,
    ) -> list[int]:
        """Delete what matches all the given conditions; returns the deleted row ids.

        `key` is an exact key or its first bytes, as Cache-Status shows them.
        """
        ...

    def evict(self, now: float) -> list[int]:
        """Delete what has expired, then least recently used entries over the size; returns row ids.

        The ids of entries that `put` replaced since the last time are among them.
        """
        ...

    def recent(self, limit: int, now: float) -> list[Entry]:
        """Most recently used entries, to warm the memory tier."""
        ...

    def requests(self, tenant: bytes, limit: int) -> list[StoredRequest]:
        """The tenant's entries whose request was kept, expired or not, most recently used first."""
        ...

    def search(self, text: str, limit: int, *, questions: bool) -> list[Entry]:
        """Entries, expired or not, most recently used first, of the latest `SEARCHED`.

        `text` is looked for in model, provider and namespace, with `questions` in the question too, and
        at the beginning of the key in hex; case does not matter. Empty: all.
        """
        ...

    def put_vectors(self, rows: Sequence[Vectors]) -> None:
        """Insert or replace; rows whose entry is gone are skipped.

        An empty embedding says that this embedder can make none for the entry.
        """
        ...

    def get_vectors(self, ids: Sequence[int], *, tokens: bool = True) -> dict[int, Vectors]:
        """Those of `ids` that have any. Without `tokens` these are left empty, and it is quicker."""
        ...

    def get_embeddings(self, ids: Sequence[int], embedder: str) -> dict[int, bytes]:
        """Only this embedder's, only `Vectors.embedding`: the quickest way to many."""
        ...

    def vector_ids(self, embedder: str) -> list[int]:
        """Row ids of all entries it has seen, ascending: also those it can make no embedding of."""
        ...

    def scan_vectors(self, after: int, embedder: str) -> Iterator[Vectors]:
        """In row id order, those with an embedding and id > `after`; `tokens` may be left empty."""
        ...

    def without_vectors(self, embedder: str, limit: int) -> list[Entry]:
        """Entries with a question, not `exact_only`, that lack vectors of this embedder."""
        ...

    def stats(self) -> dict[str, Any]:
        """entries, bytes, oldest, schema, path."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Embedding:
    """One text's forward pass."""

    vector: Floats
    """(dim,), L2-normalised."""
    tokens: bytes
    """Token vectors for the verifier in its stored form; empty when the backend has none."""


class Embedder(Protocol):
    """Text -> vectors. Thread-safe."""

    identity: str
    """Model, revision, pooling, prefix and dimension in one string; stored with the index."""
    dim: int
    real: bool
    """False for stand-ins that know no meaning."""
    max_tokens: int
    batch: int
    """Texts worth giving at once; 1 where they are no quicker together."""

    def embed(self, texts: Sequence[str]) -> list[Embedding | None]:
        """None for a text longer than the model's window: it is never cut."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Neighbour:
    id: int
    distance: int
    """Hamming distance in bits between the sign bits."""


class Index(Protocol):
    """Nearest neighbours within a scope by Hamming distance of sign bits. Thread-safe."""

    def add(self, ids: Sequence[int], scopes: Sequence[bytes], vectors: Floats) -> None:
        """`vectors` is (n, dim). An id that exists is replaced."""
        ...

    def remove(self, ids: Sequence[int]) -> None: ...

    def search(self, scope: bytes, vector: Floats, k: int) -> list[Neighbour]:
        """The `k` nearest, and more where bits tell too little; nearest first."""
        ...

    def ids(self) -> npt.NDArray[np.int64]:
        """All of them, ascending."""
        ...

    def __len__(self) -> int: ...

    def save(self) -> None: ...

    def stats(self) -> dict[str, Any]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    accepted: bool
    score: float
    """0 to 1; the learned verifier's, or 0 when vetoed."""
    reason: str
    """Machine-readable: "verified", "veto-number", "below-threshold"..."""
    threshold: float = 0.0
    """The score that was needed; 0 where it did not come to that."""


class Verifier(Protocol):
    """Decides whether the answer to `stored` may be served for `asked`. Thread-safe, off the loop."""

    threshold: float
    """Score it demands of texts of usual length."""

    def verify(
        self,
        asked: str,
        asked_embedding: Embedding,
        stored: str,
        stored_tokens: bytes,
        cosine: float,
    ) -> Verdict: ...
