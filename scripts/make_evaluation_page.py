#!/usr/bin/env python3
"""Run the evaluation and put its tables into docs/evaluation.md, between the marks that name a file.

    python scripts/make_evaluation_page.py

`<!-- pairs.heldout -->` … `<!-- end -->` takes the tables of scripts/eval/pairs.heldout.jsonl.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import eval_hits
from evaluation.report import as_markdown, plot

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "evaluation.md"
MARK = re.compile(r"(<!-- ([\w.]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(match: re.Match[str]) -> str:
    name = match[2]
    rows = eval_hits.read([ROOT / "scripts" / "eval" / f"{name}.jsonl"])
    cases = asyncio.run(eval_hits.evaluate(rows, {}))
    tables = as_markdown(cases)
    if name.endswith(".heldout"):
        image = f"images/eval_{name.removesuffix('.heldout')}.svg"
        (PAGE.parent / image).write_text(plot(cases), "utf-8")
        tables += f"\n![served against wrongly served]({image})\n"
    print(f"## {name}\n\n{tables}", flush=True)
    return f"{match[1]}{tables}{match[3]}"


def main() -> int:
    PAGE.write_text(MARK.sub(filled, PAGE.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
