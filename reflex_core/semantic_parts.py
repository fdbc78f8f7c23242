"""The settings -> what the semantic tier is made of."""

from __future__ import annotations

import os

from .config import Config
from .ports import Embedder, Verifier
from .semantic_open import EmbedderChoice, open_parts
from .semantic_types import Parts, Settings


def settings(config: Config) -> Settings:
    return Settings(candidates=config.l2_candidates, unverified_cosine=config.min_cosine)


def load(config: Config) -> Parts | None:
    """Slow: reads models and the index. Raises ConfigError, BackendError."""
    choice = EmbedderChoice(
        source=config.embedder,
        model=config.embedder_model,
        api_key=os.environ.get(config.embedder_key) or None,
        dim=config.embedder_dim or None,
        pooling=None if config.embedder_pooling == "auto" else config.embedder_pooling,  # type: ignore[arg-type]
        prefix=config.embedder_prefix or None,
        max_tokens=config.embedder_max_tokens,
    )

    def verifier(embedder: Embedder) -> Verifier | None:
        if not config.verify:
            return None
        from .verify import open_verifier

        return open_verifier(config, embedder)

    return open_parts(
        choice,
        config.storage_path,
        capacity=config.l2_capacity,
        verifier=verifier,
        graph=config.index == "usearch",
    )
