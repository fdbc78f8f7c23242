"""Plots as inline SVG. Colours are CSS classes, so that they follow the page's theme."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

WIDTH = 720
"""All plots; the page scales them."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 14, 34


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a bar. `css` is the class of its colour."""

    label: str
    value: float
    css: str
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """One curve. `points` are (x, y), x rising; `fill` paints what lies below."""

    points: Sequence[tuple[float, float]]
    css: str
    fill: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """`show` words a tick."""

    low: float
    high: float
    show: Callable[[float], str]
    ticks: Sequence[float] = ()


def bar(parts: Sequence[Part], label: str) -> str:
    """One horizontal bar of all the parts; their share is written inside where there is room."""
    total = sum(part.value for part in parts)
    if total <= 0:
        return ""
    height, x, out = 36, 0.0, list[str]()
    for part in parts:
        width = part.value / total * WIDTH
        if width <= 0:
            continue
        out.append(
            f'<g><title>{escape(part.title)}</title><rect class="{part.css}" x="{x:.1f}" y="0"'
            f' width="{max(width - 2, 1):.1f}" height="{height}" rx="3"/>'
        )
        if width > 54:
            share = f"{part.value / total:.0%}"
            out.append(
                f'<text class="on {part.css}-ink" x="{x + (width - 2) / 2:.1f}" y="{height / 2 + 5}"'
                f' text-anchor="middle">{share}</text>'
            )
        out.append("</g>")
        x += width
    return _svg(height, label, out)


def chart(
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    label: str,
    *,
    mark: tuple[float, str] | None = None,
    height: int = 260,
) -> str:
    """Curves over a grid. `mark`: a value of x to point out, and its name."""
    place = _Place(x, y, height)
    out = _grid(place)
    for line in lines:
        points = list(line.points)
        path = " ".join(f"{place.x(px):.1f},{place.y(py):.1f}" for px, py in points)
        if not points:
            continue
        if line.fill:
            base = f"{place.y(y.low):.1f}"
            first, last = place.x(points[0][0]), place.x(points[-1][0])
            area = f"{first:.1f},{base} {path} {last:.1f},{base}"
            out.append(f'<polygon class="{line.css}-area" points="{area}"/>')
        out.append(f'<polyline class="line {line.css}-line" points="{path}"/>')
    if mark is not None and x.low <= mark[0] <= x.high:
        at = place.x(mark[0])
        anchor, dx = ("end", -6) if at > WIDTH / 2 else ("start", 6)
        out.append(
            f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{place.bottom}"/>'
        )
        out.append(
            f'<text class="tick" x="{at + dx:.1f}" y="{_TOP + 10}" text-anchor="{anchor}">'
            f"{escape(mark[1])}</text>"
        )
    return _svg(height, label, out)


def nice(high: float, steps: int = 4) -> list[float]:
    """Round values from 0 to at least `high`, about `steps` of them."""
    if not 1e-12 < high < 1e15:
        return [0.0, max(1.0, high)]
    rough = high / steps
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    return [step * n for n in range(math.ceil(high / step - 1e-9) + 1)]


_STEPS = (60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000)
"""Seconds between two ticks of a time axis."""


def time_axis(low: float, high: float) -> Axis:
    """Unix seconds, in UTC: hours within days, else days."""
    step = next((step for step in _STEPS if (high - low) / step <= 7), _STEPS[-1])
    while (high - low) / step > 7:
        step *= 2
    ticks = [float(at) for at in range(int(-(-low // step) * step), int(high) + 1, step)]

    def show(at: float) -> str:
        moment = datetime.fromtimestamp(at, UTC)
        midnight = moment.hour == moment.minute == 0
        return moment.strftime("%Y-%m-%d" if step >= 86_400 or midnight else "%H:%M")

    return Axis(low, high, show, ticks)


class _Place:
    """Values -> places in the drawing."""

    def __init__(self, x: Axis, y: Axis, height: int) -> None:
        self.x_axis, self.y_axis = x, y
        self.bottom = height - _BOTTOM
        self._width = WIDTH - _LEFT - _RIGHT

    def x(self, value: float) -> float:
        return _LEFT + _share(self.x_axis, value) * self._width

    def y(self, value: float) -> float:
        return self.bottom - _share(self.y_axis, value) * (self.bottom - _TOP)


def _share(axis: Axis, value: float) -> float:
    """0 at the axis' low end, 1 at its high end; what lies far outside is drawn just outside."""
    return min(max((value - axis.low) / ((axis.high - axis.low) or 1), -2.0), 3.0)


def _grid(place: _Place) -> list[str]:
    out: list[str] = []
    for value in place.y_axis.ticks:
        at = place.y(value)
        out.append(
            f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text class="tick" x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">'
            f"{escape(place.y_axis.show(value))}</text>"
        )
    ticks = place.x_axis.ticks
    for value in ticks:
        near_end = place.x(value) > WIDTH - _RIGHT - 20
        anchor = "end" if near_end else "middle"
        out.append(
            f'<text class="tick" x="{place.x(value):.1f}" y="{place.bottom + 20}"'
            f' text-anchor="{anchor}">{escape(place.x_axis.show(value))}</text>'
        )
    return out


def _svg(height: int, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        + "".join(parts)
        + "</svg>"
    )
