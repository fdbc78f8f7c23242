from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.report.svg import WIDTH, Axis, Line, Part, bar, chart, nice, time_axis

NUMBERS = st.floats(0, 1e9, allow_nan=False)


def test_bar_shares_the_width() -> None:
    root = ET.fromstring(bar([Part("a", 3, "exact", "a: 3"), Part("b", 1, "miss", "<b>")], "label"))
    rects = root.findall(".//rect")
    assert [rect.get("x") for rect in rects] == ["0.0", f"{WIDTH * 0.75:.1f}"]
    assert [text.text for text in root.findall(".//text")] == ["75%", "25%"]
    assert [title.text for title in root.findall(".//title")] == ["a: 3", "<b>"]
    assert bar([], "none") == ""
    assert bar([Part("a", 0, "exact", "")], "none") == ""


def test_narrow_parts_have_no_number() -> None:
    root = ET.fromstring(bar([Part("a", 99, "exact", ""), Part("b", 1, "miss", "")], "x"))
    assert [text.text for text in root.findall(".//text")] == ["99%"]


def test_chart_places_points() -> None:
    line = Line([(0, 0), (10, 5)], "exact", fill=True)
    axis = Axis(0, 10, str, [0, 5, 10])
    root = ET.fromstring(chart([line], axis, Axis(0, 5, str, [0, 5]), "l", mark=(9, "here & now")))
    (curve,) = root.findall("polyline")
    first, last = (tuple(map(float, p.split(","))) for p in (curve.get("points") or "").split())
    assert first[0] < last[0]
    assert first[1] > last[1], "up is up"
    assert root.findall("polygon")
    assert [t.text for t in root.findall("text")][-1] == "here & now"


@given(NUMBERS)
def test_nice_ticks_reach_the_top(high: float) -> None:
    ticks = nice(high)
    assert ticks[0] == 0
    assert ticks[-1] >= high * 0.999
    assert 2 <= len(ticks) <= 7
    assert ticks == sorted(ticks)


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (600, ["00:05", "00:10"]),
        (7200, ["00:30", "01:00", "01:30", "02:00"]),
        (86_400, ["06:00", "12:00", "18:00", "2026-01-02"]),
        (3 * 86_400, ["12:00", "2026-01-02", "12:00", "2026-01-03", "12:00", "2026-01-04"]),
        (5 * 86_400, [f"2026-01-0{day}" for day in range(2, 7)]),
    ],
)
def test_time_axis(span: float, expected: list[str]) -> None:
    start = 1_767_225_600.0 + 1
    axis = time_axis(start, start + span)
    assert [axis.show(tick) for tick in axis.ticks] == expected


@given(st.floats(0, 4e9), st.floats(60, 1e9))
def test_time_axis_of_any_length(start: float, span: float) -> None:
    axis = time_axis(start, start + span)
    assert len(axis.ticks) <= 8
    assert all(start <= tick <= start + span for tick in axis.ticks)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1), NUMBERS, NUMBERS)
def test_any_numbers_can_be_drawn(points: list[tuple[float, float]], a: float, b: float) -> None:
    axis = Axis(min(a, b), max(a, b), lambda v: f"{v:g}", [a, b])
    text = chart([Line(sorted(points), "exact", fill=True)], axis, axis, "<&>")
    ET.fromstring(text)
    assert not re.search(r"nan|inf", text)
