"""Texts on their way through the embedder: bounded, batched, each text once.

A job is a text and what to do with its embedding; both happen on the same worker thread, so that a
lookup changes threads once. Jobs for a text that is queued or being embedded share its embedding.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from .errors import BackendError
from .ports import Embedder, Embedding

_WEIGHT = 0.1
"""Of the newest jobs in the mean time of a job."""
_OVERHEAD = 300
"""Rough bytes of the objects around one embedding."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """What a job gets. `embedding` None: the text is longer than the model's window."""

    embedding: Embedding | None
    wait_s: float
    embed_s: float
    """0 when it was known already."""


@dataclass(slots=True)
class _Job:
    then: Callable[[Embedded], Any]
    future: Future[Any] = field(default_factory=Future[Any])
    submitted: float = field(default_factory=time.perf_counter)


class EmbeddingCache:
    """Least recently used out first, bounded by count and by bytes. Not thread-safe."""

    def __init__(self, items: int, max_bytes: int) -> None:
        self._limit = items
        self._max_bytes = max_bytes
        self._items: OrderedDict[str, Embedding] = OrderedDict()
        self.bytes = 0

    def get(self, text: str) -> Embedding | None:
        found = self._items.get(text)
        if found is not None:
            self._items.move_to_end(text)
        return found

    def put(self, text: str, embedding: Embedding) -> None:
        old = self._items.pop(text, None)
        self.bytes += _size(text, embedding) - (_size(text, old) if old else 0)
        self._items[text] = embedding
        while self._items and (len(self._items) > self._limit or self.bytes > self._max_bytes):
            self.bytes -= _size(*self._items.popitem(last=False))

    def clear(self) -> None:
        self._items.clear()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._items)


class EmbedQueue:
    """`threads` workers; at most `limit` jobs wait, and none that would wait over `patience` seconds,
    going by how long jobs took of late.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        threads: int,
        limit: int,
        cache: EmbeddingCache,
        patience: float = float("inf"),
    ) -> None:
        self._embedder = embedder
        self._limit = limit
        self._patience = patience
        self._job_s = 0.0
        """Seconds of a worker for one job, lately."""
        self._cache = cache
        self._changed = threading.Condition()
        self._jobs: dict[str, list[_Job]] = {}
        """By text, those queued and those whose text is being embedded."""
        self._texts: deque[str] = deque()
        """Keys of `_jobs` that no worker has taken yet."""
        self._waiting = 0
        self._closing = False
        self._counts = {"embedded": 0, "batches": 0, "known": 0, "refused": 0}
        self._threads = [
            threading.Thread(target=self._main, name=f"reflex-embed-{n}", daemon=True)
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    # ----------------------------------------------------------------- any thread

    def submit[T](self, text: str, then: Callable[[Embedded], T]) -> Future[T] | None:
        """The future of `then(...)`; it fails with BackendError when the embedder does. None: full.

        A future cancelled before its turn costs nothing.
        """
        job = _Job(then)
        with self._changed:
            if self._closing or self._is_full():
                self._counts["refused"] += 1
                return None
            jobs = self._jobs.get(text)
            if jobs is None:
                self._jobs[text] = [job]
                self._texts.append(text)
                self._changed.notify()
            else:
                jobs.append(job)
            self._waiting += 1
        return job.future

    def _is_full(self) -> bool:
        if self._waiting >= self._limit:
            return True
        return self._waiting * self._job_s / len(self._threads) > self._patience

    def embed(self, texts: Sequence[str]) -> list[Embedding | None]:
        """On the caller's thread, past the queue. What is known is not made again. BackendError."""
        with self._changed:
            known = {text: self._cache.get(text) for text in texts}
        wanted = [text for text, embedding in known.items() if embedding is None]
        made = self._embedder.embed(wanted) if wanted else []
        found = dict(zip(wanted, made, strict=True))
        with self._changed:
            self._counts["known"] += len(known) - len(wanted)
            self._counts["embedded"] += len(wanted)
            self._counts["batches"] += bool(wanted)
            for text, embedding in found.items():
                if embedding is not None:
                    self._cache.put(text, embedding)
        return [known[text] or found.get(text) for text in texts]

    def forget(self) -> None:
        """Drop what is kept of texts."""
        with self._changed:
            self._cache.clear()

    def stats(self) -> dict[str, Any]:
        """waiting, job_s (mean); in total embedded, batches, known (not embedded again), refused; cache size."""
        with self._changed:
            return {
                "waiting": self._waiting,
                "job_s": round(self._job_s, 6),
                **self._counts,
                "cached": len(self._cache),
                "cached_bytes": self._cache.bytes,
            }

    def close(self) -> None:
        """Jobs that wait fail; those at work are finished."""
        with self._changed:
            self._closing = True
            left = [job for text in self._texts for job in self._jobs.pop(text)]
            self._texts.clear()
            self._waiting -= len(left)
            self._changed.notify_all()
        for job in left:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(BackendError("the embedder is closed"))
        for thread in self._threads:
            thread.join()

    # ----------------------------------------------------------------- the workers

    def _main(self) -> None:
        while texts := self._take():
            started = time.perf_counter()
            error: Exception | None = None
            found: list[Embedding | None] = [None] * len(texts)
            try:
                found = self.embed(texts)
            except Exception as failure:  # a worker must outlive any text
                error = failure
            took = time.perf_counter() - started
            done = 0
            for text, embedding in zip(texts, found, strict=True):
                with self._changed:
                    jobs = self._jobs.pop(text)
                    self._waiting -= len(jobs)
                for job in jobs:
                    _finish(job, embedding, error, max(0.0, started - job.submitted), took)
                done += len(jobs)
            spent = (time.perf_counter() - started) / done
            with self._changed:
                self._job_s += _WEIGHT * (spent - self._job_s)

    def _take(self) -> list[str]:
        """The next texts, a fair share of what waits; those nobody waits for any more are dropped.

        Empty when closing.
        """
        with self._changed:
            while True:
                while not self._texts and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return []
                share = -(-len(self._texts) // len(self._threads))
                texts: list[str] = []
                while self._texts and len(texts) < min(share, self._embedder.batch):
                    text = self._texts.popleft()
                    if all(job.future.cancelled() for job in self._jobs[text]):
                        self._waiting -= len(self._jobs.pop(text))
                    else:
                        texts.append(text)
                if texts:
                    return texts


def _finish(
    job: _Job, embedding: Embedding | None, error: Exception | None, wait_s: float, took: float
) -> None:
    if not job.future.set_running_or_notify_cancel():
        return
    if error is not None:
        job.future.set_exception(error)
        return
    try:
        job.future.set_result(job.then(Embedded(embedding, wait_s, took)))
    except Exception as failure:
        job.future.set_exception(failure)


def _size(text: str, embedding: Embedding) -> int:
    return len(text) + len(embedding.tokens) + embedding.vector.nbytes + _OVERHEAD
