from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.verify.text import closeness, parse, spelling, stem


@pytest.mark.parametrize(
    ("text", "core"),
    [
        ("Hi there! What's the airport tax? thx", "what is the airport tax"),
        ("Could you please tell me how I add a remote?", "how i add a remote"),
        ("Don’t stop", "do not stop"),
        ("What does an E.C.G. show?", "what does an ecg show"),
        ("w/o sugar", "without sugar"),
        ("C++ or C#", "c++ or c#"),
        ("please", "please"),
        ("", ""),
    ],
)
def test_core(text, core):
    assert " ".join(parse(text).core) == core


def test_spelling_and_stem():
    assert spelling("colour") == spelling("color")
    assert spelling("organise") == spelling("organize")
    assert stem("changing") == stem("change") == stem("changed")
    assert stem("cities") == stem("city")


def test_closeness():
    assert closeness(parse("a b c"), parse("a b c")) == 1
    assert closeness(parse("a b c"), parse("d e f")) == 0


@given(st.text())
def test_parse_takes_anything(text):
    found = parse(text)
    assert len(found.core) <= len(found.lower)
    assert bool(found.core) == bool(found.lower)
