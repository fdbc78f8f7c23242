from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.report import words


@pytest.mark.parametrize(
    ("usd", "expected"),
    [
        (0, "$0"),
        (0.00063, "$0.00063"),
        (0.0123, "$0.012"),
        (0.1, "$0.10"),
        (2.456, "$2.46"),
        (99.994, "$99.99"),
        (1234.5, "$1,234"),
    ],
)
def test_money(usd: float, expected: str) -> None:
    assert words.money(usd) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (0.0123, "0.012 s"),
        (2.34, "2.3 s"),
        (59.6, "60 s"),
        (600, "10 min"),
        (7200, "2.0 h"),
        (200_000, "2.3 d"),
    ],
)
def test_duration(seconds: float, expected: str) -> None:
    assert words.duration(seconds) == expected


@given(st.floats(0, 1e12), st.floats(0, 1e12))
def test_larger_is_never_shown_smaller(one: float, two: float) -> None:
    def value(text: str) -> float:
        return float(text.strip("$").replace(",", ""))

    low, high = sorted((one, two))
    assert value(words.money(low)) <= value(words.money(high)) * 1.06


def test_the_rest() -> None:
    assert words.count(1234567) == "1,234,567"
    assert words.share(1, 8) == "12.5%"
    assert words.share(0, 0) == "-"
    assert words.moment(0) == "1970-01-01 00:00"
    assert words.gaps(0, 0) == ""
    assert words.gaps(0, 2) == "Not in the sums: 2 are of models without a known price."
