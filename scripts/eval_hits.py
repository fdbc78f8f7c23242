#!/usr/bin/env python3
"""How many questions that should be served are served, and how many of the others wrongly are.

    python scripts/eval_hits.py scripts/eval/pairs.heldout.jsonl
    python scripts/eval_hits.py scripts/eval/*.jsonl --json report.json --plot curve.svg

A line is {"a", "b", "same_answer", "category"}: two questions, or two lists of messages. The product
itself answers: for each line an answer to `a` is stored through Reflex's storage in a new folder, and
`b` is asked through `App.chat` with `only-if-cached`; each line has its own namespace. No network.
`--max-wrong` and `--threshold` are the options reflex_max_wrong and reflex_reranker_threshold.
Lines with "ambiguous": true are counted apart.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import orjson  # noqa: E402
from evaluation.report import Case, as_json, as_text, plot  # noqa: E402

from reflex_core import config as configuration  # noqa: E402
from reflex_core.app import App  # noqa: E402
from reflex_core.prepared import Prepared  # noqa: E402
from reflex_core.types import Choice, Completion, Json  # noqa: E402

READY = 120.0
FLUSH = 600.0
RETRIES = 5


def read(paths: list[Path]) -> list[Json]:
    """All lines of all files. Raises ValueError, naming the line, for one that lacks a field."""
    rows: list[Json] = []
    for path in paths:
        for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
            if not line.strip():
                continue
            row = orjson.loads(line)
            if not {"a", "b", "same_answer"} <= row.keys():
                raise ValueError(f"{path}:{number}: needs a, b and same_answer")
            rows.append({"category": "unnamed", **row})
    return rows


def _prepare(app: App, question: str | list[Json], namespace: str) -> Prepared:
    messages = question if isinstance(question, list) else [{"role": "user", "content": question}]
    headers = {
        "authorization": "Bearer evaluation",
        "cache-control": "only-if-cached",
        "x-reflex-namespace": namespace,
    }
    found = app.prepare(orjson.dumps({"model": "gpt-4o", "messages": messages}), headers)
    if not isinstance(found, Prepared):
        raise ValueError(f"not a chat request: {str(question)[:80]}")
    return found


def _store(app: App, prepared: Prepared, n: int) -> None:
    answer = Completion(f"answer-{n}", 0, "gpt-4o", (Choice(content=f"{n}", finish_reason="stop"),))
    meaning = app._meaning(prepared.request, prepared.target, prepared.keys)
    app.storage.put(prepared.target, prepared.keys, meaning, answer, False)


def _settle(app: App) -> None:
    """Wait until all that was stored can be found. Raises RuntimeError when that never happens."""
    tier = app.storage.semantic
    deadline = time.monotonic() + READY
    while tier.state() == "pending" and time.monotonic() < deadline:
        time.sleep(0.05)
    if tier.state() != "ready" or not tier.flush(FLUSH):
        raise RuntimeError(f"the semantic tier is {tier.state()}")


async def _ask(app: App, row: Json, n: int) -> Case:
    """A lookup that a busy machine did not finish in time is asked again: it says nothing of hits."""
    for _ in range(RETRIES):
        prepared = _prepare(app, row["b"], f"case-{n}")
        started = time.perf_counter()
        reply = await app.chat(prepared)
        seconds = time.perf_counter() - started
        trace = prepared.record.trace
        first = trace.candidates[0] if trace and trace.candidates else None
        reason = first.reason if first else (prepared.record.detail or "").split(" ")[0]
        if reason != "lookup-timeout":
            break
    score = first.score if first and first.score is not None else 0.0
    return Case(
        category=row["category"],
        same=bool(row["same_answer"]),
        ambiguous=bool(row.get("ambiguous")),
        served=getattr(reply, "status", 0) == 200,
        score=score,
        reason=reason,
        seconds=seconds,
        stages=dict(trace.seconds) if trace else {},
        row=row,
    )


async def evaluate(rows: list[Json], options: Json) -> list[Case]:
    """One case a row, in order."""
    with tempfile.TemporaryDirectory(prefix="reflex-eval-") as folder:
        app = App(
            configuration.build({"storage_path": folder, "ttl": 0, "recheck": 0, **options}, {})
        )
        await app.start()
        try:
            for n, row in enumerate(rows):
                _store(app, _prepare(app, row["a"], f"case-{n}"), n)
                if n % 500 == 499:
                    await asyncio.to_thread(app.storage.writer.flush, FLUSH)
            await asyncio.to_thread(app.storage.writer.flush, FLUSH)
            await asyncio.to_thread(_settle, app)
            app.storage.memory.remove(lambda entry: True)
            return [await _ask(app, row, n) for n, row in enumerate(rows)]
        finally:
            await app.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--plot", type=Path, help="write the curve here (SVG)")
    parser.add_argument("--max-wrong", type=float)
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--wrong", action="store_true", help="list what was wrongly served")
    parser.add_argument("--missed", action="store_true", help="list what should have been served")
    given = parser.parse_args()
    options: Json = {}
    if given.max_wrong is not None:
        options["max_wrong"] = given.max_wrong
    if given.threshold is not None:
        options["reranker_threshold"] = given.threshold
    try:
        rows = read(given.files)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    cases = asyncio.run(evaluate(rows, options))
    print(as_text(cases))
    for case in cases:
        if (given.wrong and case.served and not case.same) or (
            given.missed and case.same and not case.served
        ):
            told = f"{case.score:.3f} {case.category} {case.reason}"
            print(f"{told}: {case.row['a']} | {case.row['b']}")
    if given.json:
        given.json.write_bytes(orjson.dumps(as_json(cases), option=orjson.OPT_INDENT_2))
    if given.plot:
        given.plot.write_text(plot(cases), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
