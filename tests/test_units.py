from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5s", 1.5),
        ("15m", 900),
        ("12 h", 43200),
        ("7D", 604800),
        ("250ms", 0.25),
        (3, 3),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"), [("4096", 4096), ("512k", 524288), ("2GiB", 2**31), ("1MB", 2**20), (7, 7)]
)
def test_sizes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "5x", "-1", "1e3s", "inf", True, None, float("nan")])
def test_neither(text: object) -> None:
    with pytest.raises(ValueError):
        units.parse_duration(text)
    with pytest.raises(ValueError):
        units.parse_size(text)


@given(st.text())
def test_any_text_parses_or_raises_value_error(text: str) -> None:
    for parse in (
        units.parse_duration,
        units.parse_size,
        units.parse_bool,
        units.parse_int,
        units.parse_float,
    ):
        try:
            parse(text)
        except ValueError:
            pass


@pytest.mark.parametrize(
    ("text", "value"), [("yes", True), ("0", False), ("TRUE", True), (False, False)]
)
def test_switches(text: object, value: bool) -> None:
    assert units.parse_bool(text) is value
