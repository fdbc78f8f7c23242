"""Counting in the evaluation script."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from evaluation.report import Case, as_json, as_markdown, as_text, plot
from evaluation.stats import wilson


def case(same, served, score, category="number", **more):
    return Case(category, same, more.pop("ambiguous", False), served, score, "r", 0.01, {}, {})


def test_wilson():
    low, high = wilson(5, 100)
    assert (round(low, 4), round(high, 4)) == (0.0215, 0.1118)
    assert wilson(0, 0) == (0, 1)
    assert wilson(0, 10)[0] == 0


def test_counts():
    cases = [case(True, True, 0.9, "paraphrase"), case(True, False, 0.4, "paraphrase")]
    cases += [
        case(False, True, 0.95),
        case(False, False, 0.0),
        case(False, True, 1, ambiguous=True),
    ]
    data = as_json(cases)
    assert (data["should_hit"]["n"], data["should_hit"]["served"]) == (2, 1)
    assert (data["traps"]["n"], data["traps"]["served"]) == (2, 1)
    assert data["ambiguous"] == {"n": 1, "served": 1}
    served = {t: (s, w) for t, s, w, _ in data["curve"]}
    assert served[0.0] == (1, 0.5)  # a vetoed pair is served at no threshold
    assert served[0.9] == (0.5, 0.5)
    assert served[0.97] == (0, 0)
    assert "paraphrase" in as_text(cases)
    page = as_markdown(cases)
    assert "| should be served | 2 | 1 | **50.00%** |" in page
    assert "| number (trap) | 2 | 1 | 50.0% |" in page
    assert page.index("| paraphrase |") < page.index("| number (trap)")
    assert plot(cases).startswith("<svg")
