from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from reflex_core.replay.outcome import Plan
from reflex_core.report.html import page

from .plans import NASTY, NOW, a_plan, empty

VOID = {"meta", "br"}


class Checker(HTMLParser):
    """Every tag is closed in its turn; collects tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def check(plan: Plan) -> Checker:
    checker = Checker()
    checker.feed(page(plan))
    checker.close()
    assert checker.open == []
    return checker


@pytest.mark.parametrize("plan", [a_plan(), empty()])
def test_well_formed_and_alone(plan: Plan) -> None:
    """No script, nothing from elsewhere."""
    found = check(plan)
    assert found.tags.isdisjoint({"script", "link", "img", "iframe", "object", "form", "a"})
    assert {name for _, name, _ in found.attributes}.isdisjoint({"src", "href", "style", "onload"})
    assert "url(" not in page(plan)
    assert "default-src 'none'" in page(plan)


def test_texts_of_the_capture_are_only_text() -> None:
    found = check(a_plan())
    assert "".join(found.text).count(NASTY) == 4


def test_all_numbers_are_there() -> None:
    text = " ".join(check(a_plan()).text)
    for expected in (
        "50.0%",
        "of requests answered by the cache (50)",
        "$1.75",
        "of $3.76 saved",
        "5,500",
        "2 answers do not say how many tokens they took; 3 are of models without a known price",
        "4 requests had been answered from a cache when recorded",
        "no price known",
        "messages[system].content",
        "#3, #9",
        "below-threshold",
        "verifier's score",
        "not sent to a host of reflex_hosts",
        "2026-01-01 00:00 to 2026-01-02 00:00 UTC",
    ):
        assert expected in text, expected


def test_pictures_say_what_they_show() -> None:
    found = check(a_plan())
    labels = [
        value for tag, name, value in found.attributes if (tag, name) == ("svg", "aria-label")
    ]
    assert len(labels) == 3
    assert labels[0].startswith("Requests by tier: exact repeat 40, shared in flight 5")
    assert labels[1] == "Money over time: without a cache: $3.76, with Reflex: $2.00"
    assert all("nan" not in value for _, _, value in found.attributes)


def test_without_money_requests_are_drawn() -> None:
    free = replace(a_plan().total, usd=0.0)
    text = " ".join(check(replace(a_plan(), total=free)).text)
    assert "Requests over time" in text
    assert "sent upstream: 50" in text


def test_a_burst_is_drawn_by_number() -> None:
    """Ten requests in a second have no time axis worth the name."""
    points = [replace(point, at=NOW) for point in a_plan().timeline]
    found = page(replace(a_plan(), timeline=points))
    assert re.search(r">100</text>", found)
    assert "nan" not in found


def test_nothing_usable() -> None:
    text = " ".join(check(empty()).text)
    assert "No chat request with a whole answer" in text
    assert "Similar questions" not in text


def test_no_semantic_tier() -> None:
    plan = replace(a_plan(), thresholds=[], semantic="reflex_semantic is false")
    text = " ".join(check(plan).text)
    assert "Similar questions are not in this plan: reflex_semantic is false." in text
