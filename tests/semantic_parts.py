"""Parts for tests of the semantic tier: a real index, embedders and verifiers that can be watched."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from reflex_core import codec_store
from reflex_core.backends.bit_index import BitIndex
from reflex_core.errors import BackendError
from reflex_core.ports import Embedding, Entry, Verdict
from reflex_core.semantic_types import Parts, Query
from reflex_core.types import Choice, Completion

DIM = 64
NOW = 1_000_000.0
SCOPE = b"s" * 32
TENANT = b"t" * 16


class WordEmbedder:
    """A direction for every word, a text is the sum of its words; `hold` stops it in its tracks."""

    real = False
    max_tokens = 20

    def __init__(self, identity: str = "words", batch: int = 4) -> None:
        self.identity = identity
        self.dim = DIM
        self.batch = batch
        self.asked: list[list[str]] = []
        self.failure: Exception | None = None
        self.entered = threading.Semaphore(0)
        self.go = threading.Event()
        self.go.set()

    def embed(self, texts: Sequence[str]) -> list[Embedding | None]:
        self.asked.append(list(texts))
        self.entered.release()
        self.go.wait(10)
        if self.failure is not None:
            raise self.failure
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Embedding | None:
        words = text.split()
        if len(words) > self.max_tokens:
            return None
        vector = np.zeros(DIM, np.float32)
        for word in words:
            seed = int.from_bytes(f"{self.identity} {word}".encode()[-8:], "big")
            vector += np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
        return Embedding(vector / np.linalg.norm(vector), text.encode())

    def close(self) -> None:
        self.go.set()


class NumberVerifier:
    """Takes everything with equal digits; remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.failure: Exception | None = None

    def verify(
        self,
        asked: str,
        asked_embedding: Embedding,
        stored: str,
        stored_tokens: bytes,
        cosine: float,
    ) -> Verdict:
        self.seen.append((asked, stored, stored_tokens))
        if self.failure is not None:
            raise self.failure
        digits = [[c for c in text if c.isdigit()] for text in (asked, stored)]
        if digits[0] != digits[1]:
            return Verdict(False, 0.0, "veto-number")
        return Verdict(True, 0.9, "verified", 0.5)


class BrokenVerifier:
    def verify(self, *args: object, **kwargs: object) -> Verdict:
        raise BackendError("no weights")


def answer(text: str) -> bytes:
    return codec_store.dump(Completion("id", 1, "gpt", (Choice(0, text, finish_reason="stop"),)))


def an_entry(question: str | None, **fields: object) -> Entry:
    """Its key follows from its question and scope."""
    base = Entry(
        key=b"",
        tenant=TENANT,
        scope=SCOPE,
        provider="openai",
        model="gpt",
        created=NOW,
        expires=None,
        completion=answer(f"answer to {question}"),
        question=question,
    )
    made = replace(base, **fields)  # type: ignore[arg-type]
    key = f"{made.scope[:2]} {question}".encode().ljust(32, b"\0")[:32]
    return replace(made, key=made.key or key)


def a_query(text: str, **fields: object) -> Query:
    return replace(Query(SCOPE, TENANT, text, NOW), **fields)  # type: ignore[arg-type]


def parts(embedder: WordEmbedder | None = None, **fields: object) -> Parts:
    embedder = embedder or WordEmbedder()
    index = BitIndex(embedder.dim, embedder.identity)
    return replace(Parts(embedder, index, NumberVerifier()), **fields)  # type: ignore[arg-type]
