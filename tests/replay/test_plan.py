"""The plan of a capture whose truth is known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reflex_core.config import Config
from reflex_core.pricing import Prices
from reflex_core.replay.outcome import Plan
from reflex_core.replay.plan import Near, Planner
from reflex_core.replay.recorded import Asked, Reader, Recorded
from tests.e2e.speech import completion

from .recordings import NOW, SECRET, body, config, recorded, with_header


def plan_of(*exchanges: Recorded, similar: Any = None, settings: Config | None = None) -> Plan:
    settings = settings or config()
    prices = Prices(settings.prices, settings.providers)
    reader = Reader(settings, SECRET)
    planner = Planner(reader, settings, prices.cost, similar, "on" if similar else "turned off")
    for one in exchanges:
        planner.take(one)
    return planner.finish()


def answered(prompt: int, output: int, text: str = "Hello.") -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": output}
    return json.dumps({**completion({"content": text}), "usage": usage}).encode()


def capture() -> list[Recorded]:
    """7 chat requests: a three times, b twice while a was on its way, c and d once; all gpt-4o."""
    asked = [
        ("a", 0, 100, 10),
        ("b", 10, 200, 20),
        ("b", 11, 200, 20),  # while the first b is answered (two seconds)
        ("a", 20, 100, 10),
        ("c", 30, 400, 40),
        ("a", 40, 100, 10),
        ("d", 50, 800, 80),
    ]
    out = [
        recorded(body(text), n, NOW + at, response_body=answered(prompt, output))
        for n, (text, at, prompt, output) in enumerate(asked, 1)
    ]
    return [*out, recorded(status=500, number=8), recorded(kind="other", number=9)]


GPT_4O = 2.5e-6, 10e-6
"""US dollars for a token in and out."""


def test_known_truth() -> None:
    plan = plan_of(*capture())
    assert (plan.read, dict(plan.skipped)) == (9, {"error-status": 1, "other-path": 1})
    assert {name: sums.requests for name, sums in plan.tiers.items()} == {
        "exact": 2,
        "in-flight": 1,
        "miss": 4,
    }
    assert plan.hit_rate == 3 / 7
    assert (plan.saved.prompt, plan.saved.completion) == (100 + 100 + 200, 10 + 10 + 20)
    assert plan.saved.usd == pytest.approx(400 * GPT_4O[0] + 40 * GPT_4O[1])
    assert plan.total.usd == pytest.approx(1900 * GPT_4O[0] + 190 * GPT_4O[1])
    assert plan.saved.seconds == 4, "two hits of two seconds; sharing saves no time"
    assert plan.total.seconds == 14
    assert (plan.first, plan.last) == (NOW, NOW + 52)
    assert [(r.question, r.count, r.tokens, r.first) for r in plan.repeats] == [
        ("a", 3, 330, 1),
        ("b", 2, 440, 2),
    ]
    (model,) = plan.models
    assert (model.provider, model.model, model.requests, model.hits) == ("openai", "gpt-4o", 7, 3)
    assert model.saved_usd == pytest.approx(plan.saved.usd)
    assert plan.semantic == "turned off"
    assert plan.thresholds == []
    assert [point.hits for point in plan.timeline] == [0, 0, 1, 2, 2, 3, 3]
    assert plan.timeline[-1].usd_without - plan.timeline[-1].usd_with == pytest.approx(
        plan.saved.usd
    )


def test_the_order_of_the_file_does_not_matter() -> None:
    """mitmproxy saves flows when they are answered."""
    there, back = plan_of(*capture()), plan_of(*reversed(capture()))
    assert back.tiers == there.tiers
    assert back.total == there.total


def test_time_to_live() -> None:
    plan = plan_of(*capture(), settings=config(ttl="15s"))
    assert {name: sums.requests for name, sums in plan.tiers.items()} == {
        "in-flight": 1,
        "miss": 6,
    }


def test_unknown_prices_are_named_and_not_guessed() -> None:
    one = recorded({**body(), "model": "house-7b"})
    plan = plan_of(one, one, *capture()[:1])
    assert dict(plan.unpriced) == {"openai::house-7b": 2}
    assert plan.total.without_price == 2
    assert plan.total.usd == pytest.approx(100 * GPT_4O[0] + 10 * GPT_4O[1])
    house = next(model for model in plan.models if model.model == "house-7b")
    assert (house.unpriced, house.usd) == (2, 0.0)


def test_answers_without_usage_are_counted_and_not_guessed() -> None:
    silent = recorded(
        response_body=json.dumps({**completion({"content": "x"}), "usage": None}).encode()
    )
    plan = plan_of(silent, recorded(response_body=answered(10, 1), at=NOW + 9))
    assert (plan.total.without_usage, plan.total.without_price) == (1, 0)
    assert (plan.saved.tokens, plan.saved.without_usage) == (11, 0)


def test_what_a_cache_had_answered_saves_no_time() -> None:
    hit = with_header(recorded(at=NOW + 9), x_reflex_status="hit-l1-exact")
    plan = plan_of(recorded(), hit)
    assert (plan.already_hits, plan.saved.requests, plan.saved.seconds) == (1, 1, 0.0)


def test_no_cache_is_a_bypass_that_fills_the_cache() -> None:
    fresh = recorded(at=NOW + 5, request_headers={"cache-control": "no-cache"})
    other = {"request_headers": {}}
    plan = plan_of(recorded(**other), fresh, recorded(at=NOW + 9, **other))
    assert {name: sums.requests for name, sums in plan.tiers.items()} == {
        "miss": 1,
        "bypass": 1,
        "exact": 1,
    }


def test_volatile_fields_and_their_price() -> None:
    clock = [
        recorded(
            body("hi", f"Now: 2026-01-02T10:11:{n:02}Z"),
            n,
            NOW + 5 * n,
            response_body=answered(100, 10),
        )
        for n in range(1, 4)
    ]
    plan = plan_of(*clock, recorded(body("hi", "Now: 2026-01-02T10:11:01Z"), 4, NOW + 60))
    assert plan.tiers["exact"].requests == 1
    assert plan.spoiled.requests == 2
    assert plan.spoiled.usd == pytest.approx(2 * (100 * GPT_4O[0] + 10 * GPT_4O[1]))
    (finding,) = plan.volatile
    assert (finding.where, finding.kind) == ("messages[system].content", "time")
    assert (finding.requests, finding.flows) == (2, [2, 3])


def test_without_times() -> None:
    """A HAR file may have none: the order is what is left."""
    plan = plan_of(*(recorded(number=n, started=None, ended=None) for n in range(3)))
    assert plan.tiers["exact"].requests == 2
    assert plan.total.seconds == 0


def test_nothing_usable() -> None:
    plan = plan_of(recorded(status=500))
    assert (plan.total.requests, plan.hit_rate, plan.tiers) == (0, 0.0, {})
    assert plan_of().read == 0


def test_long_captures_have_short_curves() -> None:
    plan = plan_of(*(recorded(body(str(n)), n, NOW + n) for n in range(950)))
    assert len(plan.timeline) <= 250
    assert plan.timeline[-1].requests == 950


class Letters:
    """Questions are similar that begin with the same letter, the more so the closer their lengths."""

    measure = "cosine"
    threshold = 0.8
    lowest = 0.5

    def __init__(self) -> None:
        self.added: list[tuple[int, str]] = []

    def near(self, asked: Asked) -> list[Near]:
        text = asked.meaning.text or ""
        found = [
            Near(key, 1 - abs(len(text) - len(other)) / 10, 0.9, 12, "too-far")
            for key, other in self.added
            if other[0] == text[0]
        ]
        return sorted(found, key=lambda near: -near.score)

    def add(self, key: int, asked: Asked) -> None:
        self.added.append((key, asked.meaning.text or ""))


def test_thresholds_and_near_misses() -> None:
    texts = ["axxx", "axx", "a", "bxxxxxx", "bx", "axxx"]
    exchanges = [recorded(body(text), n, NOW + 5 * n) for n, text in enumerate(texts, 1)]
    plan = plan_of(*exchanges, similar=Letters())
    assert plan.tiers["similar"].requests == 1, "axx is like axxx; so it is not stored for a"
    assert plan.measure == "cosine"
    similar = {
        row.value: row.tiers["similar"].requests if "similar" in row.tiers else 0
        for row in plan.thresholds
    }
    assert list(similar) == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99]
    assert similar[0.5] == 3
    assert similar[0.8] == plan.tiers["similar"].requests
    assert similar[0.95] == 0
    assert [row.default for row in plan.thresholds].count(True) == 1
    (near,) = plan.near
    assert (near.question, near.similar, near.number, near.other) == ("bx", "bxxxxxx", 5, 4)
    assert near.score == 0.5


def test_the_table_begins_where_the_scores_do() -> None:
    class Low(Letters):
        lowest, threshold = 0.1, 0.543219

    plan = plan_of(recorded(), similar=Low())
    values = [row.value for row in plan.thresholds]
    assert values == [0.1, 0.2, 0.3, 0.4, 0.5, 0.5432, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99]
    assert [row.value for row in plan.thresholds if row.default] == [0.5432]
