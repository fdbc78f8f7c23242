"""Waiting for the answer to a similar question in flight: who waits, for what, and for how long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from reflex_core.app import App
from reflex_core.prepared import Prepared
from reflex_core.reply import Reply
from reflex_core.sight import Sight

from .e2e.crowd import until
from .e2e.provider import Answer, Received
from .e2e.speech import text_frames
from .running import body_of
from .second_looks import WAIT, World, running

FIRST = "how do I bake good bread at home"
SIMILAR = FIRST + " please"
OTHER = "how do I bake good bread at home 2"
SSE = {"content-type": "text/event-stream"}
TEXT = "Use flour."


class Held:
    """The provider answers nothing before `go`."""

    def __init__(self, world: World, finish: str = "stop", status: int = 200) -> None:
        self._world = world
        self.open = False
        frames = text_frames(TEXT)
        frames = [frame.replace(b'"stop"', f'"{finish}"'.encode()) for frame in frames]
        pieces = frames if status == 200 else [b'{"error": {"message": "no"}}']
        world.answer = Answer(pieces, status=status, headers=SSE, gate=lambda piece: self.open)

    def go(self) -> None:
        self.open = True

    async def asked(self, count: int) -> None:
        """Until the provider has got so many requests."""
        await until(lambda: len(self._world.asked) >= count)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


async def chat(
    app: App, text: str, headers: dict[str, str] | None = None, **more: Any
) -> tuple[dict[str, str], bytes]:
    raw = orjson.dumps(body_of(text, **more))
    prepared = app.prepare(raw, {"authorization": "Bearer sk-a", **(headers or {})})
    assert isinstance(prepared, Prepared)
    outcome = await app.chat(prepared)
    if isinstance(outcome, Reply):
        reply = outcome
    else:
        try:
            reply = await outcome.whole()
        finally:
            outcome.close()
    return {name.lower(): value for name, value in reply.headers}, reply.body


Asking = asyncio.Task[tuple[dict[str, str], bytes]]


def start(app: App, text: str, headers: dict[str, str] | None = None, **more: Any) -> Asking:
    return asyncio.create_task(chat(app, text, headers, **more))


async def waiting(app: App) -> None:
    """Until somebody waits as a further reader of a flight."""
    await until(lambda: any(flight.readers > 1 for flight in app.misses.flights.values()))


def go(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def told(headers: dict[str, str]) -> str:
    return headers["x-reflex-status"]


@pytest.mark.parametrize("stream", [False, True])
def test_one_upstream_call(tmp_path: Path, world: World, stream: bool) -> None:
    async def run() -> None:
        async with running(tmp_path, world, join_similar=WAIT) as app:
            held = Held(world)
            first = start(app, FIRST)
            await held.asked(1)
            second = start(app, SIMILAR, stream=stream)
            await waiting(app)
            held.go()
            headers, body = await second
            assert told(headers) == "hit-l3-verified"
            assert 'detail="joined-similar d=' in headers["cache-status"]
            assert TEXT in body.decode()
            assert headers.get("content-type", "").startswith(
                "text/event-stream" if stream else "application/json"
            )
            assert told((await first)[0]) == "miss"
            assert world.asked == [FIRST]
            numbers = app.stats_json()
            assert numbers["join_similar"] == {"joined": 1, "too_late": 0, "no_answer": 0}
            assert numbers["saved"]["calls"] == 1
            assert app.misses.similar._by_scope == {}

    go(run())


def test_equal_requests_still_join_as_ever(tmp_path: Path, world: World) -> None:
    async def run() -> None:
        async with running(tmp_path, world, join_similar=WAIT) as app:
            held = Held(world)
            first = start(app, FIRST)
            await held.asked(1)
            second = start(app, FIRST)
            await waiting(app)
            held.go()
            assert {told((await asking)[0]) for asking in (first, second)} == {"miss", "coalesced"}

    go(run())


@pytest.mark.parametrize(
    ("text", "headers", "more", "options"),
    [
        (SIMILAR, {}, {}, {"join_similar": 0}),
        (OTHER, {}, {}, {}),
        (SIMILAR, {"authorization": "Bearer sk-b"}, {}, {}),
        (SIMILAR, {"x-reflex-namespace": "n"}, {}, {}),
        (SIMILAR, {}, {"model": "gpt-4o-mini"}, {}),
        (SIMILAR, {}, {"max_tokens": 5}, {}),
        (SIMILAR, {}, {"n": 2}, {}),
        (SIMILAR, {"cache-control": "no-cache"}, {}, {}),
        (SIMILAR, {"cache-control": "no-store"}, {}, {}),
        (SIMILAR, {}, {}, {"semantic": False}),
    ],
)
def test_who_does_not_wait(
    tmp_path: Path, world: World, text: str, headers: Any, more: Any, options: Any
) -> None:
    async def run() -> None:
        async with running(tmp_path, world, **{"join_similar": WAIT, **options}) as app:
            held = Held(world)
            first = start(app, FIRST)
            await held.asked(1)
            second = start(app, text, headers, **more)
            await held.asked(2)
            held.go()
            for asking in (first, second):
                assert told((await asking)[0]) in ("miss", "bypass")
            assert app.stats_json()["join_similar"]["joined"] == 0

    go(run())


def test_what_may_not_be_shared_is_not_waited_for(tmp_path: Path, world: World) -> None:
    async def run() -> None:
        async with running(tmp_path, world, join_similar=WAIT) as app:
            held = Held(world)
            first = start(app, FIRST, {"cache-control": "no-store"})
            await held.asked(1)
            second = start(app, SIMILAR)
            await held.asked(2)
            held.go()
            await asyncio.gather(first, second)

    go(run())


@pytest.mark.parametrize(
    "kind", [{"finish": "length"}, {"finish": "content_filter"}, {"status": 400}]
)
def test_no_answer_that_could_be_shared(tmp_path: Path, world: World, kind: Any) -> None:
    async def run() -> None:
        async with running(tmp_path, world, join_similar=WAIT) as app:
            held = Held(world, **kind)
            first = start(app, FIRST)
            await held.asked(1)
            second = start(app, SIMILAR)
            await waiting(app)
            held.go()
            await first
            assert told((await second)[0]) == "miss"
            assert world.asked == [FIRST, SIMILAR]
            assert app.stats_json()["join_similar"]["no_answer"] == 1

    go(run())


def test_the_wait_is_bounded(tmp_path: Path, world: World) -> None:
    async def run() -> None:
        async with running(tmp_path, world, join_similar="50ms") as app:
            held = Held(world)
            first = start(app, FIRST)
            await held.asked(1)
            second = start(app, SIMILAR)
            await held.asked(2)
            held.go()
            assert [told((await asking)[0]) for asking in (first, second)] == ["miss", "miss"]
            assert app.stats_json()["join_similar"]["too_late"] == 1

    go(run())


def test_the_answer_goes_on_when_its_own_client_leaves(tmp_path: Path, world: World) -> None:
    async def run() -> None:
        async with running(tmp_path, world, join_similar=WAIT, disconnect_grace=0) as app:
            held = Held(world)
            first = start(app, FIRST)
            await held.asked(1)
            second = start(app, SIMILAR)
            await waiting(app)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            held.go()
            assert told((await second)[0]) == "hit-l3-verified"
            assert world.asked == [FIRST]

    go(run())


def test_a_pair_marked_as_wrong(tmp_path: Path, world: World) -> None:
    async def run() -> None:
        async with running(tmp_path, world, join_similar=WAIT) as app:
            held = Held(world)
            first = start(app, FIRST)
            await held.asked(1)
            tenant = next(iter(app.misses.similar._by_scope.values()))
            asked = next(iter(tenant.values()))
            bans = app.storage.bans
            bans.add(bans.asked(asked.keys.tenant, SIMILAR), asked.keys.exact)
            second = start(app, SIMILAR)
            await held.asked(2)
            held.go()
            await asyncio.gather(first, second)

    go(run())


def test_a_fallbacks_answer_is_another_models(tmp_path: Path, world: World) -> None:
    async def run() -> None:
        options: Any = {"fallbacks": ["openai::gpt-4o-mini"], "join_similar": WAIT}
        async with running(tmp_path, world, **options) as app:
            held = Held(world)

            def reply(request: Received) -> Answer:
                if (
                    request.json["model"] == "gpt-4o"
                    and request.json["messages"][-1]["content"] == FIRST
                ):
                    return Answer([b"{}"], status=503, gate=lambda piece: held.open)
                return Answer(text_frames(TEXT), headers=SSE)

            world.server.reply = reply
            first = start(app, FIRST)
            await held.asked(1)
            second = start(app, SIMILAR)
            await waiting(app)
            held.go()
            headers, _ = await first
            assert headers["x-reflex-model"] == "gpt-4o-mini"
            headers, _ = await second
            assert told(headers) == "miss"
            assert headers["x-reflex-model"] == "gpt-4o"

    go(run())


def test_many_similar_questions_at_once(tmp_path: Path, world: World) -> None:
    words = ("please", "now", "today", "quickly")

    async def run() -> None:
        async with running(tmp_path, world, join_similar=WAIT) as app:
            held = Held(world)
            first = start(app, FIRST)
            await held.asked(1)
            others = [start(app, f"{FIRST} {word}") for word in words]
            (flight,) = app.misses.flights.values()
            await until(lambda: flight.readers == 1 + len(words))
            held.go()
            statuses = [told((await asking)[0]) for asking in others]
            assert statuses == ["hit-l3-verified"] * len(words)
            await first
            assert world.asked == [FIRST]

    go(run())


def test_why_says_so(tmp_path: Path, world: World) -> None:
    async def run() -> None:
        async with running(tmp_path, world, join_similar=WAIT) as app:
            held = Held(world)
            first = start(app, FIRST)
            await held.asked(1)
            second = start(app, SIMILAR)
            await waiting(app)
            held.go()
            headers, _ = await second
            await first
            why = await asyncio.to_thread(Sight(app).why, headers["x-reflex-id"])
            assert why["reason"] == "joined-similar"
            assert "on its way" in why["explanation"]
            assert json.dumps(why)

    go(run())
