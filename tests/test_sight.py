"""Looking and marking, on a whole App with a small semantic tier."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from reflex_core import why
from reflex_core.app import App
from reflex_core.sight import NotFound, Sight
from reflex_core.types import Json
from reflex_core.wrong import REPORTED

from .running import ask, body_of, running


async def wrong(app: App, id: str, asked: str | None = None) -> Json:
    loop = asyncio.get_running_loop()
    return await asyncio.to_thread(Sight(app).wrong, id, asked, loop)


def test_an_exact_hit(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path) as app:
            await ask(app, "red green blue")
            headers, _ = await ask(app, "red green blue")
            told = Sight(app).why(headers["x-reflex-id"])
            assert told["status"] == "hit-l1-exact"
            assert told["served"]["key"] == told["key"]
            assert told["tiers"] == [{"tier": "memory and store", "outcome": "hit"}]
            assert told["nearest"] is None
            assert "answered before" in why.lines(told)[0]

    asyncio.run(go())


def test_a_miss_names_what_differs(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path) as app:
            await ask(app, "something else entirely", temperature=0.1)
            await ask(app, "red green blue", temperature=0.2)
            headers, _ = await ask(app, "red green blue", temperature=0.7)
            told = Sight(app).why(headers["x-reflex-id"])
            assert (told["status"], told["reason"]) == ("miss", "no-entry")
            (row,) = told["nearest"]["differences"]
            assert row == {
                "path": "temperature",
                "change": "changed",
                "stored": "0.2",
                "asked": "0.7",
            }
            assert "  temperature: stored 0.2, asked 0.7" in why.lines(told)
            assert Sight(app).why(told["key"][:16])["id"] == told["id"]

    asyncio.run(go())


def test_other_clients_requests_are_no_neighbours(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path) as app:
            await ask(app, "red green blue", {"authorization": "Bearer sk-b"})
            headers, _ = await ask(app, "red green blue", temperature=0.7)
            assert Sight(app).why(headers["x-reflex-id"])["nearest"] is None

    asyncio.run(go())


def test_neighbours_with_their_numbers(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path, similar=True) as app:
            await ask(app, "please order 12 red roses")
            headers, _ = await ask(app, "please order 13 red roses")
            assert headers["x-reflex-status"] == "miss"
            told = Sight(app).why(headers["x-reflex-id"])
            assert told["reason"] == "veto-number"
            assert "number" in told["explanation"]
            (row,) = told["neighbours"]
            assert row["reason"] == "veto-number"
            assert 0.3 < row["cosine"] < 1
            assert row["distance"] > 0
            assert row["question"] is None
            assert {"embed", "search", "verify"} <= told["seconds"].keys()
            assert any("1 judged, none accepted: veto-number" in line for line in why.lines(told))
            stages = app.stats_json()["latency"]
            assert stages["embed"]["count"] == stages["verify"]["count"] == 2

            headers, _ = await ask(app, "kindly order 12 red roses")
            assert headers["x-reflex-status"] == "hit-l3-verified"
            told = Sight(app).why(headers["x-reflex-id"])
            assert told["neighbours"][0]["score"] == 0.9
            assert told["neighbours"][0]["threshold"] == 0.5
            assert told["served"]["key"] == told["neighbours"][0]["key"] != told["key"]

    asyncio.run(go())


SECRET = "my key is sk-abcdefghijklmnop, order 12 red roses"


@pytest.mark.parametrize("prompts", [False, True])
def test_prompts_only_where_they_may_be_shown(tmp_path: Path, prompts: bool) -> None:
    async def go() -> None:
        async with running(tmp_path, similar=True, dashboard_prompts=prompts) as app:
            await ask(app, SECRET)
            await ask(app, SECRET)
            headers, _ = await ask(app, SECRET.replace("12", "13"))
            sight = Sight(app)
            told: list[Any] = [sight.why(headers["x-reflex-id"]), sight.recent(10), sight.top(10)]
            told += [sight.search("", 10), sight.search("roses", 10), sight.snapshot(0).value]
            told.append(why.lines(told[0]))
            text = orjson.dumps(told).decode()
            assert "sk-abc" not in text
            assert ("red roses" in text) == prompts
            assert ("[hidden]" in text) == prompts
            assert len(sight.search("ROSES", 10)) == (2 if prompts else 0)
            assert len(sight.search("GPT-4o", 10)) == 2

    asyncio.run(go())


def test_lists(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path) as app:
            sight = Sight(app)
            for text, times in [("one", 3), ("two", 2), ("three", 1)]:
                for _ in range(times):
                    await ask(app, text)
            first, *_ = sight.recent(100)
            assert (first["status"], first["model"]) == ("miss", "gpt-4o")
            assert len(sight.recent(100)) == 6
            assert len(sight.recent(100, since=4)) == 2
            assert [row["served"] for row in sight.top(10)] == [2, 1]
            key = sight.top(1)[0]["key"]
            assert [row["key"] for row in sight.search(key[:12], 10)] == [key]
            app.purge("key", key)
            assert sight.top(1)[0]["gone"]
            snapshot = sight.snapshot(0)
            assert snapshot.value["stats"]["requests"]["total"] == 6
            assert sum(hits for hits, _ in snapshot.value["timeline"]) == 3

    asyncio.run(go())


def test_nothing_is_known(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path) as app:
            for id in ("", "nope", "0123456789abcdef"):
                with pytest.raises(NotFound):
                    Sight(app).why(id)

    asyncio.run(go())


# --------------------------------------------------------------------------- wrong


def test_a_wrong_exact_answer_is_deleted(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path) as app:
            await ask(app, "red green blue")
            headers, _ = await ask(app, "red green blue")
            done = await wrong(app, headers["x-reflex-id"])
            assert done == {"deleted": 1, "banned": None, "also": [], "reported": False}
            headers, _ = await ask(app, "red green blue")
            assert headers["x-reflex-status"] == "miss"

    asyncio.run(go())


def test_a_wrong_similar_answer_never_comes_back(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path, similar=True) as app:
            await ask(app, "please order 12 red roses")
            headers, _ = await ask(app, "never order 12 red roses")
            assert headers["x-reflex-status"] == "hit-l3-verified"
            id = headers["x-reflex-id"]
            with pytest.raises(ValueError, match="not the text"):
                await wrong(app, id, "another text")
            done = await wrong(app, id, "never order 12 red roses")
            assert done["banned"]
            assert done["reported"]
            headers, _ = await ask(app, "never order 12 red roses", {"cache-control": "no-store"})
            assert headers["x-reflex-status"] == "miss"
            assert Sight(app).why(headers["x-reflex-id"])["reason"] == "marked-wrong"
            headers, _ = await ask(app, "do order 12 red roses")
            assert headers["x-reflex-status"] == "hit-l3-verified", "other questions still may"
        case = orjson.loads((tmp_path / "store" / REPORTED).read_text())
        assert (case["a"], case["b"]) == (
            "never order 12 red roses",
            "please order 12 red roses",
        )
        assert case["same_answer"] is False
        assert case["score"] == 0.9

        async with running(tmp_path, similar=True) as app:
            headers, _ = await ask(app, "never order 12 red roses", {"cache-control": "no-store"})
            assert headers["x-reflex-status"] == "miss", "nor after a restart"
            assert app.purge("all", "") > 0
        assert not (tmp_path / "store" / REPORTED).exists()

    asyncio.run(go())


def test_neighbours_that_mean_the_same_are_banned_too(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path, similar=True) as app:
            await ask(app, "please order 12 red roses")
            other, _ = await ask(
                app, "please order 12 red roses now", {"cache-control": "no-cache"}
            )
            await ask(app, "please order 13 red roses", {"cache-control": "no-cache"})
            headers, _ = await ask(app, "never order 12 red roses")
            first = Sight(app).why(headers["x-reflex-id"])["served"]["key"]
            done = await wrong(app, headers["x-reflex-id"])
            assert done["banned"] == first
            both = {Sight(app).why(other["x-reflex-id"])["key"], *done["also"], done["banned"]}
            assert len(both) == 2
            assert not done["reported"], "nobody knows the question's text"
            headers, _ = await ask(app, "never order 12 red roses", {"cache-control": "no-store"})
            assert headers["x-reflex-status"] == "miss"

    asyncio.run(go())


def test_what_was_not_served_cannot_be_wrong(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path) as app:
            headers, _ = await ask(app, "red green blue")
            with pytest.raises(ValueError, match="not answered from the store"):
                await wrong(app, headers["x-reflex-id"])
            with pytest.raises(NotFound):
                await wrong(app, "no-such-request")

    asyncio.run(go())


def test_money(tmp_path: Path) -> None:
    async def go() -> None:
        prices = '[prices]\n"mock::gpt-4o" = { input = 1000000, output = 2000000 }\n'
        async with running(tmp_path, config=prices) as app:
            await ask(app, body_of("red green blue"))
            await ask(app, body_of("red green blue"))
            numbers = app.stats_json()
            paid = numbers["spent"]
            assert paid["usd"] == paid["prompt_tokens"] + 2 * paid["completion_tokens"] > 0
            assert numbers["saved"]["usd"] == paid["usd"]
            assert numbers["saved"]["seconds"] > 0
            assert numbers["unpriced_models"] == {}
            assert Sight(app).recent(1)[0]["usd"] == paid["usd"]
            lines = app.stats_lines()
            assert f"money saved: ${paid['usd']:.4f}" in lines
            assert "hit rate: 50.0%" in lines

    asyncio.run(go())


def test_a_provider_that_was_not_asked(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path) as app:
            headers, _ = await ask(app, "red", {"cache-control": "only-if-cached"})
            told = Sight(app).why(headers["x-reflex-id"])
            assert told["tiers"][-1] == {"tier": "provider", "outcome": "not asked"}
            headers, _ = await ask(app, "red", {"cache-control": "no-cache"})
            told = Sight(app).why(headers["x-reflex-id"])
            assert told["tiers"] == [
                {"tier": "memory and store", "outcome": "not asked: no-cache"},
                {"tier": "provider", "outcome": "asked, 200"},
            ]

    asyncio.run(go())
