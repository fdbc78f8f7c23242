"""Stopping: open answers may finish, a second signal ends them, and nothing stored is ever lost."""

from __future__ import annotations

import asyncio
import signal
import time

from .asking import AUTH, ask, body, is_stored, status
from .conftest import Start
from .crowd import Crowd, Gate, Seen
from .faults import record
from .provider import Answer, Provider, Received
from .proxy import Proxy
from .speech import echo, text_frames

SSE = {"content-type": "text/event-stream"}
WORDS = ["one ", "two ", "three"]


def gated(provider: Provider, question: str) -> Gate:
    """The provider answers `question` as the gate allows, others at once."""
    gate = Gate()

    def reply(request: Received) -> Answer:
        if request.json["messages"][-1]["content"] == question:
            return Answer(text_frames(*WORDS), headers=SSE, gate=gate)
        return echo(request)

    provider.reply = reply
    return gate


async def exit_code(proxy: Proxy) -> int:
    return await asyncio.to_thread(proxy.process.wait, 30)


def fill(proxy: Proxy, count: int) -> None:
    async def run() -> None:
        async with Crowd(proxy) as crowd:
            await asyncio.gather(*[crowd.ask(f"question {i}") for i in range(count)])

    asyncio.run(run())


def kept(proxy: Proxy, count: int) -> int:
    """How many of them can be had again without the provider."""
    only = {"cache-control": "only-if-cached"}

    async def run() -> int:
        async with Crowd(proxy) as crowd:
            asked = [crowd.ask(f"question {i}", headers=only) for i in range(count)]
            return sum(seen.whole for seen in await asyncio.gather(*asked))

    return asyncio.run(run())


def test_sigterm_lets_open_answers_finish(own_provider: Provider, start: Start) -> None:
    """Hits are still served and open answers joined meanwhile; new questions are for the next proxy."""
    upstream = own_provider.url + "/v1"
    proxy = start(reflex_upstream=upstream)
    gate = gated(own_provider, "open")
    fill(proxy, 30)

    async def run() -> list[Seen]:
        async with Crowd(proxy) as crowd:
            gate.to_word(0)
            readers = [crowd.start("open", stream=i > 0) for i in range(3)]
            await crowd.readers(3)
            proxy.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(proxy.wait_for, "stopping")
            assert (await crowd.ask("question 1")).status == "hit-l1-exact"
            refused = await crowd.ask("new", stream=False)
            assert refused.outcome == "503 `stopping`"
            assert refused.headers["retry-after"] == "1"
            readers.append(crowd.start("open"))
            await crowd.readers(4)
            gate.open()
            seen = await asyncio.gather(*readers)
            assert await exit_code(proxy) == 0
            return list(seen)

    seen = asyncio.run(run())
    assert {reader.text for reader in seen} == {"one two three"}
    (outcome,) = {reader.outcome for reader in seen}
    proxy = start(reflex_upstream=upstream)
    assert kept(proxy, 30) == 30
    headers, _ = ask(proxy, "open")
    assert status(headers) == "hit-l1-exact"
    record("The proxy", "SIGTERM or SIGINT", outcome, "all, these answers too")


def test_a_slow_reader_has_its_time_too(own_provider: Provider, start: Start) -> None:
    """The provider has finished, the client has not; it has all before the proxy goes."""
    proxy = start(reflex_upstream=own_provider.url + "/v1")
    big = "x" * 2**16
    own_provider.reply = lambda request: Answer(text_frames(*[big] * 200), headers=SSE)

    async def run() -> tuple[int, float]:
        async with Crowd(proxy) as crowd:
            slow = asyncio.Event()
            reading = asyncio.create_task(read_slowly(crowd, slow))
            await crowd.readers(1)
            await asyncio.sleep(0.5)
            proxy.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(1)
            assert proxy.process.poll() is None
            slow.set()
            return await reading, await exit_code(proxy)

    async def read_slowly(crowd: Crowd, slow: asyncio.Event) -> int:
        request = body("big", stream=True)
        async with crowd.http.stream("POST", crowd.url, json=request, headers=AUTH) as answer:
            await slow.wait()
            return (await answer.aread()).count(big.encode())

    assert asyncio.run(run()) == (200, 0)


def test_the_time_to_finish_is_bounded(own_provider: Provider, start: Start) -> None:
    upstream = own_provider.url + "/v1"
    proxy = start(reflex_upstream=upstream, reflex_shutdown_grace="500ms")
    gate = gated(own_provider, "open")
    fill(proxy, 30)

    async def run() -> list[Seen]:
        async with Crowd(proxy) as crowd:
            gate.to_word(1)
            readers = [crowd.start("open", stream=i > 0) for i in range(2)]
            await crowd.readers(2)
            proxy.process.send_signal(signal.SIGTERM)
            seen = await asyncio.gather(*readers)
            assert await exit_code(proxy) == 0
            return list(seen)

    whole, streamed = asyncio.run(run())
    assert (whole.code, streamed.text) == (503, "one two ")
    assert (whole.error or {})["code"] == (streamed.error or {})["code"] == "stopping"
    proxy = start(reflex_upstream=upstream)
    assert kept(proxy, 30) == 30
    assert not is_stored(proxy, "open")
    record(
        "The proxy",
        "SIGTERM, and an answer takes longer than `reflex_shutdown_grace`",
        f"{streamed.outcome}; JSON: {whole.outcome}",
        "all that was complete",
    )


def test_a_second_signal_ends_at_once(own_provider: Provider, start: Start) -> None:
    upstream = own_provider.url + "/v1"
    proxy = start(reflex_upstream=upstream, reflex_shutdown_grace="10m")
    gate = gated(own_provider, "open")

    async def run() -> Seen:
        async with Crowd(proxy) as crowd:
            gate.to_word(0)
            reader = crowd.start("open")
            await crowd.readers(1)
            await asyncio.gather(*[crowd.ask(f"question {i}") for i in range(30)])
            proxy.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(proxy.wait_for, "stopping")
            assert proxy.process.poll() is None
            proxy.process.send_signal(signal.SIGINT)
            seen = await reader
            assert await exit_code(proxy) == 0
            return seen

    seen = asyncio.run(run())
    assert (seen.error or {})["code"] == "stopping"
    proxy = start(reflex_upstream=upstream)
    assert kept(proxy, 30) == 30, "the queue was written"
    record("The proxy", "a second signal", seen.outcome, "all that was complete")


def test_kill_in_the_middle(own_provider: Provider, start: Start) -> None:
    """What had been written is there; what was open is asked anew."""
    upstream = own_provider.url + "/v1"
    proxy = start(reflex_upstream=upstream)
    gate = gated(own_provider, "open")
    fill(proxy, 30)
    time.sleep(0.5)  # the writer's interval

    async def run() -> None:
        async with Crowd(proxy) as crowd:
            gate.to_word(0)
            reader = crowd.start("open", until=lambda seen: "one" in seen.text)
            await reader
            left = crowd.start("open")
            busy = [crowd.start(f"busy {i}") for i in range(20)]
            proxy.process.kill()
            await exit_code(proxy)
            await asyncio.gather(left, *busy, return_exceptions=True)

    asyncio.run(run())
    gate.open()
    proxy = start(reflex_upstream=upstream)
    assert kept(proxy, 30) == 30
    headers, answer = ask(proxy, "open")
    assert (status(headers), answer.choices[0].message.content) == ("miss", "one two three")
    assert status(ask(proxy, "open")[0]) == "hit-l1-exact"

    async def again() -> list[Seen]:
        async with Crowd(proxy) as crowd:
            return await asyncio.gather(*[crowd.ask(f"busy {i}") for i in range(20)])

    assert [seen.text for seen in asyncio.run(again())] == [
        f"You said: busy {i}" for i in range(20)
    ]
    record(
        "The proxy",
        "kill -9",
        "a cut answer",
        "all that was written; at most the last moment is lost",
    )
