from __future__ import annotations

from reflex_core.timeline import BUCKET, KEPT, Timeline


def test_buckets() -> None:
    line = Timeline()
    line.add(100.0, hit=True)
    line.add(100.0 + BUCKET / 2, hit=False)
    line.add(100.0 + 3 * BUCKET, hit=True)
    assert line.rows(100.0 + 3 * BUCKET, 4) == [(1, 1), (0, 0), (0, 0), (1, 0)]
    assert line.rows(100.0 + 5 * BUCKET, 4) == [(0, 0), (1, 0), (0, 0), (0, 0)]
    assert line.rows(1e6, 3) == [(0, 0)] * 3


def test_a_clock_that_goes_back_loses_nothing() -> None:
    line = Timeline()
    line.add(1000.0, hit=True)
    line.add(1.0, hit=True)
    assert line.rows(1000.0, 1) == [(2, 0)]


def test_bounded() -> None:
    line = Timeline()
    for i in range(3 * KEPT):
        line.add(float(i * BUCKET), hit=False)
    assert sum(others for _, others in line.rows(3 * KEPT * BUCKET, 10 * KEPT)) == KEPT
