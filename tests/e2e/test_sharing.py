"""One upstream answer, many readers: equal requests under way make one call, each reads its own way."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from itertools import accumulate
from typing import Any

import pytest

from tests.codecs.samples import sample
from tests.wire import cases, cuts

from .asking import ask, http2_tls, status
from .conftest import Stand
from .crowd import SSE, TEXT, WORDS, Crowd, Seen, gated
from .provider import Answer, Provider, Received, Steps
from .proxy import Proxy
from .speech import USAGE, completion, tool_frames

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
    "openai-chat": ("openai::gpt-4o", "text.sse", "parallel-tools.sse", "two-choices.sse"),
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


def test_keepalives_are_for_streams(brisk: Stand, question: str) -> None:
    """Of readers of one answer that lets them wait, the JSON reader gets JSON alone."""
    gate = Steps()
    brisk.provider.reply = gated(gate, "one ", "two")

    async def run() -> list[Seen]:
        async with Crowd(brisk.proxy) as crowd:
            readers = [crowd.start(question, stream=i > 0) for i in range(2)]
            await crowd.readers(2)
            await asyncio.sleep(0.5)
            gate.release(9)
            return await asyncio.gather(*readers)

    whole, streamed = asyncio.run(run())
    assert streamed.raw.count(b": keep-alive\n\n") >= 2
    assert whole.raw.startswith(b"{")
    assert whole.text == streamed.text == "one two"
    assert len(brisk.provider.received) == 1


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
