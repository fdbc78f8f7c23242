from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.errors import BackendError
from reflex_core.verify.calibration import CEILING, Calibration, Label, Row
from reflex_core.verify.model import WEIGHTS

TABLE = Calibration([Row(0.5, 1000, 40, 0.05), Row(0.8, 1000, 6, 0.012), Row(0.9, 1000, 3, 0.0077)])


def test_the_bound_decides():
    assert TABLE.threshold_for(0.01) == 0.9
    assert TABLE.threshold_for(0.012) == 0.8
    assert TABLE.threshold_for(0.001) == CEILING


def test_labels_only_tighten():
    assert TABLE.threshold_for(0.01, [Label(0.85, False)]) == 0.9
    assert TABLE.threshold_for(0.01, [Label(0.95, False)]) > 0.95
    assert TABLE.threshold_for(0.01, [Label(0.99, True)] * 5) == 0.9
    many = [Label(0.95, False), *[Label(0.97, True)] * 150]
    assert TABLE.threshold_for(0.01, many) == 0.9


@given(
    st.floats(0.001, 0.2),
    st.lists(st.builds(Label, st.floats(0, 1), st.booleans()), max_size=30),
)
def test_labels_never_leave_more_wrong_than_accepted(max_wrong, labels):
    t = TABLE.threshold_for(max_wrong, labels)
    assert TABLE.threshold_for(max_wrong) <= t <= CEILING
    served = [x for x in labels if x.score >= t]
    wrong = sum(not x.right for x in served)
    assert wrong <= max_wrong * len(served) or t == CEILING


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
