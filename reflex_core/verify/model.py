"""The learned verifier: weights from a file, a score for a pair."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import BackendError
from .features import alignment, flags
from .network import forward, shapes
from .text import Parsed, parse

Floats = npt.NDArray[np.float32]

WEIGHTS = Path(__file__).with_name("weights")
FORMAT = 1
CLIP = 4.0
"""Standardised features are cut here."""


class Scorer:
    """An ensemble of networks (network.py). Thread-safe: nothing changes after loading.

    `weights.npz` holds `format`, `embedder` (the start of the embedder's identity that the token
    vectors must come from), `idf` (word pieces, uint8 / 255), `mean` and `spread` of the features,
    and `<k>/<name>` for network k in float16.
    """

    def __init__(self, folder: Path = WEIGHTS) -> None:
        """Raises BackendError when the file is missing or not of this version."""
        path = folder / "weights.npz"
        try:
            with np.load(path, allow_pickle=False) as found:
                data = {name: found[name] for name in found.files}
        except (OSError, ValueError) as error:
            raise BackendError(f"the verifier's weights cannot be read: {error}") from None
        if int(data.get("format", 0)) != FORMAT:
            raise BackendError(f"{path} is of another version")
        self.embedder = str(data["embedder"])
        self.idf: Floats = data["idf"].astype(np.float32) / np.float32(255)
        self._mean, self._spread = data["mean"], data["spread"]
        self.networks = self._networks(data)
        self.dim = int(self.networks[0]["value.w"].shape[0])

    def _networks(self, data: dict[str, npt.NDArray[np.float32]]) -> list[dict[str, Floats]]:
        count = 1 + max(int(n.split("/")[0]) for n in data if "/" in n)
        out = [
            {
                n.split("/")[1]: v.astype(np.float32)
                for n, v in data.items()
                if n.startswith(f"{k}/")
            }
            for k in range(count)
        ]
        dim, width = out[0]["value.w"].shape
        wanted = shapes(dim, len(self._mean), width)
        if len(self._mean) != _count() or any(
            {n: v.shape for n, v in w.items()} != wanted for w in out
        ):
            raise BackendError("the verifier's weights do not fit this version")
        return out

    def features(
        self, a: Parsed, b: Parsed, ids_a: npt.NDArray[np.int64], rows_a: Floats,
        ids_b: npt.NDArray[np.int64], rows_b: Floats, cosine: float,
    ) -> Floats:  # fmt: skip
        """Standardised features of a pair; rows are unit token vectors."""
        raw = describe(a, b, ids_a, rows_a, ids_b, rows_b, cosine, self.idf)
        return np.clip((raw - self._mean) / self._spread, -CLIP, CLIP)

    def score(
        self, a: Parsed, b: Parsed, ids_a: npt.NDArray[np.int64], rows_a: Floats,
        ids_b: npt.NDArray[np.int64], rows_b: Floats, cosine: float,
    ) -> float:  # fmt: skip
        """0 to 1. `ids` are word pieces known to `idf`, rows unit token vectors, neither empty."""
        features = self.features(a, b, ids_a, rows_a, ids_b, rows_b, cosine)
        same = (ids_a[:, None] == ids_b[None, :]).astype(np.float32)
        one = rows_a, self.idf[ids_a], np.ones(len(ids_a), np.float32)
        other = rows_b, self.idf[ids_b], np.ones(len(ids_b), np.float32)
        logits = [forward(np, w, one, other, same, features) for w in self.networks]
        return float(1 / (1 + np.exp(-np.clip(np.mean(logits), -30, 30))))


def describe(
    a: Parsed, b: Parsed, ids_a: npt.NDArray[np.int64], rows_a: Floats,
    ids_b: npt.NDArray[np.int64], rows_b: Floats, cosine: float, idf: Floats,
) -> Floats:  # fmt: skip
    """All features of a pair as they are, (features,)."""
    aligned = alignment(ids_a, rows_a, ids_b, rows_b, idf)
    return np.concatenate([aligned, np.array([cosine], np.float32), flags(a, b)]).astype(np.float32)


def unit_rows(rows: Floats) -> Floats:
    norms = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return (rows / np.maximum(norms, np.float32(1e-9))).astype(np.float32)


def _count() -> int:
    """How many features this version makes."""
    nothing, one, row = parse(""), np.zeros(1, np.int64), np.ones((1, 1), np.float32)
    return len(describe(nothing, nothing, one, row, one, row, 1.0, np.ones(1, np.float32)))


@lru_cache(maxsize=1)
def shipped() -> Scorer:
    return Scorer()
