"""One upstream answer, many readers: equal requests under way make one call, each reads its own way."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import threading
from itertools import accumulate
from typing import Any

import httpx
import pytest

from tests.codecs.samples import sample
from tests.wire import cases, cuts

from .asking import AUTH, ask, body, http2_tls, status
from .conftest import Stand
from .crowd import Crowd, Seen
from .faults import record
from .http2_client import Http2Client
from .provider import Answer, Provider, Received, Steps, sse
from .proxy import Proxy
from .speech import USAGE, completion, text_frames, tool_frames

SSE = {"content-type": "text/event-stream"}
WORDS = [f"word{i} " for i in range(40)]
TEXT = "".join(WORDS)


def gated(gate: Steps, *words: str) -> Any:
    return lambda request: Answer(text_frames(*(words or WORDS)), headers=SSE, gate=gate)


# ---------------------------------------------------------------------- many readers


def test_a_hundred_readers(proxy: Proxy, provider: Provider, question: str) -> None:
    """They come while the answer is being written, and all read the same bytes."""
    gate, rng = Steps(), random.Random(4)
    provider.reply = gated(gate)

    async def run() -> list[Seen]:
        async with Crowd(proxy) as crowd:
            readers: list[asyncio.Task[Seen]] = []
            for _ in WORDS:
                count = min(100 - len(readers), rng.choice((0, 1, 2, 3, 5)))
                readers += [crowd.start(question) for _ in range(count)]
                gate.release()
                await asyncio.sleep(rng.random() / 50)
            readers += [crowd.start(question) for _ in range(100 - len(readers))]
            await crowd.readers(100)
            gate.release(len(WORDS))
            return await asyncio.gather(*readers)

    seen = asyncio.run(run())
    assert len({reader.raw for reader in seen}) == 1
    assert seen[0].whole
    assert seen[0].text == TEXT
    assert sorted(reader.status for reader in seen) == ["coalesced"] * 99 + ["miss"]
    assert "; collapsed" in next(r.headers["cache-status"] for r in seen if r.status == "coalesced")
    assert len(provider.received) == 1
    headers, again = ask(proxy, question)
    assert status(headers) == "hit-l1-exact"
    assert again.choices[0].message.content == TEXT
    assert len(provider.received) == 1


SPOKEN = {
    "openai-chat": ("openai::gpt-4o", "text.sse", "tools.sse", "two-choices.sse"),
    "anthropic-messages": ("anthropic::claude-sonnet-4-5", "text.sse", "tools.sse", "thinking.sse"),
    "gemini-generate": ("gemini::gemini-2.5-flash", "text.sse", "tools.sse", "thoughts.sse"),
    "ollama-chat": ("ollama::llama3.2", "text.ndjson", "tools.ndjson", "thinking.ndjson"),
    "cohere-v2": ("cohere::command-a-03-2025", "text.sse", "tools.sse", "citations.sse"),
}
"""Protocol: a model that is spoken to in it, and samples of it."""


def recordings(protocol: str) -> dict[str, bytes]:
    """Recorded streams where there are any, our own samples else."""
    found = cases(protocol, streaming=True, errors=False, keep=lambda case: len(case.body) < 20_000)
    recorded = {case.name: case.body for case in found[:: max(1, len(found) // 6)][:6]}
    return recorded or {name: sample(protocol, name) for name in SPOKEN[protocol][1:]}


@pytest.mark.parametrize("protocol", SPOKEN)
def test_recorded_streams(world: Stand, question: str, protocol: str) -> None:
    """Whatever the provider says and however its bytes are cut: as if each reader were alone."""
    said, model = recordings(protocol), SPOKEN[protocol][0]
    rng, all_here = random.Random(protocol), threading.Event()
    kind = "application/x-ndjson" if protocol == "ollama-chat" else "text/event-stream"

    def reply(request: Received) -> Answer:
        name = next(name for name in said if f"<{name}>" in request.body.decode())
        pieces = cuts(said[name], seed=len(name))
        ends = accumulate(map(len, pieces))
        half = next(i for i, end in enumerate(ends) if 2 * end > len(said[name]))

        def gate(piece: int) -> bool:
            """A bit at a time, and the second half when all have come."""
            return (piece < half or all_here.is_set()) and (piece < 0 or rng.random() < 0.5)

        return Answer(pieces, headers={"content-type": kind}, gate=gate)

    world.provider.reply = reply

    async def run() -> None:
        async with Crowd(world.proxy) as crowd:

            async def late(text: str) -> Seen:
                await asyncio.sleep(rng.random() * 0.2)
                return await crowd.ask(text, model=model)

            texts = {name: f"{question} <{name}>" for name in said}
            together = [asyncio.create_task(late(t)) for t in texts.values() for _ in range(5)]
            await crowd.readers(len(together))
            all_here.set()
            seen = await asyncio.gather(*together)
            assert len(world.provider.received) == len(said)
            for at, (name, text) in enumerate(texts.items()):
                apart = {"cache-control": "no-store, no-cache"}
                alone = await crowd.ask(text, model=model, headers=apart)
                for reader in seen[5 * at : 5 * at + 5]:
                    assert choices(reader) == choices(alone), name
                    assert reader.outcome == alone.outcome

    asyncio.run(run())


def choices(seen: Seen) -> list[Any]:
    """What was said, without the id and the time, which differ where the provider gives none."""
    return [event.get("choices", event) for event in seen.events]


def test_equal_requests_at_once(proxy: Proxy, provider: Provider, question: str) -> None:
    """However quickly the provider answers, and however the requests fall: one call for each."""

    async def run() -> list[Seen]:
        async with Crowd(proxy) as crowd:
            asked = [crowd.start(f"{question} {i % 8}", stream=i % 3 > 0) for i in range(96)]
            return await asyncio.gather(*asked)

    seen = asyncio.run(run())
    assert len(provider.received) == 8
    assert [reader.text for reader in seen] == [f"You said: {question} {i % 8}" for i in range(96)]


# ---------------------------------------------------------------------- each its own way


@pytest.mark.parametrize("first", ["json", "sse"])
def test_json_and_sse_share_one_call(
    proxy: Proxy, provider: Provider, question: str, first: str
) -> None:
    """Whoever comes first, streaming readers get each word when it is there."""
    gate = Steps()
    provider.reply = gated(gate, "one ", "two")

    async def run() -> tuple[Seen, Seen]:
        async with Crowd(proxy) as crowd:
            gate.release(2)
            begun = asyncio.Event()
            kinds = ("json", "sse") if first == "json" else ("sse", "json")
            tasks = {}
            for at, kind in enumerate(kinds):
                more = {"stream": False} if kind == "json" else {"begun": begun}
                tasks[kind] = crowd.start(question, **more)
                await crowd.readers(at + 1)
            await asyncio.wait_for(begun.wait(), 10)
            assert not tasks["json"].done()
            gate.release(9)
            return await tasks["json"], await tasks["sse"]

    whole, streamed = asyncio.run(run())
    (received,) = provider.received
    assert received.json["stream"] is True
    assert (whole.streamed, streamed.streamed) == (False, True)
    assert whole.text == streamed.text == "one two"
    assert whole.usage == USAGE
    assert whole.ids == streamed.ids
    assert {whole.status, streamed.status} == {"miss", "coalesced"}


def test_a_provider_that_does_not_stream(proxy: Proxy, provider: Provider, question: str) -> None:
    """Streaming readers that join a JSON request wait for it; it is only tried once a model."""
    gate = Steps()
    refusal = {"error": {"message": "Verify your organization to stream.", "param": "stream"}}

    def reply(request: Received) -> Answer:
        if request.json.get("stream"):
            return Answer([json.dumps(refusal).encode()], status=400)
        return Answer([json.dumps(completion({"content": "Hi"})).encode()], gate=gate)

    provider.reply = reply

    async def run(text: str) -> list[Seen]:
        async with Crowd(proxy) as crowd:
            whole = crowd.start(text, stream=False, model="shy")
            await crowd.readers(1)
            streamed = crowd.start(text, model="shy")
            await crowd.readers(2)
            gate.release()
            return await asyncio.gather(whole, streamed)

    for text, calls in ((question, 2), (question + " again", 3)):
        assert [seen.text for seen in asyncio.run(run(text))] == ["Hi", "Hi"]
        assert len(provider.received) == calls


def test_each_reader_its_own_usage(proxy: Proxy, provider: Provider, question: str) -> None:
    gate = Steps()
    provider.reply = gated(gate)
    wishes = [None, {"include_usage": True}, {"include_usage": False}] * 3

    async def run() -> list[Seen]:
        async with Crowd(proxy) as crowd:
            more = [{"stream_options": wish} if wish else {} for wish in wishes]
            tasks = [crowd.start(question, **options) for options in more]
            await crowd.readers(len(tasks))
            gate.release(99)
            return await asyncio.gather(*tasks)

    seen = asyncio.run(run())
    assert len(provider.received) == 1
    for reader, wish in zip(seen, wishes, strict=True):
        assert reader.usage == (USAGE if wish and wish["include_usage"] else None)
        assert reader.text == TEXT
        assert reader.whole
    assert len({id for reader in seen for id in reader.ids}) == 1


def test_tool_calls_are_shared(proxy: Proxy, provider: Provider, question: str) -> None:
    gate = Steps()
    frames = tool_frames("weather", '{"city": ', '"Paris"}')
    provider.reply = lambda request: Answer(frames, headers=SSE, gate=gate)
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]

    async def run() -> list[Seen]:
        async with Crowd(proxy) as crowd:
            tasks = [crowd.start(question, tools=tools, stream=i > 1) for i in range(4)]
            await crowd.readers(4)
            gate.release(99)
            return await asyncio.gather(*tasks)

    seen = asyncio.run(run())
    assert len(provider.received) == 1
    for reader in seen:
        calls = [call for delta in reader.deltas for call in delta.get("tool_calls") or ()]
        assert "".join(call["function"]["arguments"] for call in calls) == '{"city": "Paris"}'


# ---------------------------------------------------------------------- who never joins


def test_tenants_never_join_each_other(proxy: Proxy, provider: Provider, question: str) -> None:
    """Nor do namespaces of one tenant; in a shared namespace tenants do."""
    gate = Steps()
    provider.reply = gated(gate)
    mine, team = {"x-reflex-namespace": "mine"}, {"x-reflex-namespace": "team"}
    askers: list[tuple[str, dict[str, str]]] = [
        ("sk-a", {}),
        ("sk-b", {}),
        ("sk-a", mine),
        ("sk-b", mine),
        ("sk-a", team),
        ("sk-b", team),
    ]

    async def run() -> list[Seen]:
        async with Crowd(proxy) as crowd:
            tasks = []
            for key, headers in askers:
                tasks.append(crowd.start(question, key=key, headers=headers))
                await crowd.readers(len(tasks))
            gate.release(999)
            return await asyncio.gather(*tasks)

    seen = asyncio.run(run())
    assert [reader.status for reader in seen] == ["miss"] * 5 + ["coalesced"]
    keys = [received.headers["authorization"] for received in provider.received]
    assert keys == [f"Bearer {key}" for key, _ in askers[:5]]


@pytest.mark.parametrize("wish", ["no-store", "no-cache"])
def test_controls_that_keep_apart(
    proxy: Proxy, provider: Provider, question: str, wish: str
) -> None:
    """Such a request neither joins nor is joined."""
    gate = Steps()
    provider.reply = gated(gate)

    async def run() -> list[Seen]:
        async with Crowd(proxy) as crowd:
            tasks = []
            for headers in ({"cache-control": wish}, {}, {"cache-control": wish}, {}):
                tasks.append(crowd.start(question, headers=headers))
                await crowd.readers(len(tasks))
            gate.release(999)
            return await asyncio.gather(*tasks)

    seen = asyncio.run(run())
    alone = "bypass" if wish == "no-cache" else "miss"
    assert [reader.status for reader in seen] == [alone, "miss", alone, "coalesced"]
    assert len(provider.received) == 3


def test_only_if_cached_does_not_wait(proxy: Proxy, provider: Provider, question: str) -> None:
    gate = Steps()
    provider.reply = gated(gate)

    async def run() -> None:
        async with Crowd(proxy) as crowd:
            open_one = crowd.start(question)
            await crowd.readers(1)
            seen = await crowd.ask(question, headers={"cache-control": "only-if-cached"})
            assert (seen.code, (seen.error or {})["code"]) == (504, "not_cached")
            gate.release(99)
            assert (await open_one).whole

    asyncio.run(run())


def test_the_numbers_say_what_was_saved(proxy: Proxy, provider: Provider, question: str) -> None:
    gate = Steps()
    provider.reply = gated(gate)

    async def run() -> tuple[Any, Any]:
        async with Crowd(proxy) as crowd:
            before = await crowd.stats()
            tasks = [crowd.start(question) for _ in range(5)]
            await crowd.readers(5)
            during = await crowd.stats()
            assert (during["in_flight"], during["readers"]) == (1, 5)
            gate.release(99)
            await asyncio.gather(*tasks)
            await crowd.readers(0)
            return before, await crowd.stats()

    before, after = asyncio.run(run())
    assert after["upstream"]["calls"] - before["upstream"]["calls"] == 1
    assert after["saved"]["calls"] - before["saved"]["calls"] == 4
    by_status = after["requests"]["by_status"]
    assert by_status["coalesced"] - before["requests"]["by_status"].get("coalesced", 0) == 4
    assert after["in_flight"] == 0


# ---------------------------------------------------------------------- slow ones, HTTP/2

BIG = 6 * 2**20
PIECE = "x" * 2**15


def big_answer(gate: Steps) -> Any:
    gate.release(2)
    return gated(gate, *[PIECE] * (BIG // len(PIECE)))


class Stuck:
    """A client that asks and does not read, with as little room for bytes as the system allows."""

    def __init__(self, proxy: Proxy, text: str) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(20)
        url = httpx.URL(proxy.base_url)
        self._socket.connect((url.host, url.port))
        data = json.dumps(body(text, stream=True)).encode()
        head = [
            "POST /v1/chat/completions HTTP/1.1",
            "Host: proxy",
            *[f"{name}: {value}" for name, value in AUTH.items()],
            "Content-Type: application/json",
            f"Content-Length: {len(data)}",
        ]
        self._socket.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + data)

    def read(self) -> bytes:
        """All of it, after all."""
        parts = []
        while not (parts and parts[-1].endswith(b"0\r\n\r\n")):
            data = self._socket.recv(2**20)
            assert data, "the proxy closed the connection"
            parts.append(data)
        return b"".join(parts)

    def close(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


def resident(proxy: Proxy) -> int:
    """Bytes of memory the proxy uses."""
    with open(f"/proc/{proxy.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_readers_that_do_not_read(proxy: Proxy, provider: Provider, question: str) -> None:
    """They hold nobody up, and what waits for them is kept once, not for each."""
    warm, gate = Steps(), Steps()
    count = 24

    async def run() -> None:
        async with Crowd(proxy) as crowd:
            warm.release(999)
            provider.reply = big_answer(warm)
            assert len((await crowd.ask(question + " warm")).text) == BIG
            provider.reply = big_answer(gate)
            before = resident(proxy)
            stuck = [Stuck(proxy, question) for _ in range(count)]
            try:
                reader = crowd.start(question)
                await crowd.readers(count + 1)
                gate.release(999)
                seen = await reader
                assert len(seen.text) == BIG
                what = "one does not read, or slowly"
                record("Clients", what, "goes on", seen.outcome, "as if nothing were")
                grown = resident(proxy) - before
                assert grown < count * BIG / 2, f"{grown / 2**20:.0f} MiB more"
                raw = await asyncio.to_thread(stuck[0].read)
                assert raw.count(PIECE.encode()) == BIG // len(PIECE)
            finally:
                for each in stuck:
                    each.close()
            await crowd.readers(0)

    asyncio.run(run())
    assert len(provider.received) == 2


def test_http2_readers(secure: Stand, question: str) -> None:
    """Over one connection and over HTTP/1.1, all of one call."""
    gate = Steps()
    secure.provider.reply = gated(gate)

    async def run() -> list[Seen]:
        via = {"proxy": secure.proxy.url}
        async with (
            Crowd(secure.proxy, http2=True, **via, verify=http2_tls(secure.proxy)) as modern,
            Crowd(secure.proxy) as plain,
        ):
            modern.url = "https://api.openai.com/v1/chat/completions"
            tasks = [modern.start(question) for _ in range(8)]
            tasks += [plain.start(question, stream=i > 0) for i in range(4)]
            await plain.readers(12)
            gate.release(99)
            return await asyncio.gather(*tasks)

    seen = asyncio.run(run())
    assert len(secure.provider.received) == 1
    assert {reader.text for reader in seen} == {TEXT}
    assert len({reader.raw for reader in seen if reader.streamed}) == 1


def test_http2_reader_that_does_not_read(secure: Stand, question: str) -> None:
    """Its flow-control window stays closed; another stream of its connection, and others, go on."""
    gate = Steps()
    secure.provider.reply = big_answer(gate)
    with Http2Client(secure.proxy) as slow:
        held = slow.ask(body(question, stream=True))
        slow.hold(held)
        slow.read_until(held, b"xxx")
        other = slow.ask(body(question, stream=True))

        async def run() -> Seen:
            async with Crowd(secure.proxy) as crowd:
                reader = crowd.start(question)
                await crowd.readers(3)
                gate.release(999)
                return await reader

        assert len(asyncio.run(run()).text) == BIG
        assert slow.read_to_end(other).endswith(b"data: [DONE]\n\n")
        assert len(slow.received[held]) < 2**17
        slow.let_go(held)
        assert slow.read_to_end(held).count(PIECE.encode()) == BIG // len(PIECE)
    assert len(secure.provider.received) == 1


# ---------------------------------------------------------------------- failures are shared

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
