"""The training corpus: its parser, the filling of slots, the pairs made from it."""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

VERIFIER = Path(__file__).parents[2] / "scripts" / "verifier"
sys.path.insert(0, str(VERIFIER))

import blocks  # noqa: E402
import noise  # noqa: E402
import pairs  # noqa: E402

CORPUS = blocks.load([VERIFIER / "corpus"])
SLOTS = blocks.load_slots()
SAMPLE = """
# a comment
how far is {city} from {city2}? | distance {city} {city2}
[direction] how far is {city2} from {city}?
how long is the trip from {city} to {city2}?

book a table | reserve a table
"""


def test_parse():
    first, second = blocks.parse(SAMPLE, "x")
    assert first.source == "x:3"
    assert first.base.texts == ("how far is {city} from {city2}?", "distance {city} {city2}")
    assert [line.category for line in first.lines] == ["base", "direction", "other"]
    assert first.slots == ["city", "city2"]
    assert second.base.texts == ("book a table", "reserve a table")


def test_a_block_starts_with_its_meaning():
    with pytest.raises(ValueError, match="x:1"):
        list(blocks.parse("[number] two of them", "x"))


def test_slots_of_one_kind_differ():
    for seed in range(30):
        chosen = blocks.choose(["city", "city2"], SLOTS, random.Random(seed))
        assert chosen["city"] != chosen["city2"]
        assert "{" not in blocks.fill("{city} to {city2}", chosen)


def test_the_corpus_is_whole():
    assert len(CORPUS) >= 900
    assert sum(len(b.base.texts) for b in CORPUS) >= 3500
    kinds = {s for b in CORPUS for s in b.slots}
    assert {k for k in kinds if k not in SLOTS and k.rstrip("0123456789") not in SLOTS} == set()
    bad = [
        b.source
        for b in CORPUS
        if len(b.lines) < 2
        or any("{" in t.replace("{", "", 0) and "}" not in t for ln in b.lines for t in ln.texts)
    ]
    assert [b for b in bad if "families" not in b][:5] == []


def test_pairs_of_a_block():
    block = next(blocks.parse(SAMPLE, "x"))
    found = pairs.from_block(block, SLOTS, 2, seed=1)
    assert found == pairs.from_block(block, SLOTS, 2, seed=1)
    assert {p.same for p in found} == {True, False}
    assert all("{" not in p.a + p.b for p in found)
    assert all(p.group == "x:3" for p in found)
    assert any(p.category == "direction" and not p.same for p in found)


@given(st.text(max_size=60), st.integers(0, 1000))
def test_noise_takes_anything_and_keeps_numbers(text, seed):
    again = noise.retype(text, random.Random(seed))
    assert sorted(c for c in text if c.isdigit()) == sorted(c for c in again if c.isdigit())


REORDERED = {
    "If I earn $5,000, do I need to file?": "Do I need to file if I earn $5,000?",
    "What's the difference between a stock and a bond?": "What's the difference between a bond and a stock?",
    "tea vs coffee": "coffee vs tea",
    "How do I turn off notifications on WhatsApp?": "On WhatsApp, how do I turn off notifications?",
    "flights from Rome to Oslo": "flights from Rome to Oslo",
    "Who beat Spain in the final": "Who beat Spain in the final",
}


@pytest.mark.parametrize(("text", "again"), REORDERED.items())
def test_reordered(text, again):
    found = {noise.reorder(text, random.Random(seed)) for seed in range(9)}
    assert again in found
    words = {
        tuple(sorted(re.findall(r"[\w$',]+", t.lower().replace(",", "")))) for t in [*found, text]
    }
    assert len(words) == 1, "no word is lost or added"


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("How do I bake bread?", "How can I bake bread?"),
        ("how many ounces are in a pound", "how many ounces are there in a pound"),
        ("why do onions make you cry", "why do onions make us cry"),
        ("creating a strong password", "creating strong passwords"),
        ("a party of two", "a party of 2"),
    ],
)
def test_light_changes(text, again):
    assert again in {noise.light(text, random.Random(seed)) for seed in range(99)}


@given(st.text(max_size=60), st.integers(0, 1000))
def test_any_text_can_be_changed(text, seed):
    rng = random.Random(seed)
    assert isinstance(noise.reorder(text, rng) + noise.light(text, rng), str)
