"""Reports of captures: on the terminal, as JSON, as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson
from rich.console import Console

from ..replay.outcome import Plan
from ..replay.warm import Summary
from . import data, html, terminal


def show(outcome: Plan | Summary, files: Sequence[Path], console: Console) -> None:
    """On the console, and into the files by their suffix (.json, .html). Raises OSError."""
    if isinstance(outcome, Plan):
        terminal.show_plan(outcome, console)
        value = data.plan_json(outcome)
    else:
        terminal.show_summary(outcome, console)
        value = outcome.to_json()
    for path in files:
        if path.suffix == ".html" and isinstance(outcome, Plan):
            path.write_text(html.page(outcome), encoding="utf-8")
        else:
            path.write_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")
        console.print(f"Written: {path}", highlight=False, markup=False, soft_wrap=True)
