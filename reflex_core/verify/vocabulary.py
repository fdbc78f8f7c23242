"""Words that are words: they tell slips of the finger and other languages."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

_FILE = Path(__file__).with_name("weights") / "words.txt"


@lru_cache(maxsize=1)
def known_words() -> frozenset[str]:
    """Words of the training corpora and whole words of the embedder's vocabulary, in one spelling."""
    return frozenset(_FILE.read_text("utf-8").split())
