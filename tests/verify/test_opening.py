from __future__ import annotations

import orjson
import pytest

from reflex_core.backends.onnx_embedder import OnnxEmbedder
from reflex_core.backends.onnx_files import bundled_model
from reflex_core.config import build
from reflex_core.errors import BackendError
from reflex_core.verify import open_verifier
from reflex_core.verify.model import shipped
from reflex_core.verify.opening import judge, reported

PAIR = {"a": "How long do I boil an egg?", "b": "How many minutes should an egg boil for?"}


@pytest.fixture(scope="module")
def embedder():
    return OnnxEmbedder(bundled_model())


def config(folder, **values):
    return build({"storage_path": str(folder), **values}, {})


def test_the_dial_sets_the_threshold(tmp_path, embedder):
    thresholds = [
        open_verifier(config(tmp_path, max_wrong=m), embedder).threshold
        for m in (0.05, 0.01, 0.001)
    ]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] < thresholds[2]


def test_a_raw_threshold_wins(tmp_path, embedder):
    verifier = open_verifier(config(tmp_path, reranker_threshold=0.42), embedder)
    assert verifier.threshold == 0.42


def test_marked_answers_make_it_stricter(tmp_path, embedder):
    lenient = config(tmp_path, max_wrong=0.05)
    before = open_verifier(lenient, embedder).threshold
    lines = [orjson.dumps({**PAIR, "same_answer": False}) for _ in range(40)]
    (tmp_path / "reported.jsonl").write_bytes(b"\n".join([b"junk", b"[1]", *lines]))
    assert open_verifier(lenient, embedder).threshold > before


def test_reported_cases(tmp_path, embedder):
    assert reported(tmp_path) == []
    labels = judge([{**PAIR, "same_answer": False}], shipped(), embedder)
    assert [x.right for x in labels] == [False]
    vetoed = {"a": "for 3 days", "b": "for 4 days", "same_answer": False}
    assert judge([vetoed], shipped(), embedder) == []


def test_other_embedders_pass_repeats_only(tmp_path, embedder):
    class Other(OnnxEmbedder):
        def __init__(self):
            self.identity = "another model"

    verifier = open_verifier(config(tmp_path), Other())
    one, other = embedder.embed([PAIR["a"], PAIR["b"]])
    verdict = verifier.verify(PAIR["b"], other, PAIR["a"], one.tokens, 0.9)
    assert verdict.reason == "no-token-vectors"


def test_missing_weights(tmp_path, embedder):
    with pytest.raises(BackendError):
        open_verifier(config(tmp_path, reranker_path=str(tmp_path)), embedder)
