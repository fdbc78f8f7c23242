"""A plan as one HTML page: no script, no other file, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ..replay.outcome import Plan, Sums
from . import words
from .svg import Axis, Line, Part, bar, chart, nice, time_axis
from .words import TIERS

_STYLE = Path(__file__).with_name("page.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src 'none'; form-action 'none'"


def page(plan: Plan) -> str:
    """The whole page. All texts of the capture are escaped."""
    title = f"Reflex plan: {plan.source}"
    body = [_head(plan)]
    if plan.total.requests:
        body += [_tiles(plan), _tiers(plan), _over_time(plan), _thresholds(plan), _models(plan)]
    body += [_repeats(plan), _near(plan), _volatile(plan), _skipped(plan), _foot(plan)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


# ---------------------------------------------------------------------- sections


def _head(plan: Plan) -> str:
    facts = [f"{plan.read:,} exchanges", f"{plan.total.requests:,} chat requests"]
    if plan.first is not None and plan.last is not None:
        facts.append(f"{words.moment(plan.first)} to {words.moment(plan.last)} UTC")
    notes: list[str] = []
    if gaps := words.gaps(plan.total.without_usage, plan.total.without_price):
        notes.append(f'<p class="note warn">{escape(gaps)}</p>')
    if plan.already_hits:
        text = f"{plan.already_hits:,} requests had been answered from a cache when recorded."
        notes.append(f'<p class="note">{text} Their time is not counted as saved.</p>')
    if not plan.total.requests:
        notes.append("<p>No chat request with a whole answer is in this capture.</p>")
    return (
        f"<h1>What Reflex would have saved on {escape(plan.source)}</h1>"
        f'<p class="soft">{escape(" · ".join(facts))}</p>{"".join(notes)}'
    )


def _tiles(plan: Plan) -> str:
    saved, total = plan.saved, plan.total
    tiles = [
        (f"{plan.hit_rate:.1%}", f"of requests answered by the cache ({saved.requests:,})"),
        (words.money(saved.usd), f"of {words.money(total.usd)} saved"),
        (words.duration(saved.seconds), f"of {words.duration(total.seconds)} waiting saved"),
        (words.count(saved.tokens), f"of {total.tokens:,} tokens saved"),
    ]
    cells = (
        f'<div class="tile"><b>{escape(b)}</b><span>{escape(s)}</span></div>' for b, s in tiles
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def _tiers(plan: Plan) -> str:
    present = [
        (name, label, plan.tiers[name]) for name, label in TIERS.items() if name in plan.tiers
    ]
    parts = [
        Part(label, sums.requests, name, f"{label}: {sums.requests:,} requests")
        for name, label, sums in present
    ]
    rows = [
        [
            f'<span class="dot {name}"></span>{escape(label)}',
            words.count(sums.requests),
            words.share(sums.requests, plan.total.requests),
            *_figures(sums),
        ]
        for name, label, sums in present
    ]
    spoken = ", ".join(f"{label} {sums.requests}" for _, label, sums in present)
    columns = ["", "requests", "share", "tokens", "money", "time"]
    return _section("By tier", bar(parts, f"Requests by tier: {spoken}"), _table(columns, rows, 5))


def _over_time(plan: Plan) -> str:
    points = plan.timeline
    if len(points) < 2:
        return ""
    money = plan.total.usd > 0
    # Days apart are told by time, a burst of requests by their number.
    by_time = points[-1].at - points[0].at >= 60
    xs = [point.at if by_time else float(point.requests) for point in points]
    if money:
        title, show = "Money over time", words.money
        upper, lower = [p.usd_without for p in points], [p.usd_with for p in points]
        names = "without a cache", "with Reflex"
    else:
        title, show = "Requests over time", _whole
        upper = [float(p.requests) for p in points]
        lower = [float(p.requests - p.hits) for p in points]
        names = "asked", "sent upstream"
    ticks = nice(max(upper))
    x = time_axis(xs[0], xs[-1]) if by_time else Axis(xs[0], xs[-1], _whole, _spread(xs))
    lines = [
        Line(list(zip(xs, upper, strict=True)), "bypass", fill=True),
        Line(list(zip(xs, lower, strict=True)), "exact", fill=True),
    ]
    said = [f"{names[0]}: {show(upper[-1])}", f"{names[1]}: {show(lower[-1])}"]
    legend = _legend([("bypass", said[0]), ("exact", said[1])])
    picture = chart(lines, x, Axis(0, ticks[-1], show, ticks), f"{title}: {', '.join(said)}")
    return _section(title, legend, picture)


def _thresholds(plan: Plan) -> str:
    title = "By threshold of the semantic tier"
    if not plan.thresholds:
        text = f"Similar questions are not in this plan: {plan.semantic}."
        return _section(title, f'<p class="note">{escape(text)}</p>')
    whole = plan.total.requests or 1
    values = [row.value for row in plan.thresholds]
    all_hits = [(row.value, row.saved.requests / whole) for row in plan.thresholds]
    exact = [
        (value, (hits.requests - similar.requests) / whole)
        for value, hits, similar in (
            (row.value, row.saved, row.tiers.get("similar", Sums())) for row in plan.thresholds
        )
    ]
    ticks = nice(max(y for _, y in all_hits) or 1.0)
    own = next((row.value for row in plan.thresholds if row.default), None)
    lines = [
        Line(all_hits, "similar", fill=True),
        Line(exact, "exact"),
    ]
    names = [("similar", "all requests the cache answers"), ("exact", "of these exact and shared")]
    picture = chart(
        lines,
        Axis(values[0], values[-1], lambda v: f"{v:g}", [v for v in values if v * 10 % 1 < 1e-9]),
        Axis(0, ticks[-1], lambda v: f"{v:.0%}", ticks),
        "Share of requests answered by the cache, by threshold",
        mark=None if own is None else (own, f"yours: {own:g}"),
    )
    rows = [
        [
            f"{row.value:g}",
            *(
                words.count(row.tiers.get(n, Sums()).requests)
                for n in ("exact", "in-flight", "similar")
            ),
            words.share(row.saved.requests, whole),
            *_figures(row.saved),
        ]
        for row in plan.thresholds
    ]
    columns = ["threshold", "exact", "shared", "similar", "hits", "tokens", "money", "time"]
    own_row = next((at for at, row in enumerate(plan.thresholds) if row.default), None)
    note = f'<p class="note">The threshold is compared with the {escape(plan.measure)}.</p>'
    return _section(title, note, _legend(names), picture, _table(columns, rows, 7, own=own_row))


def _models(plan: Plan) -> str:
    rows: list[list[str]] = []
    for row in plan.models:
        unknown = row.unpriced == row.requests - row.without_usage > 0
        rows.append(
            [
                f"<code>{escape(f'{row.provider}::{row.model}')}</code>",
                words.count(row.requests),
                words.share(row.hits, row.requests),
                words.count(row.prompt + row.completion),
                '<span class="warn">no price known</span>' if unknown else words.money(row.usd),
                "-" if unknown else words.money(row.saved_usd),
            ]
        )
    columns = ["model", "requests", "hits", "tokens", "money", "saved"]
    note = ""
    if plan.unpriced:
        text = "Models without a known price get one in [prices] of the TOML file."
        note = f'<p class="note">{text}</p>'
    return _section("By model", note, _table(columns, rows, 5))


def _repeats(plan: Plan) -> str:
    rows = [
        [
            escape(row.question),
            f"<code>{escape(row.model)}</code>",
            words.count(row.count),
            words.count(row.tokens),
            words.money(row.usd),
        ]
        for row in plan.repeats
    ]
    return _list("Asked most often", ["question", "model", "times", "tokens", "money"], rows, 3)


def _near(plan: Plan) -> str:
    rows = [
        [
            f"#{row.number} {escape(row.question)}",
            f"#{row.other} {escape(row.similar)}",
            f"{row.cosine:.3f}",
            str(row.distance),
            f"{row.score:.3f}",
            escape(row.reason),
        ]
        for row in plan.near
    ]
    note = "Questions that came closest to an earlier one without being answered by its answer."
    columns = ["question", "like", "cosine", "bits", "score", "verdict"]
    return _list("Near misses", columns, rows, 4, note)


def _volatile(plan: Plan) -> str:
    rows = [
        [
            f"<code>{escape(row.where)}</code>",
            f"{row.kind}<br><span class='soft'>{escape(row.advice)}</span>",
            f"<code>{escape(row.examples[0])}</code><br><code>{escape(row.examples[1])}</code>",
            ", ".join(f"#{number}" for number in row.flows),
            words.count(row.requests),
        ]
        for row in plan.volatile
    ]
    spoiled = plan.spoiled
    note = (
        f"{spoiled.requests:,} requests ({words.money(spoiled.usd)}, {spoiled.tokens:,} tokens) would"
        " have been repeats of earlier ones, had these fields stood still. What stands in"
        " messages[question] may well be meant."
    )
    columns = ["field", "what changes", "for example", "exchanges", "requests"]
    return _list("Fields that spoil keys", columns, rows, 1, note)


def _skipped(plan: Plan) -> str:
    rows = [[escape(text), words.count(number)] for _, number, text in plan.skipped.rows()]
    return _list("Skipped", ["why", "exchanges"], rows, 1)


def _foot(plan: Plan) -> str:
    ttl = f"Answers could be served for {words.duration(plan.ttl)}." if plan.ttl else ""
    text = (
        f"{ttl} Prices are the list prices of the day of each request. Time saved is what clients"
        " waited for answers that the cache would have had. Nothing was stored, and no provider was"
        f" asked. Made in {words.duration(plan.seconds)}."
    )
    return f"<footer>{escape(text.strip())}</footer>"


# ---------------------------------------------------------------------- pieces


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _list(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: int, note: str = ""
) -> str:
    if not rows:
        return ""
    text = f'<p class="note">{escape(note)}</p>' if note else ""
    return _section(title, text, _table(columns, rows, numbers))


def _table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: int, own: int | None = None
) -> str:
    """Cells are HTML. The last `numbers` columns are right-aligned; row `own` stands out."""
    first = len(columns) - numbers
    kind = ["text" if at < first else "n" for at in range(len(columns))]
    head = "".join(f'<th class="{k}">{escape(c)}</th>' for k, c in zip(kind, columns, strict=True))
    body: list[str] = []
    for at, row in enumerate(rows):
        cells = "".join(f'<td class="{k}">{cell}</td>' for k, cell in zip(kind, row, strict=True))
        body.append(f"<tr class='own'>{cells}</tr>" if at == own else f"<tr>{cells}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def _legend(items: Sequence[tuple[str, str]]) -> str:
    """(class of the colour, text)."""
    cells = (f'<span class="dot {css}"></span>{escape(text)}' for css, text in items)
    return f'<p class="legend">{"".join(f"<span>{cell}</span>" for cell in cells)}</p>'


def _figures(sums: Sums) -> list[str]:
    return [words.count(sums.tokens), words.money(sums.usd), words.duration(sums.seconds)]


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _spread(values: Sequence[float]) -> list[float]:
    """Five of them, evenly between the ends."""
    low, high = values[0], values[-1]
    return [low + (high - low) * step / 4 for step in range(5)]
