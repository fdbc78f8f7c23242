"""Each guard on pairs it must refuse and pairs it must let pass; every pair both ways round."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.verify.guards import (
    DOUBTS,
    VETOES,
    edits,
    entities,
    first_veto,
    literals,
    numbers,
    order,
    questions,
    shades,
)
from reflex_core.verify.guards.aspects import aspect
from reflex_core.verify.guards.contrast import contrast
from reflex_core.verify.text import parse

REFUSED = [
    (numbers.number, "book a room for 3 nights", "book a room for 4 nights"),
    (numbers.number, "resize it to 1,500 pixels", "resize it to 15,00 and 2 pixels"),
    (numbers.number, "a loan of 20k", "a loan of 2k"),
    (numbers.number, "three ways to tie a knot", "five ways to tie a knot"),
    (numbers.number, "who fought in World War II", "who fought in World War IV"),
    (numbers.number, "is -5 degrees cold", "is 5 degrees cold"),
    (numbers.number, "rows with x over 0.5", "rows with x over 0.05"),
    (numbers.number, "saving at 3% over two years", "savings for three years with 2% a year"),
    (numbers.number, "rows 4 by 6 columns then", "rows 6 by 4 columns then"),
    (literals.formula, "solve 4x - 9 = 15", "solve 4x + 9 = 15"),
    (literals.formula, "is a <= 3", "is a >= 3"),
    (numbers.date, "events on 3 March", "events on 4 March"),
    (numbers.date, "what happened on 2024-05-14", "what happened on 2024-05-15"),
    (numbers.date, "what happened on 14 May 2024", "what happened on 14 May 2023"),
    (numbers.date, "wake me at 7 am", "wake me at 7 pm"),
    (numbers.date, "train at 18:30", "train at 18:45"),
    (numbers.unit, "how heavy is it in kg", "how heavy is it in ounces"),
    (numbers.unit, "take 5 ml of it", "take 5 mg of it"),
    (numbers.unit, "what does it cost in euros", "what does it cost in dollars"),
    (numbers.unit, "price of $5 lunch", "price of €5 lunch"),
    (numbers.unit, "rent per month", "rent per year"),
    (numbers.identifier, "status of order TR-7781-B", "status of order TR-7781-C"),
    (numbers.identifier, "what is error E4021x", "what is error F4021x"),
    (literals.quote, 'what does "bear market" mean', 'what does "bull market" mean'),
    (literals.quote, "translate “good night”", "translate “good morning”"),
    (literals.code, "what does `foo.bar()` do", "what does `foo.baz()` do"),
    (literals.code, "what does `print(A)` do", "what does `print(a)` do"),
    (literals.code, "explain a == b", "explain a === b"),
    (literals.code, r"what does \d match", r"what does \D match"),
    (literals.code, "what does %y print", "what does %Y print"),
    (literals.code, "what does [a-z] match", "what does [A-Z] match"),
    (literals.quote, 'Is "Eat, Tom" right?', 'Is "Eat Tom" right?'),
    (literals.quote, 'What is "Polish"?', 'What is "polish"?'),
    (numbers.unit, "send 100 Mb of it", "send 100 MB of it"),
    (literals.code, "run it with --force", "run it with --dry-run"),
    (literals.code, "fix:\n```\nx = 1\n```", "fix:\n```\nx = 2\n```"),
    (literals.link, "summarise https://a.example/x", "summarise https://a.example/y"),
    (literals.link, "is mail from info@bank.com real", "is mail from info@bamk.com real"),
    (literals.link, "who owns example.com", "who owns example.org"),
    (contrast, "how do I install it", "how do I uninstall it"),
    (contrast, "what are its advantages", "what are its disadvantages"),
    (contrast, "is it legal there", "is it illegal there"),
    (contrast, "sort a list in python", "sort a list in ruby"),
    (contrast, "sort a list", "sort a list in ruby"),
    (contrast, "say hello in french", "say hello in polish"),
    (contrast, "trains on monday", "trains on friday"),
    (contrast, "is it safe for my baby", "is it safe for me"),
    (contrast, "side effects of ibuprofen", "side effects of naproxen"),
    (contrast, "my knee hurts when I run", "my ankle hurts when I run"),
    (aspect, "symptoms of scurvy", "how is scurvy treated"),
    (aspect, "cheapest way to send it", "which is the quickest method of posting it"),
    (entities.entity, "When was Marie Curie born?", "When was Lise Meitner born?"),
    (entities.added_name, "how do I mock a module", "replacing a module with a fake in Jest"),
    (entities.entity, "Hotels near Lake Garda", "Hotels near Lake Como"),
    (entities.entity, "is tipping usual in japan", "is tipping usual in china"),
    (shades.negation, "who can apply for it", "who can not apply for it"),
    (shades.negation, "cook it with salt", "cook it without salt"),
    (shades.negation, "Why does it work?", "Why doesn't it work?"),
    (shades.quantifier, "delete all rows", "delete some rows"),
    (shades.quantifier, "at least five of them", "at most five of them"),
    (shades.tense, "who did win the match", "who will win the match"),
    (shades.tense, "How do people farm?", "How did people farm?"),
    (shades.requested_format, "list the planets as JSON", "list the planets as CSV"),
    (shades.requested_format, "describe a frog", "describe a frog in one sentence"),
    (shades.requested_format, "tell me about tea", "a haiku about tea"),
    (order.direction, "flights from Rome to Oslo", "flights from Oslo to Rome"),
    (order.direction, "convert a to b please now", "convert b to a please now"),
    (order.direction, "is tea healthier than coffee", "is coffee healthier than tea"),
    (literals.symbol, "is 😊 rude", "is 😏 rude"),
    (literals.code, "what does print(7 // 2) give", "what does print(7 % 2) give"),
    (literals.code, "what is 5 * 3", "what is 5 + 3"),
    (order.roles, "my boss owes me an apology", "I owe my boss an apology"),
    (order.roles, "Who did Rome defeat?", "Who defeated Rome?"),
    (order.roles, "he lied to me", "I lied to him"),
    (order.roles, "I hit a cyclist with my car", "a cyclist hit my car"),
    (shades.negation, "I want kids and she doesn't", "I don't want kids and she does"),
    (edits.inflection, "who owned that airline", "who owns that airline"),
    (edits.small_edit, "bar chart in seaborn please", "bar chart in bokeh please"),
    (edits.small_edit, "put it in the page header", "put it in the page footer"),
    (edits.small_edit, "insure a car for it", "insure a used car for it"),
    (questions.question_type, "why is it closed", "when is it closed"),
    (questions.question_type, "how many are there", "who are there"),
    (
        questions.question_count,
        "What is it called? Where can I buy it today?",
        "What is it called and so on?",
    ),
]  # fmt: skip

PASSED = [
    (numbers.number, "book a room for 3 nights", "a room for three nights, please"),
    (numbers.number, "a loan of 20,000", "a loan of 20k"),
    (numbers.number, "the 2 of us", "both of us"),
    (numbers.number, "2 eggs and 3 lemons", "3 lemons and 2 eggs"),
    (literals.formula, "what is 4 * 3", "what is four times three"),
    (literals.formula, "my mother-in-law, 50", "my mother-in-law - 50"),
    (numbers.date, "events on 3 March", "March 3rd events"),
    (numbers.date, "events on 14 May 2024", "events on 2024-05-14"),
    (numbers.date, "wake me at 6 pm", "wake me at 18:00"),
    (numbers.unit, "how heavy is it in kg", "how heavy is it in kilograms"),
    (numbers.unit, "price of a $5 lunch", "a lunch for 5 dollars"),
    (numbers.unit, "how much is it a year", "how much is it annually"),
    (numbers.identifier, "where is order #88231-A", "order 88231-A: where is it"),
    (literals.quote, 'what does "bear market" mean', "what does bear market mean"),
    (literals.code, "what does `foo.bar()` do", "tell me what foo.bar() does"),
    (literals.quote, 'What is "Polish"?', 'what is "polish"'),
    (numbers.unit, "send 100 mb of it", "send 100 MB of it"),
    (literals.link, "open https://www.a.example/x/", "open a.example/x."),
    (contrast, "sort a list in JS", "sort a list in JavaScript"),
    (contrast, "my mum needs a visa", "my mother needs a visa"),
    (contrast, "how do I open it and close it", "opening and closing it"),
    (aspect, "signs of scurvy", "how do I notice the symptoms of scurvy"),
    (entities.added_name, "When was Marie Curie born?", "When was Lise Meitner born?"),
    (entities.added_name, "how do I mock it in Jest", "jest: replacing it with a fake"),
    (entities.entity, "Do Canadians need a visa?", "does somebody from Canada need a visa"),
    (entities.entity, "Is there tax in the UK?", "is there tax in britain"),
    (entities.entity, "Where Is The Best Pizza In Town", "where is the best pizza in town"),
    (entities.entity, "When was the European Union founded?", "When was the EU founded?"),
    (shades.negation, "my phone doesn't turn on", "my phone is dead"),
    (shades.negation, "I don't know how to knit", "how does knitting work"),
    (shades.quantifier, "delete every row", "delete all rows"),
    (shades.tense, "who is the mayor", "name the mayor"),
    (shades.requested_format, "give it as yml", "give it as yaml"),
    (order.direction, "flights from Rome to Oslo", "flights to Oslo from Rome"),
    (order.direction, "read a csv in pandas", "pandas: read a csv"),
    (literals.symbol, "thanks, where is it 😊", "where is it"),
    (order.roles, "who owes me money", "the people that owe me money: who"),
    (edits.inflection, "who owned it", "the owner, name him"),
    (edits.small_edit, "where do I buy a good lamp", "where do I purchase a good lamp"),
    (edits.small_edit, "who invented the steam engine", "who was the inventor of it"),
    (edits.small_edit, "how tall is the tower", "the tower: its height?"),
    (questions.question_type, "why is it closed", "what is the reason it is closed"),
    (questions.question_count, "Where is it?", "Where is it? Thanks??"),
]  # fmt: skip


@pytest.mark.parametrize(("guard", "a", "b"), REFUSED)
def test_refuses(guard, a, b):
    assert guard(parse(a), parse(b))
    assert guard(parse(b), parse(a))
    assert first_veto(parse(a), parse(b), (*VETOES, *DOUBTS, edits.small_edit)).startswith("veto-")


@pytest.mark.parametrize(("guard", "a", "b"), PASSED)
def test_lets_pass(guard, a, b):
    assert guard(parse(a), parse(b)) is None
    assert guard(parse(b), parse(a)) is None


def test_every_guard_is_tested_both_ways():
    for pairs in (REFUSED, PASSED):
        assert {guard for guard, _, _ in pairs} == {*VETOES, *DOUBTS, edits.small_edit}


@pytest.mark.parametrize("text", sorted({t for _, *both in REFUSED + PASSED for t in both}))
def test_a_text_agrees_with_itself(text):
    assert first_veto(parse(text), parse(text)) is None


words = st.sampled_from(
    [
        "how",
        "do",
        "i",
        "not",
        "5",
        "kg",
        "$3",
        "May",
        "3rd",
        "2024-01-02",
        "18:00",
        "Paris",
        "python",
        "`x_y`",
        '"no"',
        "http://a.de/",
        "in",
        "from",
        "to",
        "than",
        "all",
        "some",
        "why",
        "1,000",
        "II",
        "-4",
        "%",
        "?",
    ]
)


@given(st.one_of(st.text(), st.lists(words).map(" ".join)), st.lists(words).map(" ".join))
def test_guards_are_symmetric_and_never_raise(one, other):
    a, b = parse(one), parse(other)
    for guard in (*VETOES, *DOUBTS, edits.small_edit):
        assert bool(guard(a, b)) == bool(guard(b, a))
        assert guard(a, a) is None
