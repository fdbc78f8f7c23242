"""Plots as inline SVG. Colours are CSS classes, so that they follow the page's theme."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

    label: str
    points: Sequence[tuple[float, float]]
    css: str
    fill: bool = False
    steps: bool = False
    """Draw as stairs: the value holds until the next point."""


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
    """Curves over a grid, each named at its end. `mark`: a value of x to point out, and its name."""
    place = _Place(x, y, height)
    out = _grid(place)
    for line in lines:
        points = _stairs(line.points) if line.steps else list(line.points)
        path = " ".join(f"{place.x(px):.1f},{place.y(py):.1f}" for px, py in points)
        if not points:
            continue
        if line.fill:
            base = f"{place.y(y.low):.1f}"
            first, last = place.x(points[0][0]), place.x(points[-1][0])
            area = f"{first:.1f},{base} {path} {last:.1f},{base}"
            out.append(f'<polygon class="{line.css}-area" points="{area}"/>')
        out.append(f'<polyline class="line {line.css}-line" points="{path}"/>')
    out += _names(lines, place)
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
    if not (high > 0 and math.isfinite(high)):
        return [0.0, 1.0]
    rough = high / steps
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    return [step * n for n in range(math.ceil(high / step - 1e-9) + 1)]


class _Place:
    """Values -> places in the drawing."""

    def __init__(self, x: Axis, y: Axis, height: int) -> None:
        self.x_axis, self.y_axis = x, y
        self.bottom = height - _BOTTOM
        self._width = WIDTH - _LEFT - _RIGHT

    def x(self, value: float) -> float:
        axis = self.x_axis
        return _LEFT + (value - axis.low) / ((axis.high - axis.low) or 1) * self._width

    def y(self, value: float) -> float:
        axis = self.y_axis
        share = (value - axis.low) / ((axis.high - axis.low) or 1)
        return self.bottom - share * (self.bottom - _TOP)


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
    for number, value in enumerate(ticks):
        anchor = "start" if number == 0 else "end" if number == len(ticks) - 1 else "middle"
        out.append(
            f'<text class="tick" x="{place.x(value):.1f}" y="{place.bottom + 20}"'
            f' text-anchor="{anchor}">{escape(place.x_axis.show(value))}</text>'
        )
    return out


def _names(lines: Sequence[Line], place: _Place) -> list[str]:
    """At the curves' ends, pushed apart where they would lie on each other."""
    ends = [(place.y(line.points[-1][1]), line) for line in lines if line.points]
    out: list[str] = []
    above = -math.inf
    for at, line in sorted(ends, key=lambda end: end[0]):
        at = max(at - 7, above + 16, _TOP + 8)
        above = at
        out.append(
            f'<text class="name {line.css}-name" x="{WIDTH - _RIGHT - 4}" y="{at:.1f}"'
            f' text-anchor="end">{escape(line.label)}</text>'
        )
    return out


def _stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    out: list[tuple[float, float]] = []
    for x, y in points:
        if out:
            out.append((x, out[-1][1]))
        out.append((x, y))
    return out


def _svg(height: int, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        + "".join(parts)
        + "</svg>"
    )
