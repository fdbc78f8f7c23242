#!/usr/bin/env python3
"""Make the verifier's weights: reflex_core/verify/weights/{weights.npz,words.txt}.

    pip install -e . --group training      # pip 25.1 or newer
    python scripts/verifier/train.py --public ../shared/data             # the shipped weights
    python scripts/verifier/train.py --public ../shared/data --cv cv.json  # grouped cross-validation

Needs: scripts/verifier/corpus (in the repository) and, under --public, the three CC BY files that
docs/model_card.md names (not in the repository). With the same seeds the weights are equal up to
float rounding that depends on the processor; a run takes about 16 minutes on 2 cores.
Then run scripts/verifier/calibrate.py.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import time
import zlib
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import blocks  # noqa: E402
import pairs  # noqa: E402
import public  # noqa: E402
import vectors  # noqa: E402
from fit import Data, fit, predict  # noqa: E402

from reflex_core.backends.onnx_files import BUNDLED_NAME, bundled_model  # noqa: E402
from reflex_core.verify.guards import first_veto  # noqa: E402
from reflex_core.verify.model import CLIP, FORMAT, WEIGHTS, describe  # noqa: E402
from reflex_core.verify.text import parse, spelling  # noqa: E402

SEED = 7
EPOCHS = 4
NETWORKS = 4
FOLDS = 5
VOCABULARY = 30522


def idf_table(texts: vectors.Texts) -> np.ndarray:
    """uint8, 255 for word pieces that no text has."""
    seen = np.zeros(VOCABULARY, np.int64)
    for start, end in zip(texts.starts, texts.starts[1:], strict=False):
        seen[np.unique(texts.ids[start:end])] += 1
    idf = np.log((len(texts.index) + 1) / (seen + 1))
    return np.round(255 * idf / idf.max()).astype(np.uint8)


def word_list(texts: list[str]) -> str:
    """Words that two texts have, typed without slips, and the whole words among the word pieces."""
    vocabulary = bundled_model().model.with_name("vocab.txt").read_text("utf-8").split("\n")
    seen = Counter(w for t in texts for w in set(parse(t).lower))
    words = {w for w, n in seen.items() if n >= 2} | {spelling(w) for w in vocabulary}
    return "\n".join(sorted(w for w in words if re.fullmatch("[a-z]{4,}", w))) + "\n"


def all_pairs(folder: Path) -> tuple[list[pairs.Pair], vectors.Texts, list[str]]:
    """Pairs, the vectors of their texts, and the clean texts for the word list."""
    written = blocks.load([HERE / "corpus"])
    slots = blocks.load_slots()
    out = pairs.build(written, slots, SEED)
    rng = random.Random(SEED)
    sets = public.read(folder)
    nlu_rows = sets["nlu"]
    sampled = {name: public.sample(rows, rng) for name, rows in sets.items()}
    good = public.positives(nlu_rows, rng)
    texts = [t for p in [*out, *good] for t in (p.a, p.b)]
    texts += [t for rows in sampled.values() for t, _, _ in rows]
    made = vectors.embed(texts)
    out += good
    for name, rows in sampled.items():
        out += public.negatives(name, rows, lambda t: made[t][2])
    clean = [t for b in written for ln in b.lines for t in ln.texts]
    clean += [v for values in slots.values() for v in values for _ in range(2)]
    clean += [t for rows in sets.values() for t, _, _ in rows]
    return out, made, clean


_shared: tuple = ()
"""What forked workers read: large arrays are inherited, not sent."""


def _described(pair: pairs.Pair) -> np.ndarray:
    texts, idf = _shared
    (ids_a, rows_a, pooled_a), (ids_b, rows_b, pooled_b) = texts[pair.a], texts[pair.b]
    cosine = float(pooled_a @ pooled_b)
    return describe(parse(pair.a), parse(pair.b), ids_a, rows_a, ids_b, rows_b, cosine, idf)


def make_data(
    found: list[pairs.Pair], texts: vectors.Texts, idf: np.ndarray, jobs: int
) -> tuple[Data, np.ndarray, np.ndarray]:
    """Data, mean and spread of the features."""
    global _shared  # noqa: PLW0603
    _shared = texts, idf
    with get_context("fork").Pool(jobs) as pool:
        features = np.stack(pool.map(_described, found, 500))
    mean, spread = features.mean(0), features.std(0) + np.float32(1e-3)
    data = Data(
        texts.starts,
        texts.ids,
        texts.rows,
        idf,
        np.array([texts.index[p.a] for p in found]),
        np.array([texts.index[p.b] for p in found]),
        np.clip((features - mean) / spread, -CLIP, CLIP).astype(np.float32),
        np.array([p.same for p in found], np.float32),
    )
    return data, mean, spread


def _fitted(seed: int) -> dict[str, np.ndarray]:
    (data,) = _shared

    def log(line: str) -> None:
        print(f"network {seed - SEED + 1}: {line.strip()}", flush=True)

    return fit(data, np.arange(len(data.labels)), EPOCHS, seed, log)


def networks(data: Data, jobs: int) -> list[dict[str, np.ndarray]]:
    """Each in a process and on a processor of its own: two at once take less than two in turn."""
    global _shared  # noqa: PLW0603
    _shared = (data,)
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    with get_context("fork").Pool(jobs) as pool:
        return pool.map(_fitted, range(SEED, SEED + NETWORKS), 1)


def cross_validate(data: Data, found: list[pairs.Pair], path: Path) -> None:
    """Scores of pairs whose block was not trained on, with their category."""
    fold = np.array([zlib.crc32(p.group.encode()) % FOLDS for p in found])
    logits = np.zeros(len(found))
    for k in range(FOLDS):
        print(f"fold {k + 1}", flush=True)
        w = fit(data, np.flatnonzero(fold != k), EPOCHS, SEED + k)
        at = np.flatnonzero(fold == k)
        logits[at] = predict(data, w, at)
    rows = [
        [p.category, p.same, round(float(z), 3), first_veto(parse(p.a), parse(p.b))]
        for p, z in zip(found, logits, strict=True)
    ]
    path.write_text(json.dumps(rows))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--public", type=Path, required=True, help="folder with the CC BY files")
    options.add_argument("--out", type=Path, default=WEIGHTS)
    options.add_argument("--cv", type=Path, help="cross-validate and write the scores here instead")
    options.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N")
    given = options.parse_args()
    missing = [name for name in public.FILES if not (given.public / name).is_file()]
    if missing:
        print(f"{given.public} lacks {', '.join(missing)}: see docs/model_card.md", file=sys.stderr)
        return 2
    started = time.time()
    found, texts, clean = all_pairs(given.public)
    table = idf_table(texts)
    idf = table.astype(np.float32) / np.float32(255)
    data, mean, spread = make_data(found, texts, idf, given.jobs)
    print(
        f"{len(found)} pairs, {len(texts.index)} texts, {time.time() - started:.0f} s",
        flush=True,
    )
    if given.cv:
        cross_validate(data, found, given.cv)
        return 0
    out = {"format": np.int32(FORMAT), "embedder": np.array(BUNDLED_NAME), "idf": table,
           "mean": mean.astype(np.float32), "spread": spread.astype(np.float32)}  # fmt: skip
    for k, w in enumerate(networks(data, given.jobs)):
        out |= {f"{k}/{name}": x.astype(np.float16) for name, x in w.items()}
    given.out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(given.out / "weights.npz", **out)
    (given.out / "words.txt").write_text(word_list(clean), "utf-8")
    print(f"done in {time.time() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
