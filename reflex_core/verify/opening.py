"""The settings -> the verifier."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from ..config import Config
from ..ports import Embedder
from ..wrong import REPORTED
from .calibration import Calibration, Label, for_long
from .chain import ChainVerifier
from .model import WEIGHTS, Scorer

logger = logging.getLogger("reflex")

MOST_LABELS = 500
"""Cases of the user's own that are looked at, the latest ones."""


def open_verifier(config: Config, embedder: Embedder) -> ChainVerifier:
    """Raises BackendError when the weights cannot be read.

    An embedder that the weights were not trained for gets a verifier that passes repeats only.
    Answers that were marked as wrong make the threshold stricter (calibration.py).
    """
    folder = Path(config.reranker_path).expanduser() if config.reranker_path else WEIGHTS
    scorer = Scorer(folder)
    calibration = Calibration.load(folder)
    known = scorer if embedder.identity.startswith(scorer.embedder) else None
    if config.reranker_threshold:
        return ChainVerifier(known, config.reranker_threshold)
    labels = () if known is None else judge(reported(config.storage_path), known, embedder)
    threshold = calibration.threshold_for(config.max_wrong, labels)
    return ChainVerifier(known, threshold, for_long(threshold))


def reported(folder: Path) -> list[dict[str, Any]]:
    """The user's own cases, in the form of the evaluation; lines that are none are left out."""
    try:
        lines = (folder / REPORTED).read_bytes().splitlines()
    except OSError:
        return []
    out: list[dict[str, Any]] = []
    for line in lines[-MOST_LABELS:]:
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if (
            isinstance(row, dict)
            and isinstance(row.get("a"), str)
            and isinstance(row.get("b"), str)
        ):  # pyright: ignore[reportUnknownMemberType]
            out.append(row)  # pyright: ignore[reportUnknownArgumentType]
    return out


def judge(rows: Iterable[dict[str, Any]], scorer: Scorer, embedder: Embedder) -> list[Label]:
    """What the verifier gives each case. Vetoed ones say nothing of the threshold and are left out."""
    verifier = ChainVerifier(scorer, 0.0)
    out: list[Label] = []
    for row in rows:
        stored, asked = embedder.embed([row["a"], row["b"]])
        if stored is None or asked is None:
            continue
        cosine = float(stored.vector @ asked.vector)
        verdict = verifier.verify(row["b"], asked, row["a"], stored.tokens, cosine)
        if verdict.accepted and verdict.score < 1:
            out.append(Label(verdict.score, bool(row.get("same_answer"))))
    return out
