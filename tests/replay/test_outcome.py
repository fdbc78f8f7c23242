from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.replay.outcome import Row, Sums, saved, simulate


def row(key: int, at: float, took: float = 1.0, **fields: Any) -> Row:
    base: dict[str, Any] = {
        "number": 1,
        "key": key,
        "at": at,
        "ended": at + took,
        "seconds": took,
        "prompt": 10,
        "completion": 5,
        "usd": 0.5,
        "has_usage": True,
        "may_read": True,
        "may_join": True,
        "stores": True,
        "was_hit": False,
    }
    return Row(**{**base, **fields})


def outcomes(*rows: Row, ttl: float | None = None, threshold: float | None = None) -> list[str]:
    return list(simulate(rows, ttl, threshold))


def test_repeats_are_answered_once_the_first_is_complete() -> None:
    rows = [row(1, 0), row(1, 0.5), row(1, 1), row(2, 2), row(1, 3)]
    assert outcomes(*rows) == ["miss", "in-flight", "exact", "miss", "exact"]


def test_answers_expire() -> None:
    rows = [row(1, 0), row(1, 10), row(1, 11), row(1, 20)]
    assert outcomes(*rows, ttl=10) == ["miss", "exact", "miss", "exact"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"may_read": False}, ["miss", "bypass", "exact"]),
        ({"stores": False}, ["miss", "exact", "exact"]),
        ({"may_join": False}, ["miss", "exact", "exact"]),
    ],
)
def test_wishes(fields: dict[str, Any], expected: list[str]) -> None:
    assert outcomes(row(1, 0), row(1, 2, **fields), row(1, 4)) == expected


def test_what_is_not_stored_is_not_served() -> None:
    assert outcomes(row(1, 0, stores=False), row(1, 2)) == ["miss", "miss"]
    assert outcomes(row(1, 0), row(1, 0.5, may_join=False)) == ["miss", "miss"]


def test_thresholds() -> None:
    rows = [row(1, 0), row(2, 2, near=((1, 0.8),)), row(2, 4, near=((1, 0.8),))]
    assert outcomes(*rows) == ["miss", "miss", "exact"]
    assert outcomes(*rows, threshold=0.9) == ["miss", "miss", "exact"]
    # What was answered by another's answer is not stored: the repeat is similar again.
    assert outcomes(*rows, threshold=0.8) == ["miss", "similar", "similar"]


def test_only_stored_neighbours_answer() -> None:
    """1 <- 2 <- 3: at 0.8 the second is never stored, so the third needs the first."""
    rows = [
        row(1, 0),
        row(2, 2, near=((1, 0.8),)),
        row(3, 4, near=((2, 0.95), (1, 0.7))),
    ]
    assert outcomes(*rows, threshold=0.9) == ["miss", "miss", "similar"]
    assert outcomes(*rows, threshold=0.8) == ["miss", "similar", "miss"]
    assert outcomes(*rows, threshold=0.7) == ["miss", "similar", "similar"]
    assert outcomes(row(1, 0), row(2, 0.5, near=((1, 1.0),)), threshold=0.5) == ["miss", "miss"]


ROWS = st.lists(
    st.builds(
        row,
        st.integers(0, 4),
        st.floats(0, 100),
        st.floats(0, 5),
        may_read=st.booleans(),
        may_join=st.booleans(),
        stores=st.booleans(),
        near=st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1)), max_size=3).map(tuple),
    )
).map(lambda rows: sorted(rows, key=lambda one: one.at))


@given(ROWS, st.none() | st.floats(0.1, 50), st.none() | st.floats(0, 1))
def test_every_hit_has_a_source(
    rows: list[Row], ttl: float | None, threshold: float | None
) -> None:
    found = simulate(rows, ttl, threshold)
    assert len(found) == len(rows)
    for at, (one, outcome) in enumerate(zip(rows, found, strict=True)):
        asked = [r for r, o in zip(rows[:at], found, strict=False) if o in ("miss", "bypass")]
        stored = {r.key for r in asked if r.stores}
        if outcome in ("exact", "in-flight"):
            assert one.key in stored
        if outcome == "similar":
            assert threshold is not None
            assert any(key in stored and score >= threshold for key, score in one.near)
        assert (outcome == "bypass") == (not one.may_read)


@given(ROWS)
def test_without_misses_no_savings(rows: list[Row]) -> None:
    none = [row(n, n) for n, _ in enumerate(rows)]
    assert set(simulate(none, None, 0.0)) <= {"miss"}


def test_sums() -> None:
    tiers = {"exact": Sums(2, 10, 5, 1.0, 3.0), "miss": Sums(1, 7, 7, 7.0), "similar": Sums(1, 1)}
    total = saved(tiers)
    assert (total.requests, total.tokens, total.usd, total.seconds) == (3, 16, 1.0, 3.0)
    assert total.to_json()["prompt_tokens"] == 11
