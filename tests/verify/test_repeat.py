from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.verify.repeat import is_repeat, is_same_text, is_slip
from reflex_core.verify.text import parse

REPEATS = [
    ("What is the S&P 500?", "what is the s&p500"),
    ("Can I use Apple Pay here?", "can i use ApplePay here"),
    ("How much cash can I deposit?", "Could you tell me how much cash I can deposit?"),
    ("What is copyright infringement?", "what is copyright infringment"),
    ("How do I check my version?", "Hello, how do i check my verison?? Thanks!"),
    ("Is it safe to eat raw dough?", "is it saef to eat raw dough??"),
    ("My dog ate grapes, what should I do?", "my dog ate grapes what shoud i do"),
    ("Is the will valid if handwritten?", "is the will valid if hand-written"),
]
OTHERS = [
    ("What is the statute about?", "What is the statue about?"),
    ("Is x > 3?", "Is x < 3?"),
    ("what is 3.5 percent", "what is 35 percent"),
    ("Learn C++", "Learn C"),
    ("what is (2 + 3) * 4", "what is 2 + 3 * 4"),
    ('what is "5" + "3"', "what is 5 + 3"),
    ("is 😊 rude", "is 😏 rude"),
    ("Who is Marsh?", "Who is March?"),
    ("how do I log in", "how do I log out"),
    ("can I send it from home", "can I send it form home"),
    ("", "?"),
]


@pytest.mark.parametrize(("one", "other"), REPEATS)
def test_repeats(one, other):
    assert is_repeat(parse(one), parse(other))
    assert is_repeat(parse(other), parse(one))


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_no_repeats(one, other):
    assert not is_repeat(parse(one), parse(other))
    assert not is_repeat(parse(other), parse(one))


def test_slips_need_a_word_and_a_non_word():
    assert is_slip("password", "pasword")
    assert not is_slip("statue", "statute")
    assert not is_slip("abc12", "abc13")


def test_same_text_in_any_language():
    assert is_same_text(parse("Wo ist der Bahnhof?"), parse("wo ist der bahnhof"))
    assert is_same_text(parse("怎么重置密码？"), parse("怎么重置密码"))
    assert not is_same_text(parse("Wo ist der Bahnhof?"), parse("Wo ist der Friedhof?"))
    assert not is_same_text(parse("怎么重置密码？"), parse("怎么设置密码？"))


@given(st.text(), st.text())
def test_symmetric(one, other):
    a, b = parse(one), parse(other)
    assert is_repeat(a, b) == is_repeat(b, a)
    assert is_same_text(a, b) == is_same_text(b, a)
    if is_same_text(a, b) and a.words:
        assert is_same_text(a, a)
