"""What fails for one reader of a shared answer fails for all, and is tried again for all."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from .asking import ask, status
from .crowd import SSE, TEXT, WORDS, Crowd, Seen
from .provider import Answer, Provider, Received, Steps, sse
from .proxy import Proxy
from .speech import text_frames

BUSY = {"error": {"message": "Busy.", "type": "rate_limit_error", "param": None, "code": "busy"}}


def failing_first(times: int, opened: threading.Event, retry_after: str) -> Any:
    """Says 429 so many times, the first time when the gate opens."""
    calls = 0

    def reply(request: Received) -> Answer:
        nonlocal calls
        calls += 1
        if calls > times:
            return Answer(text_frames(*WORDS), headers=SSE)
        headers = {"retry-after-ms": retry_after}
        pieces = [json.dumps(BUSY).encode()]
        return Answer(pieces, status=429, headers=headers, gate=lambda piece: opened.is_set())

    return reply


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_one_retry_for_all(proxy: Proxy, provider: Provider, question: str, failures: int) -> None:
    """Two retries, with the pause the provider asks for; after that all get the error."""
    opened = threading.Event()
    provider.reply = failing_first(failures, opened, "150")

    async def run() -> tuple[list[Seen], float]:
        loop = asyncio.get_running_loop()
        async with Crowd(proxy) as crowd:
            tasks = [crowd.start(question, stream=i > 3) for i in range(12)]
            await crowd.readers(12)
            start = loop.time()
            opened.set()
            return await asyncio.gather(*tasks), loop.time() - start

    seen, took = asyncio.run(run())
    assert len(provider.received) == min(failures, 2) + 1
    assert took >= 0.15 * min(failures, 2)
    for reader in seen:
        if failures < 3:
            assert (reader.code, reader.text) == (200, TEXT)
        else:
            assert (reader.code, reader.error) == (429, BUSY["error"])
            assert reader.headers["retry-after-ms"] == "150"


def test_a_long_pause_is_the_clients_own(proxy: Proxy, provider: Provider, question: str) -> None:
    opened = threading.Event()
    provider.reply = failing_first(9, opened, "31000")

    async def run() -> list[Seen]:
        async with Crowd(proxy) as crowd:
            tasks = [crowd.start(question) for _ in range(3)]
            await crowd.readers(3)
            opened.set()
            return await asyncio.gather(*tasks)

    for reader in asyncio.run(run()):
        assert (reader.code, reader.headers["retry-after"]) == (429, "31")
    assert len(provider.received) == 1


def test_a_single_client_does_its_own_retries(
    proxy: Proxy, provider: Provider, question: str
) -> None:
    opened = threading.Event()
    opened.set()
    provider.reply = failing_first(1, opened, "10")

    async def run() -> Seen:
        async with Crowd(proxy) as crowd:
            return await crowd.ask(question)

    assert asyncio.run(run()).code == 429
    assert len(provider.received) == 1


def test_all_are_told_of_a_late_failure(proxy: Proxy, provider: Provider, question: str) -> None:
    """In the stream for those that read one, as a status for the others; those that come later ask."""
    gate = Steps()
    frames = [*text_frames("one ", "two")[:3], *sse(BUSY, done=False)]
    provider.reply = lambda request: Answer(frames, headers=SSE, gate=gate)

    async def run() -> list[Seen]:
        async with Crowd(proxy) as crowd:
            tasks = [crowd.start(question, stream=i > 2) for i in range(9)]
            await crowd.readers(9)
            gate.release(99)
            return await asyncio.gather(*tasks)

    for reader in asyncio.run(run()):
        assert reader.error == BUSY["error"]
        assert not reader.whole
        assert reader.code == (200 if reader.streamed else 429)
        assert reader.text == "one two" if reader.streamed else True
    assert len(provider.received) == 1
    provider.reply = lambda request: Answer(text_frames("fine"), headers=SSE)
    assert status(ask(proxy, question)[0]) == "miss"
