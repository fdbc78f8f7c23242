"""The upstream call belongs to no reader: whoever leaves, the others read on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from .asking import ask, body, is_stored, status
from .conftest import Stand
from .crowd import Crowd, Gate, Seen, until
from .faults import record
from .http2_client import Http2Client
from .provider import Answer, Provider
from .proxy import Proxy
from .speech import text_frames

SSE = {"content-type": "text/event-stream"}
WORDS = [f"word{i} " for i in range(30)]
TEXT = "".join(WORDS)


def says_words(provider: Provider) -> Gate:
    """The provider says WORDS, one when each is released."""
    gate = Gate()
    provider.reply = lambda request: Answer(text_frames(*WORDS), headers=SSE, gate=gate)
    return gate


# ---------------------------------------------------------------------- some leave


def test_the_first_reader_leaves(proxy: Proxy, provider: Provider, question: str) -> None:
    gate = says_words(provider)

    async def run() -> list[Seen]:
        async with Crowd(proxy) as crowd:
            first = crowd.start(question, until=lambda seen: WORDS[3] in seen.text)
            await crowd.readers(1)
            others = [crowd.start(question, stream=i > 0) for i in range(4)]
            await crowd.readers(5)
            gate.to_word(3)
            assert not (await first).whole
            await crowd.readers(4)
            gate.open()
            return await asyncio.gather(*others)

    others = asyncio.run(run())
    assert {seen.text for seen in others} == {TEXT}
    (outcome,) = {seen.outcome for seen in others}
    assert (len(provider.received), provider.disconnects) == (1, 0)
    afterwards = status(ask(proxy, question)[0])
    record("Clients", "one leaves, the first or another", "goes on", outcome, f"`{afterwards}`")


def test_readers_come_and_go(proxy: Proxy, provider: Provider, question: str) -> None:
    """At random, the first among them; never all at once."""
    gate, rng = says_words(provider), random.Random(11)

    async def run() -> tuple[list[Seen], list[Seen]]:
        async with Crowd(proxy) as crowd:
            leaving = [crowd.start(question, until=lambda seen: WORDS[0] in seen.text)]
            staying: list[asyncio.Task[Seen]] = []
            for at in range(len(WORDS)):
                gate.to_word(at)
                word = WORDS[rng.randrange(at, len(WORDS))]
                leaving.append(crowd.start(question, until=lambda s, word=word: word in s.text))
                staying.append(crowd.start(question, stream=rng.random() < 0.8))
                await asyncio.sleep(0.005)
            gone = await asyncio.gather(*leaving)
            await crowd.readers(len(staying))
            gate.open()
            return list(gone), await asyncio.gather(*staying)

    gone, stayed = asyncio.run(run())
    assert (len(provider.received), provider.disconnects) == (1, 0)
    assert len({seen.raw for seen in stayed if seen.streamed}) == 1
    assert {seen.text for seen in stayed} == {TEXT}
    whole = next(seen.raw for seen in stayed if seen.streamed)
    assert all(whole.startswith(seen.raw) for seen in gone)


def test_a_json_reader_leaves(proxy: Proxy, provider: Provider, question: str) -> None:
    gate = says_words(provider)

    async def run() -> Seen:
        async with Crowd(proxy) as crowd:
            leaves = crowd.start(question, stream=False)
            await crowd.readers(1)
            stays = crowd.start(question, stream=False)
            await crowd.readers(2)
            leaves.cancel()
            await crowd.readers(1)
            gate.open()
            return await stays

    assert asyncio.run(run()).text == TEXT
    assert (len(provider.received), provider.disconnects) == (1, 0)


def test_an_http2_reader_leaves(secure: Stand, question: str) -> None:
    """One stream of a connection; an HTTP/1.1 reader goes on with the rest."""
    gate = says_words(secure.provider)
    gate.to_word(2)
    with Http2Client(secure.proxy) as modern:
        stream = modern.ask(body(question, stream=True))
        modern.read_until(stream, WORDS[2].encode())

        async def run() -> Seen:
            async with Crowd(secure.proxy) as crowd:
                stays = crowd.start(question)
                await crowd.readers(2)
                modern.leave(stream)
                await crowd.readers(1)
                gate.open()
                return await stays

        assert asyncio.run(run()).text == TEXT
    assert (len(secure.provider.received), secure.provider.disconnects) == (1, 0)


# ---------------------------------------------------------------------- all leave


def test_nobody_listens_nobody_pays(proxy: Proxy, provider: Provider, question: str) -> None:
    """Without a grace time the call ends with its last reader, whichever that is."""
    gate = says_words(provider)

    async def run() -> None:
        async with Crowd(proxy) as crowd:
            cancelled = (await crowd.stats())["upstream"]["cancelled"]
            gate.to_word(0)
            left = [crowd.start(question, until=lambda seen: "word" in seen.text) for _ in range(3)]
            whole = crowd.start(question, stream=False)
            await crowd.readers(1)
            await asyncio.gather(*left)
            assert provider.disconnects == 0
            whole.cancel()
            await until(lambda: provider.disconnects == 1)
            await crowd.readers(0)
            stats = await crowd.stats()
            assert (stats["upstream"]["cancelled"], stats["in_flight"]) == (cancelled + 1, 0)

    asyncio.run(run())
    assert len(provider.received) == 1
    assert not is_stored(proxy, question)
    gate.open()
    headers, answer = ask(proxy, question)
    assert answer.choices[0].message.content == TEXT
    record("Clients", "all leave", "is cancelled", "—", f"`{status(headers)}`")


def test_one_that_comes_back_at_once(world: Stand, question: str) -> None:
    """Within the grace time it finds the answer where it is, from its start."""
    gate = says_words(world.provider)

    async def run() -> Seen:
        async with Crowd(world.proxy) as crowd:
            for at in (2, 9):
                gate.to_word(at)
                word = WORDS[at]
                left = await crowd.ask(question, until=lambda seen, word=word: word in seen.text)
                assert left.status == ("miss" if at == 2 else "coalesced")
                await crowd.readers(0)
            again = crowd.start(question)
            await crowd.readers(1)
            gate.open()
            return await again

    seen = asyncio.run(run())
    assert (seen.text, seen.whole) == (TEXT, True)
    assert (len(world.provider.received), world.provider.disconnects) == (1, 0)
    what = "all leave, one comes back within `reflex_disconnect_grace`"
    record("Clients", what, "goes on", "—", f"`{seen.status}`")


def test_one_that_comes_back_too_late(world: Stand, question: str) -> None:
    gate = says_words(world.provider)

    async def run() -> Seen:
        loop = asyncio.get_running_loop()
        async with Crowd(world.proxy) as crowd:
            gate.to_word(2)
            await crowd.ask(question, until=lambda seen: WORDS[2] in seen.text)
            left_at = loop.time()
            await until(lambda: world.provider.disconnects == 1)
            assert loop.time() - left_at > 1.5, "the grace time is 2 s"
            gate.open()
            return await crowd.ask(question)

    seen = asyncio.run(run())
    assert (seen.status, seen.text) == ("miss", TEXT)
    assert len(world.provider.received) == 2


def test_a_request_of_ones_own_has_no_grace(world: Stand, question: str) -> None:
    """Nobody else may come for it."""
    gate = says_words(world.provider)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        async with Crowd(world.proxy) as crowd:
            gate.to_word(2)
            no_store = {"cache-control": "no-store"}
            await crowd.ask(question, headers=no_store, until=lambda seen: WORDS[2] in seen.text)
            left_at = loop.time()
            await until(lambda: world.provider.disconnects == 1)
            assert loop.time() - left_at < 1.5

    asyncio.run(run())


# ---------------------------------------------------------------------- finish


@pytest.fixture(scope="module")
def _finishing(confdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    provider = Provider()
    storage = tmp_path_factory.mktemp("finishing") / "store"
    options = {"reflex_upstream": provider.url + "/v1", "reflex_on_disconnect": "finish"}
    stand = Stand(Proxy(confdir, storage, **options), provider)
    yield stand
    stand.close()


@pytest.fixture
def finishing(_finishing: Stand) -> Stand:
    """Upstream calls go on to fill the cache."""
    return _finishing.fresh()


@pytest.mark.parametrize("stream", [True, False])
def test_finish_fills_the_cache(finishing: Stand, question: str, stream: bool) -> None:
    gate = says_words(finishing.provider)

    async def run() -> None:
        async with Crowd(finishing.proxy) as crowd:
            gate.to_word(2)
            if stream:
                await crowd.ask(question, until=lambda seen: WORDS[2] in seen.text)
            else:
                leaves = crowd.start(question, stream=False)
                await crowd.readers(1)
                leaves.cancel()
            await crowd.readers(0)
            joined = crowd.start(question)
            await crowd.readers(1)
            joined.cancel()
            await crowd.readers(0)
            gate.open()
            await until(lambda: finished(crowd))

    async def finished(crowd: Crowd) -> bool:
        return (await crowd.stats())["in_flight"] == 0

    asyncio.run(run())
    assert (len(finishing.provider.received), finishing.provider.disconnects) == (1, 0)
    headers, answer = ask(finishing.proxy, question)
    assert answer.choices[0].message.content == TEXT
    what = "all leave, with `reflex_on_disconnect=finish`"
    record("Clients", what, "goes on to its end", "—", f"`{status(headers)}`")


def test_finish_is_for_answers_that_are_kept(finishing: Stand, question: str) -> None:
    """What is not stored is not paid for either."""
    gate = says_words(finishing.provider)

    async def run() -> None:
        async with Crowd(finishing.proxy) as crowd:
            gate.to_word(2)
            no_store = {"cache-control": "no-store"}
            await crowd.ask(question, headers=no_store, until=lambda seen: WORDS[2] in seen.text)
            await until(lambda: finishing.provider.disconnects == 1)

    asyncio.run(run())
