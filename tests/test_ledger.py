from __future__ import annotations

import pytest

from reflex_core.ledger import MANY, Ledger
from reflex_core.pricing import Tokens


def cost(provider: str, model: str, count: Tokens) -> float | None:
    return None if model == "unknown" else count.prompt / 10 + count.completion


def test_sides_and_providers() -> None:
    ledger = Ledger(cost)
    for _ in range(3):
        ledger.add("saved", "openai", "gpt", Tokens(10, 2))
    ledger.add("saved", "groq", "llama", Tokens(20, 1))
    ledger.add("spent", "openai", "gpt", Tokens(10, 2))
    accounts = ledger.settle()
    saved = accounts.sum("saved")
    assert (saved.answers, saved.prompt_tokens, saved.completion_tokens) == (4, 50, 7)
    assert saved.usd == pytest.approx(3 * 3 + 3)
    assert accounts.totals["saved", "openai"].usd == pytest.approx(9)
    assert accounts.sum("spent").usd == pytest.approx(3)


def test_unknown_models_are_named_and_not_in_the_sum() -> None:
    ledger = Ledger(cost)
    ledger.add("saved", "house", "unknown", Tokens(10, 2))
    ledger.add("saved", "house", "unknown", Tokens(99, 2))
    accounts = ledger.settle()
    assert accounts.sum("saved").usd == 0
    assert accounts.sum("saved").unpriced == 2
    assert accounts.unpriced == {"house::unknown": 2}
    assert ledger.settle().unpriced == {"house::unknown": 2}, "counted once"


def test_asks_to_be_settled_in_time() -> None:
    ledger = Ledger(cost)
    asked = [ledger.add("spent", "p", "m", Tokens(i)) for i in range(MANY)]
    assert asked == [False] * (MANY - 1) + [True]
    assert ledger.settle().sum("spent").answers == MANY
    assert not ledger.add("spent", "p", "m", Tokens(1))
