"""Judge, rechecks and similar questions in flight, through the real proxy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from reflex_core.wrong import REPORTED
from tests.second_looks import HOUSE_KEY, JUDGE, World

from .admin import admin
from .asking import KEY, ask, ask_stream, joined, status
from .crowd import Crowd, until
from .provider import Answer, Received
from .proxy import ROOT, Proxy
from .speech import text_frames

SCRIPT = ROOT / "tests" / "e2e" / "overlap_addon.py"
SSE = {"content-type": "text/event-stream"}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


@pytest.fixture(scope="module")
def proxy(world: World, confdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("second")
    config = folder / "reflex.toml"
    config.write_text(world.toml())
    started = Proxy(
        confdir,
        folder / "store",
        script=SCRIPT,
        environ={"HOUSE_KEY": HOUSE_KEY},
        reflex_config=str(config),
        reflex_upstream=world.server.url + "/v1",
        reflex_semantic="true",
        reflex_judge=JUDGE,
        reflex_recheck="1",
        reflex_join_similar="20s",
        reflex_keepalive="100ms",
    )
    asyncio.run(until(lambda: _ready(started)))
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def _as_at_first(world: World, proxy: Proxy) -> None:
    assert proxy.process.poll() is None, proxy.log
    world.server.reset()
    world.answers, world.verdict, world.answer = {}, "yes", None


def _ready(proxy: Proxy) -> bool:
    return admin(proxy, "GET", "/ready").status == 200


def stats(proxy: Proxy) -> Any:
    return admin(proxy, "GET", "/reflex/stats").json


def wait_for(proxy: Proxy, part: str, **more: int) -> None:
    """Until these counters have these values."""

    def reached() -> bool:
        numbers = stats(proxy)[part]
        return all(numbers[name] >= count for name, count in more.items())

    asyncio.run(until(reached))


def stored(proxy: Proxy, text: str, **more: Any) -> None:
    """Asked, answered, and in the index."""
    before = stats(proxy)["storage"]["semantic"]["index entries"]
    ask(proxy, text, **more)

    def indexed() -> bool:
        return stats(proxy)["storage"]["semantic"]["index entries"] > before

    asyncio.run(until(indexed))


def detail(headers: Mapping[str, str]) -> str:
    return headers["cache-status"].partition("; detail=")[2].strip('"')


def test_what_the_judge_accepts_is_served_the_next_time(proxy: Proxy, world: World) -> None:
    one, near = "how do I fix my old red bike", "how do I fix my dusty red bike"
    stored(proxy, one)
    known = stats(proxy)["judge"]["known"]
    headers, _ = ask(proxy, near)
    assert (status(headers), detail(headers).split()[0]) == ("miss", "below-threshold")
    wait_for(proxy, "judge", known=known + 1)
    assert world.judged[0].headers["authorization"] == f"Bearer {HOUSE_KEY}"
    assert KEY not in str(world.judged)
    stored(proxy, one, model="gpt-4o-mini")
    headers, answer = ask(proxy, near, model="gpt-4o-mini")
    assert status(headers) == "hit-l3-verified"
    assert detail(headers).startswith("judged d=")
    assert answer.choices[0].message.content == f"About {one}."
    headers, chunks = ask_stream(proxy, near, model="gpt-4o-mini")
    assert status(headers) == "hit-l3-verified"
    assert joined(chunks) == f"About {one}."


def test_what_the_judge_refuses_never_is(proxy: Proxy, world: World) -> None:
    world.verdict = "no"
    one, near = "where can I park my small boat", "where can I park my large boat"
    stored(proxy, one)
    known = stats(proxy)["judge"]["known"]
    ask(proxy, near)
    wait_for(proxy, "judge", known=known + 1)
    stored(proxy, one, model="gpt-4o-mini")
    headers, _ = ask(proxy, near, model="gpt-4o-mini")
    assert (status(headers), detail(headers).split()[0]) == ("miss", "judged-different")


def test_hits_are_rechecked(proxy: Proxy, world: World) -> None:
    one = "when does the corner shop open today"
    other = one + " please"
    world.answers = {one: "It opens at nine.", other: "At nine o'clock."}
    stored(proxy, one)
    before = stats(proxy)["recheck"]
    headers, answer = ask(proxy, other)
    assert status(headers) == "hit-l3-verified"
    assert answer.choices[0].message.content == "It opens at nine."
    wait_for(proxy, "recheck", same=before["same"] + 1)
    assert world.asked == [one, other]
    assert all(r.headers["authorization"] == f"Bearer {KEY}" for r in world.server.received[:2])
    text = admin(proxy, "GET", "/metrics").body.decode()
    assert 'reflex_rechecks_total{outcome="same"}' in text
    assert "reflex_wrong_hit_ratio" in text


def test_a_wrong_hit_is_found_and_banned(proxy: Proxy, world: World) -> None:
    one = "may I bring my dog on the train"
    other = one + " please"
    world.answers = {one: "Yes, for free.", other: "No, cats only."}

    def reply(request: Received) -> Answer:
        case = json.loads(request.json["messages"][-1]["content"])
        return _said("yes" if case["first"] == case["second"] else "no")

    original = world.server.reply
    world.server.reply = lambda r: reply(r) if r.path.startswith("/house") else original(r)
    stored(proxy, one)
    before = stats(proxy)["recheck"]
    headers, _ = ask(proxy, other)
    assert status(headers) == "hit-l3-verified"
    wait_for(proxy, "recheck", wrong=before["wrong"] + 1)
    world.server.reply = original
    headers, answer = ask(proxy, other)
    assert (status(headers), detail(headers).split()[0]) == ("miss", "judged-different")
    assert answer.choices[0].message.content == "No, cats only."
    lines = (proxy.storage / REPORTED).read_text().splitlines()
    assert json.loads(lines[-1])["a"] == other
    assert "cats" not in proxy.log


def test_a_similar_question_shares_the_answer_in_flight(proxy: Proxy, world: World) -> None:
    one = "what should I plant in my garden in spring"
    other = one + " please"
    opened = False
    world.answer = Answer(text_frames("Peas ", "and beans."), headers=SSE, gate=lambda _: opened)

    async def run() -> None:
        nonlocal opened
        async with Crowd(proxy) as crowd:
            first = crowd.start(one)
            await until(lambda: len(world.asked) == 1)
            others = [crowd.start(other, stream=stream) for stream in (True, False)]
            await asyncio.sleep(0.3)
            assert not any(task.done() for task in others)
            opened = True
            assert (await first).text == "Peas and beans."
            for seen in await asyncio.gather(*others):
                assert seen.status == "hit-l3-verified"
                assert detail(seen.headers).startswith("joined-similar")
                assert seen.whole
                assert seen.text == "Peas and beans."
        assert world.asked[0] == one

    asyncio.run(run())
    assert stats(proxy)["join_similar"]["joined"] >= 2


def _said(text: str) -> Answer:
    choice = {"index": 0, "finish_reason": "stop"}
    message = {"role": "assistant", "content": text}
    return Answer([json.dumps({"choices": [{**choice, "message": message}]}).encode()])
