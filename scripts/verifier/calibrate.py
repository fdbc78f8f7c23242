#!/usr/bin/env python3
"""Make reflex_core/verify/weights/calibration.json: score thresholds and the wrong hits they let through.

    python scripts/verifier/calibrate.py scripts/eval/pairs.tune.jsonl

Runs the verifier (every guard, the shipped weights) on labelled pairs that trained nothing, and for a grid
of thresholds writes how many pairs that must not share an answer would be served, with the one-sided
95% Clopper-Pearson bound of that share. Ambiguous pairs are left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

import orjson  # noqa: E402
from evaluation.stats import upper_bound  # noqa: E402

from reflex_core.backends.onnx_embedder import OnnxEmbedder  # noqa: E402
from reflex_core.backends.onnx_files import bundled_model  # noqa: E402
from reflex_core.verify.chain import ChainVerifier  # noqa: E402
from reflex_core.verify.model import WEIGHTS, Scorer  # noqa: E402

GRID = [n / 100 for n in range(5, 95)] + [n / 1000 for n in range(950, 1000, 2)]


def scores(rows: list[dict], folder: Path) -> list[tuple[float, bool]]:
    """(score, whether the pair shares an answer); repeats have 1, vetoed pairs 0."""
    embedder = OnnxEmbedder(bundled_model())
    verifier = ChainVerifier(Scorer(folder), 0.0)
    out = []
    for row in rows:
        a, b = (embedder.embed([row[k]])[0] for k in "ab")
        if a is None or b is None:
            continue
        cosine = float(a.vector @ b.vector)
        verdict = verifier.verify(row["b"], b, row["a"], a.tokens, cosine)
        out.append((verdict.score if verdict.accepted else 0.0, bool(row["same_answer"])))
    return out


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("files", nargs="+", type=Path)
    options.add_argument("--weights", type=Path, default=WEIGHTS)
    given = options.parse_args()
    rows = [orjson.loads(x) for f in given.files for x in f.read_bytes().splitlines() if x.strip()]
    found = scores([r for r in rows if not r.get("ambiguous")], given.weights)
    good, traps = [s for s, same in found if same], [s for s, same in found if not same]
    table = []
    for t in GRID:
        wrong = sum(s >= t for s in traps)
        bound = upper_bound(wrong, len(traps))
        table.append([t, len(traps), wrong, round(bound, 5)])
        served = sum(s >= t for s in good) / len(good)
        print(f"{t:.3f}  served {served:.3f}  wrong {wrong}/{len(traps)}  at most {bound:.4f}")
    lines = ",\n".join(orjson.dumps(row).decode() for row in table)
    (given.weights / "calibration.json").write_text(f'{{"rows": [\n{lines}\n]}}\n', "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
