from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.histogram import SECONDS, Histogram

SOME = st.lists(st.floats(0, 1000), min_size=1, max_size=60)


@given(SOME)
def test_cumulative_counts(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    rows = histogram.cumulative()
    assert [name for name, _ in rows] == [*map(str, SECONDS), "+Inf"]
    for name, count in rows:
        assert count == sum(value <= float(name) for value in values)
    assert histogram.count == len(values)
    assert histogram.total == pytest.approx(sum(values))


@given(SOME, st.floats(0.01, 1))
def test_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], q: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    rank = min(len(values) - 1, max(0, -int(-q * len(values) // 1) - 1))
    true = sorted(values)[rank]
    found = histogram.quantile(q)
    assert found is not None
    if true > SECONDS[-1]:
        assert found == SECONDS[-1]
    else:
        above = next(bound for bound in SECONDS if true <= bound)
        below = max((bound for bound in SECONDS if bound < above), default=0)
        assert below <= found <= above + 1e-9


def test_empty() -> None:
    assert Histogram().quantile(0.5) is None
    assert Histogram().count == 0
