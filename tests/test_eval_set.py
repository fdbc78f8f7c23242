"""The labelled set: its size, that no text of it trains anything, and what the product makes of it."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import orjson
import pytest

from reflex_core.backends.onnx_embedder import OnnxEmbedder
from reflex_core.backends.onnx_files import bundled_model
from reflex_core.verify.calibration import Calibration, for_long
from reflex_core.verify.chain import ChainVerifier
from reflex_core.verify.model import WEIGHTS, shipped

ROOT = Path(__file__).parents[1]
EVAL = ROOT / "scripts" / "eval"
sys.path.insert(0, str(ROOT / "scripts" / "verifier"))

import blocks  # noqa: E402

SERVED_AT_LEAST = 0.60
WRONG_AT_MOST = 0.01
REWORDED_AT_LEAST, REWORDED_WRONG_AT_MOST = 0.55, 0.015
"""What docs/evaluation.md reports, with some room for another processor's rounding."""


def load(name):
    return [orjson.loads(line) for line in (EVAL / name).read_bytes().splitlines()]


TUNE, HELDOUT, I18N = (load(f) for f in ("pairs.tune.jsonl", "pairs.heldout.jsonl", "i18n.jsonl"))
REWORDED_TUNE, REWORDED = (load(f"reworded.{half}.jsonl") for half in ("tune", "heldout"))
CONVERSATIONS = load("conv/conversations.jsonl")

EVERY = TUNE + HELDOUT + I18N + REWORDED_TUNE + REWORDED


def norm(text):
    return re.sub(r"\W+", " ", text.casefold()).strip()


def test_counts():
    pairs = TUNE + HELDOUT
    assert len(pairs) >= 1500
    assert len({p["domain"] for p in pairs}) >= 12
    traps = Counter(p["category"] for p in pairs if not p["same_answer"])
    assert len(traps) >= 16
    assert min(traps.values()) >= 100
    assert len(CONVERSATIONS) >= 300
    assert len(I18N) >= 500
    assert set(Counter(p["lang"] for p in I18N).values()) == {100}


def test_halves_share_no_pair():
    assert not {p["id"] for p in TUNE} & {p["id"] for p in HELDOUT}
    pairs = [{(norm(p["a"]), norm(p["b"])) for p in half} for half in (REWORDED_TUNE, REWORDED)]
    assert not pairs[0] & pairs[1]
    assert [len(half) for half in pairs] == [977, 782]


def test_nothing_is_in_the_training_corpus():
    trained = {
        norm(t)
        for b in blocks.load([ROOT / "scripts" / "verifier" / "corpus"])
        for line in b.lines
        for t in line.texts
    }
    shared = {norm(p[k]) for p in EVERY for k in "ab"} & trained
    assert shared == set()


@pytest.fixture(scope="module")
def verdicts():
    """id -> accepted, at the defaults, for the held-out half and the other languages."""
    threshold = Calibration.load(WEIGHTS).threshold_for(0.01)
    verifier = ChainVerifier(shipped(), threshold, for_long(threshold))
    embedder = OnnxEmbedder(bundled_model())
    out = {}
    for row in HELDOUT + REWORDED + I18N:
        a, b = (embedder.embed([row[k]])[0] for k in "ab")
        cosine = float(a.vector @ b.vector)
        out[row["id"]] = verifier.verify(row["b"], b, row["a"], a.tokens, cosine).accepted
    return out


def test_the_bar_on_the_held_out_half(verdicts):
    clear = [p for p in HELDOUT if not p.get("ambiguous")]
    good, traps = ([p for p in clear if p["same_answer"] is same] for same in (True, False))
    assert sum(verdicts[p["id"]] for p in good) >= SERVED_AT_LEAST * len(good)
    assert sum(verdicts[p["id"]] for p in traps) <= WRONG_AT_MOST * len(traps)


def test_reworded_traps(verdicts):
    good, traps = ([p for p in REWORDED if p["same_answer"] is same] for same in (True, False))
    assert sum(verdicts[p["id"]] for p in good) >= REWORDED_AT_LEAST * len(good)
    assert sum(verdicts[p["id"]] for p in traps) <= REWORDED_WRONG_AT_MOST * len(traps)


def test_no_wrong_hit_in_other_languages(verdicts):
    wrong = [p["id"] for p in I18N if not p["same_answer"] and verdicts[p["id"]]]
    assert wrong == []
