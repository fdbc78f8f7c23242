from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from reflex_core import report
from reflex_core.replay.outcome import Plan
from reflex_core.replay.recorded import Skips
from reflex_core.replay.warm import Summary

from .plans import NASTY, a_plan, empty


def shown(outcome: Plan | Summary, *files: Path, width: int = 110) -> str:
    out = io.StringIO()
    report.show(outcome, files, Console(file=out, width=width))
    return out.getvalue()


def test_plan() -> None:
    text = shown(a_plan())
    for expected in (
        "What Reflex would have saved on capture & co.mitm",
        "50.0% of the requests (50), 5,500 tokens, $1.75 of $3.76",
        "exact repeat",
        "no price known",
        "0.9 *",
        "Near misses",
        "7 requests would have been repeats",
        "Leave the time out",
        "15  not sent to a host of reflex_hosts",
    ):
        assert expected in text, expected
    assert "'[bold]'" in text, "texts of the capture are no markup"
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [40, 300])
def test_any_width(width: int) -> None:
    assert shown(a_plan(), width=width)


def test_nothing_usable_and_no_semantic_tier() -> None:
    assert "no chat request with a whole answer" in shown(empty())
    text = shown(replace(a_plan(), thresholds=[], semantic="turned off"))
    assert "Similar questions are not in this plan: turned off." in text


def test_summary() -> None:
    summary = Summary(
        source=NASTY,
        read=9,
        usable=7,
        stored=5,
        skipped=Skips({"repeat": 2}),
        elsewhere=Counter({"groq::[llama]": 1}),
        seconds=0.5,
    )
    text = shown(summary)
    assert "2  asked before in this capture" in text
    assert "1 stored under groq::[llama], which this configuration does not ask for them." in text


def test_files(tmp_path: Path) -> None:
    page, data = tmp_path / "plan.html", tmp_path / "plan.json"
    text = shown(a_plan(), page, data)
    assert f"Written: {page}" in text
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    value = json.loads(data.read_text())
    assert value["version"] == 1
    assert value["hit_rate"] == 0.5
    assert value["saved"]["usd"] == 1.75
    assert value["tiers"]["similar"]["requests"] == 5
    assert [row["threshold"] for row in value["semantic"]["thresholds"]] == [0.5, 0.9]
    assert value["volatile"]["fields"][0]["advice"] == "Leave the time out, or round it to the day."
    shown(Summary(read=3), data)
    assert json.loads(data.read_text())["read"] == 3
