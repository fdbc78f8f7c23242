"""The settings -> the verifier."""

from __future__ import annotations

from pathlib import Path

from ..config import Config
from ..ports import Embedder
from .calibration import LONG_SHARE, Calibration
from .chain import ChainVerifier
from .model import WEIGHTS, Scorer


def open_verifier(config: Config, embedder: Embedder) -> ChainVerifier:
    """Raises BackendError when the weights cannot be read.

    An embedder that the weights were not trained for gets a verifier that passes repeats only.
    """
    folder = Path(config.reranker_path).expanduser() if config.reranker_path else WEIGHTS
    scorer = Scorer(folder)
    calibration = Calibration.load(folder)
    threshold = config.reranker_threshold or calibration.threshold_for(config.max_wrong)
    strict = max(threshold, calibration.threshold_for(config.max_wrong * LONG_SHARE))
    known = embedder.identity.startswith(scorer.embedder)
    return ChainVerifier(scorer if known else None, threshold, strict)
