"""Pairs from the public sets (CC BY): near questions of other intents, repeats where all slots agree.

Sources, licences and versions: the table in docs/model_card.md.
"""

from __future__ import annotations

import csv
import json
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pairs import Pair, overlap

FILES = ("nlu-evaluation-home.json", "banking77-train.csv", "clinc150.json")
SAMPLE = 3500
NEGATIVES = 1200
POSITIVES = 800


def read(folder: Path) -> dict[str, list[tuple[str, str, frozenset[tuple[str, str]]]]]:
    """Set name -> (text, intent, slot values), sorted. Raises FileNotFoundError."""
    nlu = json.loads((folder / FILES[0]).read_text("utf-8"))["rasa_nlu_data"]["common_examples"]
    with (folder / FILES[1]).open(encoding="utf-8", newline="") as file:
        bank = [(r["text"].strip(), r["category"], frozenset()) for r in csv.DictReader(file)]
    clinc = json.loads((folder / FILES[2]).read_text("utf-8"))["train"]
    out = {
        "nlu": [
            (
                e["text"].strip(),
                e["intent"],
                frozenset((x["entity"], str(x["value"]).lower()) for x in e["entities"]),
            )
            for e in nlu
        ],
        "banking77": bank,
        "clinc150": [(text.strip(), intent, frozenset()) for text, intent in clinc],
    }
    return {name: sorted(set(rows), key=str) for name, rows in out.items()}


def sample(rows: list, rng: random.Random) -> list:
    return rng.sample(rows, min(SAMPLE, len(rows)))


def negatives(name: str, rows: list, vectors: Callable[[str], np.ndarray]) -> list[Pair]:
    """For each question its nearest one of another intent; the nearest of those are kept."""
    matrix = np.stack([vectors(text) for text, _, _ in rows])
    near = matrix @ matrix.T
    intents = np.array([intent for _, intent, _ in rows])
    near[intents[:, None] == intents[None, :]] = -1
    best = near.argmax(1)
    order = np.argsort(-near[np.arange(len(rows)), best])[:NEGATIVES]
    return [
        Pair(rows[i][0], rows[best[i]][0], False, f"public-{name}", f"public-{name}:{intents[i]}")
        for i in order
    ]


def positives(rows: list, rng: random.Random) -> list[Pair]:
    """Same intent, the same slot values (at least one), close wording."""
    groups = defaultdict(list)
    for text, intent, slots in rows:
        if slots:
            groups[intent, slots].append(text)
    out = [
        Pair(a, b, True, "public-nlu", f"public-nlu:{intent}")
        for (intent, _), texts in sorted(groups.items(), key=str)
        for i, a in enumerate(texts)
        for b in texts[i + 1 :]
        if 0.5 <= overlap(a, b) < 1
    ]
    return rng.sample(out, min(POSITIVES, len(out)))
