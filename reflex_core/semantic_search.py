"""From an embedding to an answer that may be served, or the reason why there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from . import codec_store
from .ports import Embedding, Entry, Neighbour, Store
from .semantic_gate import Gate
from .semantic_types import Candidate, Parts, Query, Refusal, SemanticHit, Settings, Trace

_FLOAT16 = np.dtype("<f2")
_STAGES = ("search", "rescore", "verify")


class Search:
    """Synchronous and thread-safe. `on_gone` gets row ids that the index has and the store has not."""

    def __init__(
        self,
        store: Store,
        parts: Parts,
        settings: Settings,
        on_gone: Callable[[Sequence[int]], None] = lambda ids: None,
        gate: Gate | None = None,
    ) -> None:
        self._store = store
        self._index = parts.index
        self._embedder = parts.embedder
        self._gate = gate or Gate(parts.verifier, settings)
        self._settings = settings
        self._on_gone = on_gone

    def find(self, query: Query, embedding: Embedding) -> SemanticHit | Refusal:
        """The nearest stored question, by cosine, that may answer this one.

        Raises BackendError when the store or the index fails.
        """
        times = [time.perf_counter()]
        found = self._index.search(query.scope, embedding.vector, self._settings.candidates)
        times.append(time.perf_counter())
        near = self._rescore(embedding, found)
        times.append(time.perf_counter())
        seen = [candidate for candidate in near if candidate.cosine >= self._settings.min_cosine]
        outcome = self._first_accepted(query, embedding, seen)
        times.append(time.perf_counter())
        seconds = {
            name: end - start for name, start, end in zip(_STAGES, times, times[1:], strict=False)
        }
        if isinstance(outcome, SemanticHit):
            return replace(outcome, trace=replace(outcome.trace, seconds=seconds))
        reason = outcome[0].reason if outcome else "too-far" if near else "no-neighbour"
        return Refusal(Trace(reason, (*outcome, *near[len(outcome) :]), seconds))

    def _rescore(self, embedding: Embedding, found: list[Neighbour]) -> list[Candidate]:
        """The nearest by cosine, in this order, from the stored vectors."""
        ids = [neighbour.id for neighbour in found]
        stored = self._store.get_embeddings(ids, self._embedder.identity)
        if len(stored) < len(ids):
            self._on_gone([id for id in ids if id not in stored])
        size = self._embedder.dim * _FLOAT16.itemsize
        rows = [n for n in found if len(stored.get(n.id, b"")) == size]
        if not rows:
            return []
        matrix = np.frombuffer(b"".join(stored[n.id] for n in rows), _FLOAT16)
        cosines = matrix.reshape(len(rows), -1).astype(np.float32) @ embedding.vector
        newest = np.array([-n.id for n in rows])
        order = np.lexsort((newest, -cosines))[: self._settings.verified]
        return [Candidate(rows[i].id, rows[i].distance, float(cosines[i])) for i in order]

    def _first_accepted(
        self, query: Query, embedding: Embedding, near: list[Candidate]
    ) -> SemanticHit | list[Candidate]:
        """A hit, or all candidates with the reasons they were refused for."""
        tokens = self._tokens(near)
        refused: list[Candidate] = []
        for candidate in near:
            entry = self._store.get_by_id(candidate.id, query.now)
            if entry is None:
                self._on_gone([candidate.id])
                refused.append(replace(candidate, reason="expired"))
                continue
            judged = self._judge(query, embedding, candidate, entry, tokens.get(entry.id, b""))
            if judged.accepted:
                trace = Trace(judged.reason, (judged, *refused))
                completion = codec_store.load(entry.completion)
                by_cosine = self._gate.verifier is None and judged.reason == "verified"
                status = "hit-l2-semantic" if by_cosine else "hit-l3-verified"
                return SemanticHit(status, entry, completion, judged, trace)
            refused.append(judged)
        return refused

    def _tokens(self, near: list[Candidate]) -> dict[int, bytes]:
        if self._gate.verifier is None or not near:
            return {}
        rows = self._store.get_vectors([candidate.id for candidate in near])
        return {id: row.tokens for id, row in rows.items()}

    def _judge(
        self,
        query: Query,
        embedding: Embedding,
        candidate: Candidate,
        entry: Entry,
        tokens: bytes,
    ) -> Candidate:
        """The candidate with its reason; see `Candidate.accepted`."""
        if entry.scope != query.scope or entry.tenant != query.tenant:
            return replace(candidate, reason="other-scope")
        if entry.exact_only or entry.question is None:
            return replace(candidate, reason="exact-only")
        if entry.key in query.banned:
            return replace(candidate, reason="marked-wrong")
        if not query.wishes.accepts(query.now - entry.created):
            return replace(candidate, reason="too-old")
        return self._gate.decide(query, embedding, entry.question, tokens, candidate)
