"""Second looks: the judge's verdicts and the rechecks, in a whole App with a real upstream."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from reflex_core.app import App
from reflex_core.sight import Sight
from reflex_core.wrong import REPORTED

from .e2e.provider import Answer
from .running import ask
from .second_looks import HOUSE_KEY, JUDGE, OverlapVerifier, World, looked, running

STORED = "how do I bake good bread at home"
NEAR = "how do I bake nice bread at home"
"""Below the threshold, within the band."""
SAME = STORED + " please"
"""Accepted."""
KEY = "sk-client"
OTHER_MODEL = {"model": "gpt-4o-mini"}
"""Another scope."""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("HOUSE_KEY", HOUSE_KEY)
    made = World()
    yield made
    made.close()


def go(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


async def status(app: App, text: str, headers: Any = None, **more: Any) -> tuple[str, str]:
    """(X-Reflex-Status, the first word of the detail), once all second looks are over."""
    given = {"authorization": f"Bearer {KEY}", **(headers or {})}
    found, _ = await ask(app, text, given, **more)
    await looked(app)
    detail = found["cache-status"].partition("; detail=")[2].strip('"')
    return found["x-reflex-status"], detail.partition(" ")[0]


# ---------------------------------------------------------------------- the judge


def test_a_pair_that_was_nearly_accepted(tmp_path: Path, world: World) -> None:
    async def run() -> None:
        async with running(tmp_path, world, judge=JUDGE) as app:
            assert (await status(app, STORED))[0] == "miss"
            assert await status(app, NEAR) == ("miss", "below-threshold")
            (asked,) = world.judged
            assert asked.path == "/house/chat/completions"
            assert asked.headers["authorization"] == f"Bearer {HOUSE_KEY}"
            assert KEY not in str(asked)
            assert asked.json["model"] == "judge-model"
            case = json.loads(asked.json["messages"][-1]["content"])
            assert case == {"asked": NEAR, "stored": STORED}

            await status(app, STORED, **OTHER_MODEL)
            assert await status(app, NEAR, **OTHER_MODEL) == ("hit-l3-verified", "judged")
            assert len(world.judged) == 1
            numbers = app.stats_json()
            assert numbers["judge"]["questions yes"] == numbers["judge"]["known"] == 1
            assert numbers["spent"]["answers"] == 4
            assert "judge questions yes: 1" in app.stats_lines()

    go(run())


def test_a_no_is_final(tmp_path: Path, world: World) -> None:
    world.verdict = "No."
    verifier = OverlapVerifier()

    async def run() -> None:
        async with running(tmp_path, world, verifier, judge=JUDGE) as app:
            await status(app, STORED)
            await status(app, NEAR)
            verifier.threshold = 0.5
            await status(app, STORED, **OTHER_MODEL)
            assert await status(app, NEAR, **OTHER_MODEL) == ("miss", "judged-different")
            assert len(world.judged) == 1

    go(run())


def test_verdicts_outlive_a_restart_but_no_purge(tmp_path: Path, world: World) -> None:
    async def run() -> None:
        async with running(tmp_path, world, judge=JUDGE) as app:
            await status(app, STORED)
            await status(app, NEAR)
        path = tmp_path / "store" / "judged.txt"
        assert path.stat().st_mode & 0o777 == 0o600
        assert "bread" not in path.read_text()
        async with running(tmp_path, world) as app:  # also with no judge any more
            await status(app, STORED, **OTHER_MODEL)
            assert await status(app, NEAR, **OTHER_MODEL) == ("hit-l3-verified", "judged")
            await asyncio.to_thread(app.purge, "all", "")
            await status(app, STORED)
            assert await status(app, NEAR) == ("miss", "below-threshold")

    go(run())


def test_a_verdict_is_its_tenants_own(tmp_path: Path, world: World) -> None:
    async def run() -> None:
        async with running(tmp_path, world, judge=JUDGE) as app:
            await status(app, STORED)
            await status(app, NEAR)
            world.verdict = "no"
            other = {"authorization": "Bearer sk-somebody-else"}
            await status(app, STORED, other)
            assert await status(app, NEAR, other) == ("miss", "below-threshold")
            await status(app, STORED, other, **OTHER_MODEL)
            assert await status(app, NEAR, other, **OTHER_MODEL) == ("miss", "judged-different")

    go(run())


def test_a_user_overrules_the_judge(tmp_path: Path, world: World) -> None:
    async def run() -> None:
        async with running(tmp_path, world, judge=JUDGE) as app:
            await status(app, STORED)
            await status(app, NEAR)
            await status(app, STORED, **OTHER_MODEL)
            headers, _ = await ask(app, NEAR, {"authorization": f"Bearer {KEY}"}, **OTHER_MODEL)
            assert headers["x-reflex-status"] == "hit-l3-verified"
            loop = asyncio.get_running_loop()
            wrong = Sight(app).wrong
            done = await asyncio.to_thread(wrong, headers["x-reflex-id"], NEAR, loop)
            assert done["reported"]
            assert await status(app, NEAR, **OTHER_MODEL) == ("miss", "marked-wrong")
            third = {"model": "gpt-4.1"}
            await status(app, STORED, **third)
            assert await status(app, NEAR, **third) == ("miss", "judged-different")

    go(run())


@pytest.mark.parametrize(
    ("text", "headers", "options"),
    [
        (NEAR, {}, {"judge": ""}),
        (NEAR, {"cache-control": "no-store"}, {}),
        (NEAR, {"cache-control": "no-cache"}, {}),
        (NEAR, {"cache-control": "only-if-cached"}, {}),
        (NEAR, {}, {"offline": True}),
        (NEAR, {}, {"judge_band": 0.01}),
        (NEAR, {}, {"verify": False, "semantic": False}),
        ("how do I bake good bread at home 2", {}, {}),
        (SAME, {}, {}),
        ("what is the price of gold in euros", {}, {}),
    ],
)
def test_when_it_is_not_asked(
    tmp_path: Path, world: World, text: str, headers: Any, options: Any
) -> None:
    async def run() -> None:
        async with running(tmp_path, world) as app:
            await status(app, STORED)
        async with running(tmp_path, world, **{"judge": JUDGE, **options}) as app:
            await status(app, text, headers)
            assert world.judged == []

    go(run())


def test_no_verdict_changes_nothing(tmp_path: Path, world: World) -> None:
    world.judge_answer = Answer([b'{"error": {"message": "no"}}'], status=500)

    async def run() -> None:
        async with running(tmp_path, world, judge=JUDGE) as app:
            await status(app, STORED)
            await status(app, NEAR)
            world.judge_answer = None
            world.verdict = "perhaps"
            await status(app, STORED, **OTHER_MODEL)
            assert await status(app, NEAR, **OTHER_MODEL) == ("miss", "below-threshold")
            judge = app.stats_json()["judge"]
            assert (judge["questions failed"], judge["questions unclear"]) == (1, 1)
            assert judge["known"] == 0

    go(run())


def test_nobody_waits_for_the_judge(tmp_path: Path, world: World) -> None:
    world.judge_answer = Answer([], gate=lambda piece: False)

    async def run() -> None:
        async with running(tmp_path, world, judge=JUDGE) as app:
            await status(app, STORED)
            found, _ = await ask(app, NEAR, {"authorization": f"Bearer {KEY}"})
            assert found["x-reflex-status"] == "miss"
            assert len(app.review._tasks) == 1
            await ask(app, NEAR + " now", {"authorization": f"Bearer {KEY}"})
        # stopping does not wait for it either

    go(run())


def test_the_rate_is_kept(tmp_path: Path, world: World) -> None:
    async def run() -> None:
        async with running(tmp_path, world, judge=JUDGE, judge_per_minute=1) as app:
            await status(app, STORED)
            await status(app, NEAR)
            await status(app, "how do I bake tasty bread at home")
            judge = app.stats_json()["judge"]
            assert (judge["questions yes"], judge["questions limited"]) == (1, 1)
            assert len(world.judged) == 1

    go(run())


# ---------------------------------------------------------------------- rechecks


def test_a_right_hit(tmp_path: Path, world: World) -> None:
    world.answers = {STORED: "Use flour, water and salt.", SAME: "Use flour,  water and salt."}

    async def run() -> None:
        async with running(tmp_path, world, recheck=1) as app:
            await status(app, STORED)
            headers = {"idempotency-key": "one", "user-agent": "me"}
            assert (await status(app, SAME, headers))[0] == "hit-l3-verified"
            assert world.asked == [STORED, SAME]
            again = world.server.received[-1]
            assert again.headers["authorization"] == f"Bearer {KEY}"
            assert "idempotency-key" not in again.headers
            assert again.headers["user-agent"] == "me"
            recheck = app.stats_json()["recheck"]
            assert (recheck["same"], recheck["rate"]) == (1, 0.0)
            assert app.stats_json()["spent"]["answers"] == 2
            # The fresh answer replaces nothing, and is not stored.
            assert (await status(app, SAME))[0] == "hit-l3-verified"

    go(run())


def test_a_wrong_hit(tmp_path: Path, world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.answers = {STORED: "Yes, at 220 degrees.", SAME: "No, at 180 degrees."}

    async def run() -> None:
        async with running(tmp_path, world, recheck=1) as app:
            await status(app, STORED)
            assert (await status(app, SAME))[0] == "hit-l3-verified"
            assert world.asked == [STORED, SAME, STORED]
            assert app.stats_json()["recheck"]["wrong"] == 1
            assert await status(app, SAME) == ("miss", "judged-different")
            await status(app, SAME, **OTHER_MODEL)
            assert await status(app, STORED, **OTHER_MODEL) == ("miss", "judged-different")
            assert "recheck wrong: 1" in app.stats_lines()

    go(run())
    (case,) = [
        json.loads(line) for line in (tmp_path / "store" / REPORTED).read_text().splitlines()
    ]
    assert (case["a"], case["b"], case["same_answer"], case["by"]) == (
        SAME,
        STORED,
        False,
        "recheck",
    )
    assert case["score"] == pytest.approx(8 / 9)
    assert "bread" not in caplog.text
    assert "degrees" not in caplog.text


def test_the_judge_compares_the_answers(tmp_path: Path, world: World) -> None:
    world.answers = {STORED: "With flour.", SAME: "Flour is what you need for it."}

    async def run() -> None:
        async with running(tmp_path, world, recheck=1, judge=JUDGE) as app:
            await status(app, STORED)
            await status(app, SAME)
            (asked,) = world.judged
            case = json.loads(asked.json["messages"][-1]["content"])
            answers = world.answers
            assert case == {"question": SAME, "first": answers[STORED], "second": answers[SAME]}
            assert app.stats_json()["recheck"]["same"] == 1

    go(run())


def test_answers_that_change_by_themselves(tmp_path: Path, world: World) -> None:
    """A difference proves nothing where the stored question is answered otherwise today as well."""
    world.answers = {STORED: "Yes, at 220 degrees."}

    async def run() -> None:
        async with running(tmp_path, world, recheck=1) as app:
            await status(app, STORED)
            world.answers = {STORED: "No, at 200 degrees.", SAME: "No, at 180 degrees."}
            await status(app, SAME)
            assert world.asked == [STORED, SAME, STORED]
            recheck = app.stats_json()["recheck"]
            assert (recheck["wrong"], recheck["inconclusive"], recheck["rate"]) == (0, 1, None)
            assert (await status(app, SAME))[0] == "hit-l3-verified"

    go(run())


@pytest.mark.parametrize(
    "answer",
    [
        Answer([b'{"error": {"message": "no"}}'], status=500),
        Answer([b'{"choices": []}']),
        Answer([b"nonsense"]),
    ],
)
def test_a_recheck_that_fails(tmp_path: Path, world: World, answer: Answer) -> None:
    async def run() -> None:
        async with running(tmp_path, world, recheck=1) as app:
            await status(app, STORED)
            world.answer = answer
            assert (await status(app, SAME))[0] == "hit-l3-verified"
            recheck = app.stats_json()["recheck"]
            assert (recheck["failed"], recheck["inconclusive"]) == (1, 0)

    go(run())


@pytest.mark.parametrize(
    ("text", "headers", "options"),
    [
        (SAME, {"cache-control": "no-store"}, {}),
        (SAME, {"cache-control": "only-if-cached"}, {}),
        (STORED, {}, {}),
        (SAME, {}, {"recheck": 0}),
        (SAME, {}, {"offline": True}),
    ],
)
def test_what_is_not_rechecked(
    tmp_path: Path, world: World, text: str, headers: Any, options: Any
) -> None:
    async def run() -> None:
        async with running(tmp_path, world) as app:
            await status(app, STORED)
        async with running(tmp_path, world, **{"recheck": 1, **options}) as app:
            assert (await status(app, text, headers))[0].startswith("hit-")
            assert world.asked == [STORED]

    go(run())


def test_without_a_key_nobody_is_asked(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with running(tmp_path, world, recheck=1, provider="house") as app:
            await status(app, STORED)
            monkeypatch.delenv("HOUSE_KEY")
            assert (await status(app, SAME))[0] == "hit-l3-verified"
            assert world.asked == [STORED]
            assert app.stats_json()["recheck"]["failed"] == 0

    go(run())


def test_too_many_wrong_hits_tighten_the_threshold(
    tmp_path: Path, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    words = ("bread", "rolls", "cakes")
    questions = {f"how do I bake good {word} at home": word for word in words}
    world.answers = {q: f"Yes, {w} at 220 degrees." for q, w in questions.items()}
    world.answers |= {f"{q} please": f"No, {w} at 180 degrees." for q, w in questions.items()}

    async def run() -> None:
        with caplog.at_level(logging.WARNING):
            async with running(tmp_path, world, recheck=1) as app:
                for question in questions:
                    await status(app, question)
                    assert (await status(app, f"{question} please"))[0] == "hit-l3-verified"
                assert app.stats_json()["recheck"]["steps"] == 1
        assert "thresholds are tightened (step 1)" in caplog.text
        async with running(tmp_path, world) as app:  # a restart keeps it
            assert app.stats_json()["recheck"]["steps"] == 1
            await status(app, "how do I paint old doors at home")
            near = "how do I paint old doors at home today"
            assert await status(app, near) == ("miss", "below-threshold")
            await asyncio.to_thread(app.purge, "all", "")
            assert app.stats_json()["recheck"]["steps"] == 0
            await status(app, "how do I paint old doors at home")
            assert (await status(app, near))[0] == "hit-l3-verified"
        async with running(tmp_path, world, max_wrong=0.2) as app:
            assert app.stats_json()["recheck"]["steps"] == 0

    go(run())


def test_only_so_many_at_once(tmp_path: Path, world: World) -> None:
    async def run() -> None:
        async with running(tmp_path, world, recheck=1) as app:
            await status(app, STORED)
            world.answer = Answer([], gate=lambda piece: False)
            for word in ("please", "now", "today"):
                found, _ = await ask(app, f"{STORED} {word}", {"authorization": f"Bearer {KEY}"})
                assert found["x-reflex-status"] == "hit-l3-verified"
                await asyncio.sleep(0)
            assert app.stats_json()["recheck"]["limited"] == 1
        assert app.review._tasks == set()

    go(run())
