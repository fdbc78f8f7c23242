"""Reports on the terminal."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..replay.outcome import Plan
from ..replay.warm import Summary
from . import words
from .words import TIERS

_ROWS = 10
"""Rows of the long tables; the JSON and the page have more."""


def show_summary(summary: Summary, console: Console) -> None:
    """What became of a capture that filled the cache."""
    table = Table(title=f"Cache filled from {summary.source}", title_justify="left", box=None)
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("exchanges read", words.count(summary.read))
    table.add_row("chat requests with a whole answer", words.count(summary.usable))
    table.add_row("stored", Text(words.count(summary.stored), style="bold green"))
    console.print(table)
    if summary.skipped:
        console.print(Padding(_skipped(summary.skipped.rows()), (1, 0, 0, 0)))
    for name, number in summary.elsewhere.most_common():
        line = f"{number:,} stored under {name}, which this configuration does not ask for them."
        console.print(Text(line, style="yellow"))
    console.print(f"Took {words.duration(summary.seconds)}.", highlight=False)


def show_plan(plan: Plan, console: Console) -> None:
    """The what-if report."""
    parts: list[RenderableType] = [_headline(plan)]
    if plan.total.requests:
        parts += [_tiers(plan), _models(plan)]
        parts += [_thresholds(plan)] if plan.thresholds else [Text(_semantic(plan), style="dim")]
    if plan.repeats:
        parts.append(_repeats(plan))
    if plan.near:
        parts.append(_near(plan))
    if plan.volatile:
        parts.append(_volatile(plan))
    if plan.skipped:
        parts.append(_skipped(plan.skipped.rows()))
    console.print(Group(*[Padding(part, (0, 0, 1, 0)) for part in parts]))


def _headline(plan: Plan) -> Text:
    text = Text()
    text.append(f"What Reflex would have saved on {plan.source}\n", style="bold")
    if not plan.total.requests:
        text.append(f"{plan.read:,} exchanges, no chat request with a whole answer among them.")
        return text
    saved = plan.saved
    if plan.first is not None and plan.last is not None:
        text.append(f"{words.moment(plan.first)} to {words.moment(plan.last)} UTC, ", style="dim")
    text.append(f"{plan.total.requests:,} chat requests of {plan.read:,} exchanges\n", style="dim")
    text.append(f"{plan.hit_rate:.1%} of the requests", style="bold green")
    text.append(f" ({saved.requests:,}), {saved.tokens:,} tokens, ")
    text.append(words.money(saved.usd), style="bold green")
    text.append(f" of {words.money(plan.total.usd)}, ")
    text.append(words.duration(saved.seconds), style="bold green")
    text.append(" of waiting")
    if gaps := words.gaps(plan.total.without_usage, plan.total.without_price):
        text.append(f"\n{gaps}", style="yellow")
    if plan.already_hits:
        text.append(f"\n{plan.already_hits:,} had been answered from a cache when recorded.", "dim")
    return text


def _table(title: str, *columns: str, right: int = 0) -> Table:
    """The last `right` columns hold numbers."""
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0)
    )
    for at, name in enumerate(columns):
        numbers = at >= len(columns) - right
        table.add_column(name, justify="right" if numbers else "left", no_wrap=numbers)
    return table


def _tiers(plan: Plan) -> Table:
    table = _table("By tier", "", "requests", "share", "tokens", "money", "time", right=5)
    for name, label in TIERS.items():
        sums = plan.tiers.get(name)
        if sums is not None:
            table.add_row(
                label,
                words.count(sums.requests),
                words.share(sums.requests, plan.total.requests),
                words.count(sums.tokens),
                words.money(sums.usd),
                words.duration(sums.seconds),
            )
    return table


def _models(plan: Plan) -> Table:
    table = _table("By model", "", "requests", "hits", "tokens", "money", "saved", right=5)
    for row in plan.models[:_ROWS]:
        unknown = row.unpriced == row.requests - row.without_usage > 0
        table.add_row(
            Text(f"{row.provider}::{row.model}"),
            words.count(row.requests),
            words.share(row.hits, row.requests),
            words.count(row.prompt + row.completion),
            Text("no price known", style="yellow") if unknown else words.money(row.usd),
            "-" if unknown else words.money(row.saved_usd),
        )
    return table


def _semantic(plan: Plan) -> str:
    return f"Similar questions are not in this plan: {plan.semantic}."


def _thresholds(plan: Plan) -> Table:
    title = f"By threshold of the semantic tier ({plan.measure})"
    names = ("threshold", "exact", "shared", "similar", "hits", "tokens", "money", "time")
    table = _table(title, *names, right=8)
    for row in plan.thresholds:
        saved = row.saved
        tier = {name: sums.requests for name, sums in row.tiers.items()}
        table.add_row(
            f"{row.value:g}" + (" *" if row.default else "  "),
            words.count(tier.get("exact", 0)),
            words.count(tier.get("in-flight", 0)),
            words.count(tier.get("similar", 0)),
            words.share(saved.requests, plan.total.requests),
            words.count(saved.tokens),
            words.money(saved.usd),
            words.duration(saved.seconds),
            style="bold" if row.default else "",
        )
    table.caption = "* this configuration's own"
    table.caption_justify = "left"
    return table


def _repeats(plan: Plan) -> Table:
    table = _table("Asked most often", "question", "model", "times", "money", right=2)
    table.columns[0].overflow = "ellipsis"
    table.columns[0].no_wrap = True
    for row in plan.repeats[:_ROWS]:
        money = words.money(row.usd)
        table.add_row(Text(row.question), Text(row.model), words.count(row.count), money)
    return table


def _near(plan: Plan) -> Table:
    table = _table("Near misses", "question", "like", "cosine", "bits", "score", right=3)
    for row in plan.near[:_ROWS]:
        table.add_row(
            Text(f"#{row.number} {row.question}"),
            Text(f"#{row.other} {row.similar}"),
            f"{row.cosine:.3f}",
            str(row.distance),
            f"{row.score:.3f}",
        )
    return table


def _volatile(plan: Plan) -> Table:
    title = (
        f"{plan.spoiled.requests:,} requests would have been repeats, had these fields stood still"
        f" ({words.money(plan.spoiled.usd)})"
    )
    table = _table(title, "field", "what", "for example", "flows", "requests", right=1)
    for row in plan.volatile[:_ROWS]:
        flows = ", ".join(f"#{number}" for number in row.flows[:3])
        example = Text(f"{row.examples[0]}\n{row.examples[1]}")
        table.add_row(Text(row.where), row.kind, example, flows, words.count(row.requests))
        table.add_row("", "", Text(row.advice, style="italic dim"), "", "")
    return table


def _skipped(rows: list[tuple[str, int, str]]) -> Table:
    table = _table("Skipped", "", "", right=0)
    table.columns[0].justify = "right"
    for _, number, text in rows:
        table.add_row(words.count(number), Text(text))
    return table
