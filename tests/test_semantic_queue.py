"""EmbedQueue: order, bounds, batches, each text once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.errors import BackendError
from reflex_core.ports import Embedding
from reflex_core.semantic_queue import Embedded, EmbeddingCache, EmbedQueue

from .semantic_parts import WordEmbedder


@pytest.fixture
def embedder() -> WordEmbedder:
    return WordEmbedder()


@pytest.fixture
def queue(embedder: WordEmbedder) -> Iterator[EmbedQueue]:
    made = EmbedQueue(embedder, threads=1, limit=8, cache=EmbeddingCache(100, 1 << 20))
    yield made
    embedder.go.set()
    made.close()


def text_of(made: Embedded) -> str | None:
    return made.embedding and made.embedding.tokens.decode()


def hold(queue: EmbedQueue, embedder: WordEmbedder) -> None:
    """Keep the worker inside the embedder until `go`."""
    embedder.go.clear()
    queue.submit("held", text_of)
    assert embedder.entered.acquire(timeout=10)


def test_what_is_done_with_an_embedding(queue: EmbedQueue) -> None:
    futures = [queue.submit(text, text_of) for text in ("a b", "c", "x " * 21)]
    assert [future and future.result(10) for future in futures] == ["a b", "c", None]


def test_a_text_is_embedded_once(queue: EmbedQueue, embedder: WordEmbedder) -> None:
    hold(queue, embedder)
    futures = [queue.submit(text, text_of) for text in ("a", "a", "held", "b", "a")]
    embedder.go.set()
    assert [future and future.result(10) for future in futures] == ["a", "a", "held", "b", "a"]
    again = queue.submit("a", lambda made: made.embed_s)
    assert again is not None
    again.result(10)
    assert [found is not None for found in queue.embed(["a", "held"])] == [True, True]
    assert sorted(text for asked in embedder.asked for text in asked) == ["a", "b", "held"]


def test_texts_that_wait_are_embedded_together(queue: EmbedQueue, embedder: WordEmbedder) -> None:
    hold(queue, embedder)
    futures = [queue.submit(f"t{n}", text_of) for n in range(6)]
    embedder.go.set()
    for future in futures:
        assert future is not None
        future.result(10)
    assert embedder.asked == [["held"], ["t0", "t1", "t2", "t3"], ["t4", "t5"]]


def test_a_full_queue_says_so(queue: EmbedQueue, embedder: WordEmbedder) -> None:
    hold(queue, embedder)
    futures = [queue.submit(f"t{n}", text_of) for n in range(8)]
    assert [future is None for future in futures] == [False] * 7 + [True]
    assert queue.stats()["refused"] == 1
    embedder.go.set()
    assert futures[0] is not None
    assert futures[0].result(10) == "t0"
    assert futures[6] is not None
    futures[6].result(10)
    assert queue.submit("later", text_of) is not None


def test_what_would_wait_too_long_is_refused(embedder: WordEmbedder) -> None:
    queue = EmbedQueue(
        embedder, threads=1, limit=99, cache=EmbeddingCache(9, 1 << 20), patience=0.0
    )
    for text in ("a", "b"):
        alone = queue.submit(text, text_of)
        assert alone is not None, "nothing waits: it is its turn"
        alone.result(10)
    hold(queue, embedder)
    assert queue.submit("c", text_of) is None
    embedder.go.set()
    queue.close()


def test_what_is_cancelled_is_not_embedded(queue: EmbedQueue, embedder: WordEmbedder) -> None:
    hold(queue, embedder)
    first, second, third = (queue.submit(text, text_of) for text in ("a", "b", "b"))
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.cancel()
    assert second.cancel()
    embedder.go.set()
    assert third.result(10) == "b"
    with pytest.raises(CancelledError):
        second.result(10)
    assert embedder.asked == [["held"], ["b"]]
    assert queue.stats()["waiting"] == 0


@pytest.mark.parametrize("failure", [BackendError("down"), RuntimeError("odd")])
def test_a_failure_reaches_those_who_wait_and_nobody_else(
    queue: EmbedQueue, embedder: WordEmbedder, failure: Exception
) -> None:
    embedder.failure = failure
    futures = [queue.submit(text, text_of) for text in ("a", "a")]
    for future in futures:
        assert future is not None
        with pytest.raises(type(failure), match=str(failure)):
            future.result(10)
    embedder.failure = None
    again = queue.submit("a", text_of)
    assert again is not None
    assert again.result(10) == "a"


def test_a_job_that_fails_does_not_stop_the_worker(queue: EmbedQueue) -> None:
    bad = queue.submit("a", lambda made: 1 // 0)
    assert bad is not None
    with pytest.raises(ZeroDivisionError):
        bad.result(10)
    good = queue.submit("a", text_of)
    assert good is not None
    assert good.result(10) == "a"


def test_closing_fails_what_waits(embedder: WordEmbedder) -> None:
    queue = EmbedQueue(embedder, threads=1, limit=8, cache=EmbeddingCache(9, 1 << 20))
    hold(queue, embedder)
    waiting = queue.submit("a", text_of)
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(queue.close)
        assert waiting is not None
        with pytest.raises(BackendError, match="closed"):
            waiting.result(10)
        embedder.go.set()
        closing.result(10)
    assert queue.submit("b", text_of) is None
    assert queue.stats()["waiting"] == 0


def test_many_threads(embedder: WordEmbedder) -> None:
    queue = EmbedQueue(embedder, threads=2, limit=1000, cache=EmbeddingCache(50, 1 << 20))

    def ask(n: int) -> bool:
        future = queue.submit(f"t{n % 20}", text_of)
        return future is not None and future.result(10) == f"t{n % 20}"

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(400)))
    queue.close()
    assert sorted(text for asked in embedder.asked for text in asked) == sorted(
        f"t{n}" for n in range(20)
    )


def an_embedding(size: int) -> Embedding:
    return Embedding(np.ones(1, np.float32), bytes(size))


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 900), st.booleans()), max_size=30)
)
def test_the_cache_keeps_its_bounds_and_the_texts_used_last(
    steps: list[tuple[str, int, bool]],
) -> None:
    cache = EmbeddingCache(3, 2500)
    used: list[str] = []
    for text, size, read in steps:
        if read:
            found = cache.get(text)
            assert (found is not None) == (text in used)
            if found is None:
                continue
        else:
            cache.put(text, an_embedding(size))
        used = [other for other in used if other != text] + [text]
        used = [other for other in used if other in set(cache._items)]
        assert list(cache._items) == used
        assert len(cache) <= 3
        assert cache.bytes <= 2500
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)
