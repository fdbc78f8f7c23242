from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.errors import BackendError
from reflex_core.verify.calibration import (
    CEILING,
    Calibration,
    Label,
    Row,
    doubted,
    upper_bound,
)
from reflex_core.verify.model import WEIGHTS

TABLE = Calibration([Row(0.5, 1000, 40, 0.05), Row(0.8, 1000, 6, 0.012), Row(0.9, 1000, 1, 0.0047)])


def test_the_bound_decides():
    assert TABLE.threshold_for(0.01) == 0.9
    assert TABLE.threshold_for(0.0121) == 0.8
    assert TABLE.threshold_for(0.001) == CEILING


def test_labels_only_tighten():
    rows = [Row(0.5, 1000, 2, 0.0063), Row(0.8, 1000, 1, 0.0047), Row(0.9, 1000, 0, 0.003)]
    table = Calibration(rows)
    assert table.threshold_for(0.01) == 0.5
    assert table.threshold_for(0.01, [Label(0.4, False)] * 9) == 0.5
    assert table.threshold_for(0.01, [Label(0.7, False)] * 2) == 0.5
    assert table.threshold_for(0.01, [Label(0.7, False)] * 3) == 0.8
    assert table.threshold_for(0.01, [Label(0.95, False)] * 20) == CEILING
    assert table.threshold_for(0.01, [Label(0.7, True)] * 4) == 0.5


@given(
    st.floats(0.001, 0.2),
    st.lists(st.builds(Label, st.floats(0, 1), st.booleans()), max_size=30),
)
def test_more_labels_never_lower_the_threshold(max_wrong, labels):
    found = [TABLE.threshold_for(max_wrong, labels[:n]) for n in range(len(labels) + 1)]
    assert all(x <= CEILING for x in found)
    assert min(found) == found[0]


def test_upper_bound():
    assert upper_bound(0, 300) == pytest.approx(1 - 0.05 ** (1 / 300), abs=1e-6)
    assert upper_bound(3, 1000) == pytest.approx(0.007737, abs=2e-5)
    assert upper_bound(5, 5) == 1


def test_the_shipped_table_is_monotonous_and_reaches_the_default():
    rows = Calibration.load(WEIGHTS).rows
    assert [r.wrong for r in rows] == sorted((r.wrong for r in rows), reverse=True)
    assert Calibration.load(WEIGHTS).threshold_for(0.01) < CEILING


def test_damaged_file(tmp_path):
    with pytest.raises(BackendError):
        Calibration.load(tmp_path)
    (tmp_path / "calibration.json").write_text("{}")
    with pytest.raises(BackendError):
        Calibration.load(tmp_path)


@given(st.floats(0, 1), st.floats(0, 1))
def test_doubt_asks_for_a_quarter_more(score, threshold):
    assert 0 <= doubted(score) <= score
    if abs(score - (3 * threshold + 1) / 4) > 1e-9:
        assert (doubted(score) >= threshold) == (score > (3 * threshold + 1) / 4 or threshold == 0)
