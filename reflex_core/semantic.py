"""L2 and L3: a stored answer to a question that means the same.

queue     text -> embedding, on a small pool
search    embedding -> neighbours in the scope -> cosines -> verifier -> hit, or the reason
indexer   what the writer stored -> vectors -> index, on its own thread

Whatever breaks here is a reason for a miss, never an error.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from .errors import BackendError, ConfigError
from .ports import Embedding, Entry, Store
from .semantic_gate import Gate, Tightened
from .semantic_indexer import Indexer
from .semantic_queue import Embedded, EmbeddingCache, EmbedQueue
from .semantic_search import Search
from .semantic_types import Candidate, Parts, Query, Refusal, SemanticHit, Settings, State, refuse

logger = logging.getLogger("reflex")

_CLOSE_TIMEOUT = 10.0
_NOT_READY = {"off": "semantic-off", "pending": "index-building", "error": "semantic-unavailable"}


class _Running:
    """The tier once its parts are there."""

    def __init__(
        self, store: Store, parts: Parts, settings: Settings, tightened: Tightened
    ) -> None:
        self.parts = parts
        self.settings = settings
        cache = EmbeddingCache(settings.cache_items, settings.cache_bytes)
        self.queue = EmbedQueue(
            parts.embedder,
            threads=settings.threads,
            limit=settings.queue,
            cache=cache,
            patience=settings.timeout / 2,
        )
        self.indexer = Indexer(store, parts, settings, self.queue.embed)
        self.gate = Gate(parts.verifier, settings, tightened)
        self.search = Search(store, parts, settings, self.indexer.removed, self.gate)

    def close(self) -> None:
        self.queue.close()
        if not self.indexer.close(_CLOSE_TIMEOUT):
            logger.warning("reflex: the semantic index was not saved in time")
        with suppress(BackendError):  # the indexer has said so
            self.parts.index.close()
        self.parts.embedder.close()


class SemanticTier:
    """`load` makes the parts, off the event loop and as often as it takes.

    It returns None where there is nothing to make them of, and says so itself; a ConfigError is
    final; after a BackendError it is called again.
    """

    def __init__(
        self,
        store: Store,
        load: Callable[[], Parts | None],
        settings: Settings | None = None,
        tightened: Tightened = lambda threshold: threshold,
    ) -> None:
        """`tightened`: see `Gate`."""
        self._store = store
        self._load = load
        self._tightened = tightened
        self.settings = settings or Settings()
        self._running: _Running | None = None
        self._unusable: State | None = None
        self._closing = threading.Event()
        self._opened = threading.Event()
        self._opener = threading.Thread(target=self._open, name="reflex-semantic", daemon=True)
        self.reasons: Counter[str] = Counter()
        """Outcomes of lookups, "verified" or why not."""

    def start(self) -> None:
        """Returns at once; `state` tells when it is ready."""
        self._opener.start()

    def close(self) -> None:
        """Blocks. Close the writer before and the store after it."""
        self._closing.set()
        if self._opener.ident is not None:
            self._opener.join()
        if self._running is not None:
            self._running.close()

    def _open(self) -> None:
        while not self._closing.is_set() and not self._try_to_open():
            self._opened.set()
            self._closing.wait(self.settings.retry)
        self._opened.set()

    def _try_to_open(self) -> bool:
        """False: it may work later."""
        try:
            parts = self._load()
        except BackendError as error:
            self._give_up(error)
            return False
        except ConfigError as error:
            self._give_up(error)
            return True
        except Exception:
            logger.exception("reflex: the semantic tier could not be loaded")
            self._unusable = "error"
            return True
        if parts is None:
            self._unusable = "off"
        else:
            self._run(parts)
        return True

    def _give_up(self, error: Exception) -> None:
        if self._unusable is None:
            logger.warning("reflex: similar questions are not answered from the store: %s", error)
        self._unusable = "error"

    def _run(self, parts: Parts) -> None:
        running = _Running(self._store, parts, self.settings, self._tightened)
        running.indexer.start()
        self._running, self._unusable = running, None

    # ------------------------------------------------------------------ a request

    async def lookup(self, query: Query) -> SemanticHit | Refusal:
        """Waits no longer than the timeout. What was embedded is kept for when the answer is stored."""
        started = time.perf_counter()
        outcome = await self._lookup(query)
        waited = time.perf_counter() - started
        seconds = {"wait": max(0.0, waited - sum(outcome.trace.seconds.values()))}
        trace = replace(outcome.trace, seconds={**outcome.trace.seconds, **seconds})
        self.reasons[trace.reason] += 1
        return replace(outcome, trace=trace)

    async def _lookup(self, query: Query) -> SemanticHit | Refusal:
        running, state = self._running, self.state()
        if running is None or state != "ready":
            return refuse(_NOT_READY.get(state, state))
        future = running.queue.submit(query.text, lambda made: _answer(running, query, made))
        if future is None:
            return refuse("embed-queue-full")
        try:
            async with asyncio.timeout(self.settings.timeout):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            return refuse("lookup-timeout")
        except BackendError as error:
            logger.debug("reflex: semantic lookup: %s", error)
            return refuse("lookup-failed")
        except Exception:
            logger.exception("reflex: the semantic lookup failed in an unexpected way")
            return refuse("lookup-failed")

    # ------------------------------------------------------------------ other texts

    async def compare(
        self, query: Query, texts: Sequence[str], patience: float
    ) -> list[Candidate | None]:
        """Each of `texts` as if it were a stored question. None: it is too long, or there was no time
        (`patience`, seconds), or the tier does not work."""
        nothing: list[Candidate | None] = [None] * len(texts)
        running = self._running
        if running is None:
            return nothing
        future = running.queue.submit(
            query.text, lambda made: _compare(running, query, made, texts)
        )
        if future is None:
            return nothing
        try:
            async with asyncio.timeout(patience):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            return nothing
        except BackendError as error:
            logger.debug("reflex: comparing texts: %s", error)
            return nothing
        except Exception:
            logger.exception("reflex: comparing texts failed in an unexpected way")
            return nothing

    def embed(self, texts: Sequence[str]) -> list[Embedding | None]:
        """Past the queue and its cache, for texts that are not questions. Blocks. None for one that is
        too long. Raises BackendError."""
        running = self._running
        if running is None:
            raise BackendError("there is no embedder")
        embedder, size = running.parts.embedder, running.parts.embedder.batch
        batches = [texts[at : at + size] for at in range(0, len(texts), size)]
        return [found for batch in batches for found in embedder.embed(batch)]

    # ------------------------------------------------------------------ what the writer tells

    def note_stored(self, entries: Sequence[Entry]) -> None:
        """These were committed. Returns at once; before the parts are there nothing is lost."""
        if self._running is not None:
            self._running.indexer.stored(entries)

    def note_removed(self, ids: Sequence[int]) -> None:
        """These are gone from the store. Returns at once."""
        if self._running is not None:
            self._running.indexer.removed(ids)

    def forget(self) -> None:
        """Drop what is kept of texts in memory, after a purge."""
        if self._running is not None:
            self._running.queue.forget()

    def wait(self, timeout: float) -> bool:
        """Until the index is built or it is clear that there will be none. False: it took longer."""
        if not self._opened.wait(timeout):
            return False
        return self._running is None or self._running.indexer.ready.wait(timeout)

    def flush(self, timeout: float) -> bool:
        """Wait until what was noted can be found."""
        return self._running is None or self._running.indexer.flush(timeout)

    # ------------------------------------------------------------------ sight

    def state(self) -> State:
        if self._unusable is not None:
            return self._unusable
        running = self._running
        return "ready" if running is not None and running.indexer.ready.is_set() else "pending"

    def states(self) -> dict[str, str]:
        """For /ready: `index` and `embedding` as in `state`, `embedder_mode` real, stub or none."""
        running = self._running
        loaded = self.state() if running is None else "ready"
        mode = "none" if running is None else "real" if running.parts.embedder.real else "stub"
        return {"index": self.state(), "embedding": loaded, "embedder_mode": mode}

    def stats(self) -> dict[str, Any]:
        """Flat: `index …`, `embed …`, `lookups …` and the embedder's identity."""
        rows: dict[str, Any] = {"state": self.state()}
        rows |= {f"lookups {reason}": n for reason, n in sorted(self.reasons.items())}
        running = self._running
        if running is None:
            return rows
        rows["embedder"] = running.parts.embedder.identity
        rows |= {f"index {name}": n for name, n in running.parts.index.stats().items()}
        rows |= {f"index {name}": n for name, n in running.indexer.stats().items()}
        return rows | {f"embed {name}": n for name, n in running.queue.stats().items()}


def _compare(
    running: _Running, query: Query, made: Embedded, texts: Sequence[str]
) -> list[Candidate | None]:
    if made.embedding is None:
        return [None] * len(texts)
    return [
        None if other is None else _candidate(running, query, made.embedding, text, other)
        for text, other in zip(texts, running.queue.embed(texts), strict=True)
    ]


def _candidate(
    running: _Running, query: Query, asked: Embedding, text: str, other: Embedding
) -> Candidate:
    distance = int(((asked.vector > 0) != (other.vector > 0)).sum())
    candidate = Candidate(0, distance, float(asked.vector @ other.vector))
    if candidate.cosine < running.settings.min_cosine:
        return replace(candidate, reason="too-far")
    return running.gate.decide(query, asked, text, other.tokens, candidate)


def _answer(running: _Running, query: Query, made: Embedded) -> SemanticHit | Refusal:
    if made.embedding is None:
        return refuse("text-too-long", embed=made.embed_s)
    outcome = running.search.find(query, made.embedding)
    seconds = {"embed": made.embed_s, **outcome.trace.seconds}
    return replace(outcome, trace=replace(outcome.trace, seconds=seconds))
