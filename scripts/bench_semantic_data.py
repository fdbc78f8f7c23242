"""A million sentence embeddings for bench_semantic: real ones, and variations of them.

Real: the questions of our own corpus and evaluation set, and the public utterances in ../shared/data
(or REFLEX_DATA) where that folder is. They are embedded with the bundled model, one by one as in the
product, which takes about a minute for 50,000; a million would take half an hour on 2 cores. The rest
is derived: a real embedding a, one of its 12 nearest real neighbours b, t from 0 to 1/2, and a random
direction g of length 0.15: normalise(normalise(a + t (b - a)) + g). Such a point has a cosine of about
0.95 to a and lies where paraphrases of a lie. Held-out real sentences ask.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reflex_core.backends.onnx_embedder import OnnxEmbedder

ROOT = Path(__file__).resolve().parents[1]
ASKING = 2000
"""Sentences that ask; they are not stored."""
_NEIGHBOURS = 12
_NOISE = 0.15
_BLOCK = 50_000


@dataclass(frozen=True)
class Data:
    """`vectors` (n, dim) float16, the first of them real; `sentence[i]` made row i."""

    vectors: np.ndarray
    sentence: np.ndarray
    texts: list[str]
    tokens: list[bytes]
    asking: list[str]
    asking_vectors: np.ndarray


def data_folder() -> Path:
    return Path(os.environ.get("REFLEX_DATA") or ROOT.parent / "shared" / "data")


def sentences() -> list[str]:
    """Each once, in a fixed order."""
    found = {text.strip() for text in (*_own(), *_public()) if text.strip()}
    return sorted(found)


def _own() -> Iterator[str]:
    for path in sorted((ROOT / "scripts" / "eval").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            pair = json.loads(line)
            yield from (pair[name] for name in ("a", "b") if isinstance(pair.get(name), str))
    for path in sorted((ROOT / "scripts" / "verifier" / "corpus").glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "{" not in line and not line.startswith("#"):
                yield from (part.rpartition("]")[2] for part in line.split("|"))


def _public() -> Iterator[str]:
    folder = data_folder()
    for path in sorted(folder.glob("banking77-*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            yield from (row["text"] for row in csv.DictReader(file))
    clinc = folder / "clinc150.json"
    if clinc.exists():
        for rows in json.loads(clinc.read_text(encoding="utf-8")).values():
            yield from (row[0] for row in rows)
    home = folder / "nlu-evaluation-home.json"
    if home.exists():
        rows = json.loads(home.read_text(encoding="utf-8"))["rasa_nlu_data"]["common_examples"]
        yield from (row["text"] for row in rows)


def make(embedder: OnnxEmbedder, size: int, seed: int = 1) -> Data:
    rng = np.random.default_rng(seed)
    texts = sentences()
    rng.shuffle(texts)
    texts = texts[: size + ASKING]
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda text: embedder.embed([text])[0], texts))
    known = [(text, one) for text, one in zip(texts, made, strict=True) if one is not None]
    asking, stored = known[:ASKING], known[ASKING:]
    real = np.array([one.vector for _, one in stored])
    vectors, sentence = _derive(real, size, rng)
    return Data(
        vectors=vectors,
        sentence=sentence,
        texts=[text for text, _ in stored],
        tokens=[one.tokens for _, one in stored],
        asking=[text for text, _ in asking],
        asking_vectors=np.array([one.vector for _, one in asking]),
    )


def _derive(real: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    n, dim = real.shape
    near = np.empty((n, _NEIGHBOURS), np.int64)
    for at in range(0, n, 1000):
        distances = -(real[at : at + 1000] @ real.T)
        near[at : at + 1000] = np.argpartition(distances, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
    sentence = np.concatenate([np.arange(min(n, size)), rng.integers(0, n, max(0, size - n))])
    vectors = np.empty((size, dim), np.float16)
    vectors[:n] = real[:size]
    for start in range(n, size, _BLOCK):
        a = sentence[start : start + _BLOCK]
        b = near[a, rng.integers(0, _NEIGHBOURS, len(a))]
        t = rng.uniform(0, 0.5, (len(a), 1)).astype(np.float32)
        noise = rng.standard_normal((len(a), dim), dtype=np.float32)
        mixed = _unit(real[a] + t * (real[b] - real[a])) + _NOISE * _unit(noise)
        vectors[start : start + _BLOCK] = _unit(mixed)
    return vectors, sentence


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
