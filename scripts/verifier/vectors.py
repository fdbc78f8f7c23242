"""Token vectors of many texts, from the product's own embedder, as flat arrays."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reflex_core.backends.onnx_embedder import OnnxEmbedder
from reflex_core.backends.onnx_files import bundled_model
from reflex_core.token_vectors import unpack

THREADS = 2


@dataclass
class Texts:
    """`rows[starts[i]:starts[i + 1]]` are text i's token vectors, unit length, float16."""

    index: dict[str, int]
    starts: np.ndarray
    ids: np.ndarray
    rows: np.ndarray
    pooled: np.ndarray

    def save(self, path: Path) -> None:
        texts = np.array(list(self.index), dtype=object)
        np.savez(
            path, texts=texts, starts=self.starts, ids=self.ids, rows=self.rows, pooled=self.pooled
        )

    @classmethod
    def load(cls, path: Path) -> Texts:
        found = np.load(path, allow_pickle=True)
        index = {t: i for i, t in enumerate(found["texts"])}
        return cls(index, found["starts"], found["ids"], found["rows"], found["pooled"])

    def __getitem__(self, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Word-piece ids (n,), unit token vectors (n, dim), pooled vector (dim,)."""
        i = self.index[text]
        at = slice(self.starts[i], self.starts[i + 1])
        return self.ids[at], self.rows[at].astype(np.float32), self.pooled[i].astype(np.float32)


def embed(texts: Iterable[str]) -> Texts:
    """Each text alone, as in production: int8 activations depend on what is in the batch."""
    embedder = OnnxEmbedder(bundled_model())
    unique = list(dict.fromkeys(texts))

    def one(text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = embedder.embed([text])[0]
        if found is None:
            raise ValueError(f"too long to embed: {text[:80]}")
        ids, rows = unpack(found.tokens)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return (
            ids.astype(np.int32),
            (rows / np.maximum(norms, 1e-9)).astype(np.float16),
            found.vector,
        )

    with ThreadPoolExecutor(THREADS) as pool:
        done = list(pool.map(one, unique, chunksize=64))
    starts = np.cumsum([0, *(len(d[0]) for d in done)])
    return Texts(
        {t: i for i, t in enumerate(unique)},
        starts,
        np.concatenate([d[0] for d in done]),
        np.concatenate([d[1] for d in done]),
        np.stack([d[2] for d in done]),
    )
