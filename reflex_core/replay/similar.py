"""The semantic tier's own search, over what the plan has read so far, in a temporary store."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import semantic_parts
from ..backends.sqlite import SqliteStore
from ..config import Config
from ..errors import BackendError, ConfigError
from ..ports import Embedding, Entry, Vectors
from ..semantic_gate import Gate
from ..semantic_search import Search
from ..semantic_types import Candidate, Parts, Query, Settings
from .plan import Near
from .recorded import Asked

_PASSED = "would-pass"
_NO_BOUND = 1 << 60


class _Measure(Gate):
    """Judges as the product does, but accepts nothing, so that all candidates are judged."""

    def decide(
        self, query: Query, embedding: Embedding, stored: str, tokens: bytes, candidate: Candidate
    ) -> Candidate:
        judged = super().decide(query, embedding, stored, tokens, candidate)
        return replace(judged, reason=_PASSED) if judged.accepted else judged


class TierSimilar:
    """`plan.Similar` over real parts. Must be closed. `folder` is its own."""

    def __init__(self, parts: Parts, settings: Settings, folder: Path) -> None:
        self._parts = parts
        self._store = SqliteStore(folder, _NO_BOUND)
        self._search = Search(self._store, parts, settings, gate=_Measure(parts.verifier, settings))
        self._keys: dict[int, int] = {}
        self._last: tuple[str, Embedding | None] = ("", None)
        if parts.verifier is None:
            self.measure, self.threshold = "cosine", settings.unverified_cosine
            self.lowest = 0.5
        else:
            self.measure, self.threshold = "verifier's score", parts.verifier.threshold
            self.lowest = 0.1

    def near(self, asked: Asked) -> list[Near]:
        """Best first. Nothing where the tier fails: a plan goes on without it."""
        meaning = asked.meaning
        if meaning.text is None:
            return []
        try:
            embedding = self._embedded(meaning.text)
            if embedding is None:
                return []
            query = Query(meaning.scope, asked.keys.tenant, meaning.text, 0.0)
            found = self._search.find(query, embedding)
        except BackendError:
            return []
        near = [self._near(candidate) for candidate in found.trace.candidates]
        return sorted((one for one in near if one is not None), key=lambda one: -one.score)

    def add(self, key: int, asked: Asked) -> None:
        """The question of the planner's request `key`."""
        meaning = asked.meaning
        if meaning.text is None:
            return
        try:
            embedding = self._embedded(meaning.text)
            if embedding is None:
                return
            (id,) = self._store.put([_entry(key, asked)])
            row = np.asarray(embedding.vector, np.float32)
            vector = row.astype("<f2").tobytes()
            identity = self._parts.embedder.identity
            tokens = embedding.tokens
            self._store.put_vectors([Vectors(id, meaning.scope, identity, vector, tokens)])
            self._parts.index.add([id], [meaning.scope], row[None])
        except BackendError:
            return
        self._keys[id] = key

    def close(self) -> None:
        self._store.close()
        self._parts.index.close()
        self._parts.embedder.close()

    def _embedded(self, text: str) -> Embedding | None:
        """`add` comes after `near` for the same text."""
        if self._last[0] != text or self._last[1] is None:
            self._last = (text, self._parts.embedder.embed([text])[0])
        return self._last[1]

    def _near(self, candidate: Candidate) -> Near | None:
        """None for one that was not judged, or is not known."""
        key = self._keys.get(candidate.id)
        score = candidate.cosine if self._parts.verifier is None else candidate.score
        if key is None or score is None:
            return None
        # A long question has a threshold of its own: by so much its score counts less.
        own = self.threshold if candidate.threshold is None else candidate.threshold
        counted = max(0.0, score - max(0.0, own - self.threshold))
        return Near(key, counted, candidate.cosine, candidate.distance, candidate.reason)


def _entry(key: int, asked: Asked) -> Entry:
    return Entry(
        key=asked.keys.exact,
        tenant=asked.keys.tenant,
        scope=asked.meaning.scope,
        provider=asked.target.provider.name,
        model=asked.target.model,
        created=0.0,
        expires=None,
        completion=b"",
        question=asked.meaning.text,
    )


class SimilarHome:
    """A temporary folder and what lives in it. `why` says in words why `similar` is None."""

    def __init__(self, config: Config) -> None:
        self.similar: TierSimilar | None = None
        self.why = "on"
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if not config.semantic:
            self.why = "reflex_semantic is false"
            return
        self._folder = tempfile.TemporaryDirectory(prefix="reflex-plan-")
        folder = Path(self._folder.name)
        try:
            parts = semantic_parts.load(replace(config, storage_path=folder))
        except (BackendError, ConfigError) as error:
            self.why = str(error).rstrip(".")
            return
        if parts is None:
            self.why = "the embedding model is not installed"
            return
        self.similar = TierSimilar(parts, semantic_parts.settings(config), folder)

    def close(self) -> None:
        if self.similar is not None:
            self.similar.close()
        if self._folder is not None:
            self._folder.cleanup()
