from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core import pricing
from reflex_core.catalog_rows import PROVIDERS
from reflex_core.errors import ConfigError
from reflex_core.pricing import Price, Prices, Tokens, tokens
from reflex_core.types import Provider, usage

MILLION = Tokens(prompt=1_000_000, completion=1_000_000)


@pytest.fixture(scope="module")
def prices() -> Prices:
    house = Provider("house", "openai-chat", "https://llm.example.com/v1")
    proxy = Provider("elsewhere", "openai-chat", "https://api.groq.com/openai/v1")
    rows = {**PROVIDERS, "house": house, "elsewhere": proxy}
    own = {"mine": Price(1, 2, 0.5), "openai::gpt-4o": Price(10, 20)}
    return Prices(own, rows)


def test_known_models_cost_what_the_library_says(prices: Prices) -> None:
    from genai_prices import Usage, calc_price

    when = datetime(2026, 1, 1, tzinfo=UTC)
    for ours, theirs, model in [
        ("openai", "openai", "gpt-4o-mini"),
        ("anthropic", "anthropic", "claude-sonnet-4-5"),
        ("gemini", "google", "gemini-2.5-flash"),
        ("groq", "groq", "llama-3.3-70b-versatile"),
        ("bedrock", "aws", "us.anthropic.claude-sonnet-4-20250514-v1:0"),
    ]:
        count = Tokens(prompt=1000, completion=100, cached=400)
        wanted = calc_price(
            Usage(input_tokens=1000, output_tokens=100, cache_read_tokens=400),
            model_ref=model,
            provider_id=theirs,
            genai_request_timestamp=when,
        )
        assert prices.cost(ours, model, count, when) == pytest.approx(float(wanted.total_price))
        assert prices.cost(ours, model, count, when), model


def test_unknown_models_have_no_price(prices: Prices) -> None:
    assert prices.cost("openai", "gpt-99-imaginary", MILLION) is None
    assert prices.cost("house", "gpt-4o-mini", MILLION) is None, "the name alone proves nothing"
    assert prices.cost("ollama", "llama3.2", MILLION) is None
    assert prices.cost("nobody", "gpt-4o-mini", MILLION) is None


def test_a_row_of_ones_own_is_known_by_its_address(prices: Prices) -> None:
    assert prices.cost("elsewhere", "llama-3.3-70b-versatile", MILLION) == prices.cost(
        "groq", "llama-3.3-70b-versatile", MILLION
    )


def test_own_prices_come_first(prices: Prices) -> None:
    assert prices.cost("openai", "gpt-4o", MILLION) == 30
    assert prices.cost("azure", "gpt-4o", MILLION) != 30
    assert prices.cost("house", "mine", MILLION) == 3
    assert prices.cost("house", "mine", MILLION._replace(cached=1_000_000)) == 2.5


def test_known_never_looks_up() -> None:
    prices = Prices({"mine": Price(1, 1)}, PROVIDERS)
    assert prices.known("openai", "mine", MILLION) == 2
    assert prices.known("openai", "gpt-4o", MILLION) is None
    cost = prices.cost("openai", "gpt-4o", MILLION)
    assert prices.known("openai", "gpt-4o", MILLION) == cost


def test_table() -> None:
    rows = {"a": {"input": 1, "output": 2.5}, "b::c": {"input": 0, "output": 0, "cached": 0}}
    assert pricing.table(rows) == {"a": Price(1, 2.5), "b::c": Price(0, 0, 0)}


@pytest.mark.parametrize(
    "rows",
    [
        [],
        {"a": 3},
        {"a": {"input": 1}},
        {"a": {"input": 1, "output": -1}},
        {"a": {"input": 1, "output": "2"}},
        {"a": {"input": True, "output": 2}},
        {"a": {"input": 1, "output": float("nan")}},
        {"a": {"input": 1, "output": 2, "per": 3}},
    ],
)
def test_a_wrong_table_is_one_clear_line(rows: Any) -> None:
    with pytest.raises(ConfigError, match="prices"):
        pricing.table(rows)


def test_tokens() -> None:
    made = usage(100, 20, cached=60, cache_write=10, reasoning=5)
    assert tokens(made) == Tokens(100, 20, 60, 10)
    audio = {**made, "completion_tokens_details": {"audio_tokens": 7}}
    assert tokens(audio).audio_out == 7
    assert tokens(None) == tokens({}) == Tokens()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["prompt_tokens", "cached_tokens", "prompt_tokens_details"]), inner
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["prompt_tokens", "prompt_tokens_details"]), JSON))
def test_whatever_usage_holds(made: dict[str, Any]) -> None:
    count = tokens(made)
    assert all(isinstance(value, int) and value >= 0 for value in count)
    assert count.cached <= count.prompt
