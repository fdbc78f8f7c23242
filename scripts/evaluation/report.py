"""Cases -> tables, a curve over thresholds, a plot."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .stats import upper_bound, wilson

STAGES = ("embed", "search", "rescore", "verify")
GRID = (
    0.0,
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.65,
    0.7,
    0.75,
    0.8,
    0.85,
    0.9,
    0.925,
    0.95,
    0.97,
    0.98,
    0.99,
    0.995,
)


@dataclass(frozen=True)
class Case:
    """One line of the evaluation and what became of it."""

    category: str
    same: bool
    ambiguous: bool
    served: bool
    score: float
    """The verifier's, 0 when vetoed or never asked."""
    reason: str
    seconds: float
    stages: dict[str, float]
    row: dict[str, Any]


def curve(cases: Sequence[Case]) -> list[tuple[float, float, float, float]]:
    """(threshold, served share, wrong share, its upper bound), vetoes as they are."""
    good = [c.score for c in cases if c.same]
    bad = [c.score for c in cases if not c.same]
    out = []
    for t in GRID:
        right, wrong = (sum(s > 0 and s >= t for s in x) for x in (good, bad))
        bound = upper_bound(wrong, len(bad)) if bad else 1.0
        out.append((t, right / max(1, len(good)), wrong / max(1, len(bad)), bound))
    return out


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def as_json(cases: Sequence[Case]) -> dict[str, Any]:
    clear = [c for c in cases if not c.ambiguous]
    categories: dict[str, list[Case]] = defaultdict(list)
    for case in clear:
        categories[case.category].append(case)
    good, bad = [c for c in clear if c.same], [c for c in clear if not c.same]
    right, wrong = (sum(c.served for c in x) for x in (good, bad))
    return {
        "should_hit": {"n": len(good), "served": right, "interval": wilson(right, len(good))},
        "traps": {
            "n": len(bad), "served": wrong, "interval": wilson(wrong, len(bad)),
            "upper": upper_bound(wrong, len(bad)) if bad else 1.0,
        },
        "ambiguous": {"n": len(cases) - len(clear), "served": sum(c.served for c in cases if c.ambiguous)},
        "categories": {
            name: {"same": found[0].same, "n": len(found), "served": sum(c.served for c in found)}
            for name, found in sorted(categories.items())
        },
        "reasons": {
            kind: dict(Counter(c.reason for c in x).most_common())
            for kind, x in (("should_hit", good), ("traps", bad))
        },
        "curve": curve(clear),
        "milliseconds": {
            name: {q: 1000 * _quantile(values, s) for q, s in (("p50", 0.5), ("p95", 0.95))}
            for name, values in [
                ("lookup", [c.seconds for c in cases]),
                *((n, [c.stages[n] for c in cases if n in c.stages]) for n in STAGES),
            ]
        },
    }  # fmt: skip


def as_text(cases: Sequence[Case]) -> str:
    data = as_json(cases)
    lines = []
    for name, what in (("should_hit", "should be served"), ("traps", "must not be served")):
        part = data[name]
        low, high = part["interval"]
        share = part["served"] / max(1, part["n"])
        lines.append(
            f"{what}: {part['served']} of {part['n']} served, {share:.2%} (95%: {low:.2%} to {high:.2%})"
        )
    odd = data["ambiguous"]
    lines += [
        f"ambiguous, left out: {odd['served']} of {odd['n']} served",
        "",
        "category  n  served",
    ]
    for name, found in data["categories"].items():
        mark = "" if found["same"] else "  (trap)"
        lines.append(
            f"{name:14} {found['n']:5} {found['served']:5}  {found['served'] / found['n']:7.2%}{mark}"
        )
    lines += ["", "threshold  served   wrong  wrong at most (95%)"]
    lines += [f"{t:9.3f} {s:7.2%} {w:7.2%} {u:7.2%}" for t, s, w, u in data["curve"]]
    lines += ["", "milliseconds     p50     p95"]
    lines += [f"{n:12} {m['p50']:7.2f} {m['p95']:7.2f}" for n, m in data["milliseconds"].items()]
    for kind, reasons in data["reasons"].items():
        lines += ["", f"reasons, {kind}: " + ", ".join(f"{r} {n}" for r, n in reasons.items())]
    return "\n".join(lines)


def as_markdown(cases: Sequence[Case]) -> str:
    """The same as tables for a page."""
    data = as_json(cases)
    lines = ["| | pairs | served | share | 95% |", "| --- | --- | --- | --- | --- |"]
    for name, what in (("should_hit", "should be served"), ("traps", "must not be served")):
        part = data[name]
        low, high = part["interval"]
        share = part["served"] / max(1, part["n"])
        counts = f"{part['n']} | {part['served']} | **{share:.2%}** | {low:.2%} to {high:.2%}"
        lines.append(f"| {what} | {counts} |")
    odd = data["ambiguous"]
    if odd["n"]:
        lines.append(f"| ambiguous, not counted above | {odd['n']} | {odd['served']} | | |")
    lines += ["", "| category | pairs | served | share |", "| --- | --- | --- | --- |"]
    for name, found in sorted(data["categories"].items(), key=lambda x: not x[1]["same"]):
        mark = "" if found["same"] else " (trap)"
        share = found["served"] / found["n"]
        lines.append(f"| {name}{mark} | {found['n']} | {found['served']} | {share:.1%} |")
    if sum(c.same for c in cases) > 100:
        lines += [
            "",
            "| threshold | should-hits served | traps served | at most (95%, one-sided) |",
        ]
        lines.append("| --- | --- | --- | --- |")
        lines += [f"| {t:g} | {s:.1%} | {w:.2%} | {u:.2%} |" for t, s, w, u in data["curve"]]
    return "\n".join(lines) + "\n"


def plot(cases: Sequence[Case]) -> str:
    """SVG: share served against share of traps served (logarithmic), each a threshold."""
    points = [(max(w, 0.0005), s, t) for t, s, w, _ in curve([c for c in cases if not c.ambiguous])]
    width, height, left, bottom = 640, 420, 60, 50

    def x(wrong: float) -> float:
        return left + (math.log10(wrong) + 3.4) / 3.4 * (width - left - 20)

    def y(served: float) -> float:
        return height - bottom - served * (height - bottom - 20)

    path = " ".join(f"{x(w):.1f},{y(s):.1f}" for w, s, _ in points)
    ticks = "".join(
        f'<text x="{x(v):.0f}" y="{height - 30}" text-anchor="middle">{v:.1%}</text>'
        f'<line x1="{x(v):.1f}" x2="{x(v):.1f}" y1="20" y2="{height - bottom}" stroke="#ddd"/>'
        for v in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    )
    ticks += "".join(
        f'<text x="{left - 8}" y="{y(v) + 4:.0f}" text-anchor="end">{v:.0%}</text>'
        f'<line x1="{left}" x2="{width - 20}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#ddd"/>'
        for v in (0, 0.2, 0.4, 0.6, 0.8, 1)
    )
    dots = "".join(
        f'<circle cx="{x(w):.1f}" cy="{y(s):.1f}" r="3"><title>threshold {t}</title></circle>'
        for w, s, t in points
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>{ticks}'
        f'<polyline points="{path}" fill="none" stroke="#1560bd" stroke-width="2"/>{dots}'
        f'<text x="{width / 2}" y="{height - 10}" text-anchor="middle">traps served (share)</text>'
        f'<text x="16" y="{height / 2}" transform="rotate(-90 16 {height / 2})" text-anchor="middle">'
        f"should-hit pairs served</text></svg>\n"
    )
