"""OnnxEmbedder with the bundled model and with tiny ones whose results are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reflex_core.backends.onnx_embedder import OnnxEmbedder
from reflex_core.backends.onnx_files import POOLINGS, model_directory
from reflex_core.errors import BackendError, ConfigError
from reflex_core.token_vectors import unpack

from ..embedders import bundled
from ..tiny_onnx import DIM, model, rows, unit, write

ROWS = ("[CLS]", "red", "green", "[SEP]")


def tiny(folder: Path, **options: object) -> OnnxEmbedder:
    return OnnxEmbedder(model_directory(write(folder)), **options)  # type: ignore[arg-type]


def vector(embedder: OnnxEmbedder, text: str) -> np.ndarray:
    (found,) = embedder.embed([text])
    assert found is not None
    return found.vector


def test_the_bundled_model_knows_meaning() -> None:
    embedder = bundled()
    ask = vector(embedder, "How do I reset my password?")
    near = vector(embedder, "What's the way to change a forgotten password?")
    far = vector(embedder, "Which river flows through Vienna?")
    assert ask @ near > 0.85 > 0.65 > ask @ far
    assert (embedder.dim, embedder.max_tokens) == (384, 512)
    assert embedder.identity.startswith("bge-small-en-v1.5 sha256=")


def test_the_bundled_models_token_vectors_leave_out_special_tokens() -> None:
    (found,) = bundled().embed(["Hello world"])
    assert found is not None
    ids, vectors = unpack(found.tokens)
    assert ids.tolist() == [7592, 2088]
    assert vectors.shape == (2, 384)


def test_the_window_is_counted_in_tokens() -> None:
    embedder = bundled()
    assert embedder.embed(["word " * 510])[0] is not None
    assert embedder.embed(["word " * 511])[0] is None


@pytest.mark.parametrize(
    ("pooling", "wanted"),
    [
        ("cls", rows("[CLS]")[0]),
        ("last", rows("[SEP]")[0]),
        ("mean", rows(*ROWS).mean(axis=0)),
        ("max", rows(*ROWS).max(axis=0)),
    ],
)
def test_pooling_alone_and_padded(tmp_path: Path, pooling: str, wanted: np.ndarray) -> None:
    embedder = OnnxEmbedder(model_directory(write(tmp_path), pooling=pooling))  # type: ignore[arg-type]
    texts = ["red green", "blue " * 9, "red green"]
    for found in (embedder.embed(texts)[0], embedder.embed(texts)[2], embedder.embed(texts[:1])[0]):
        assert found is not None
        assert np.allclose(found.vector, unit(wanted), atol=1e-6)


def test_mean_is_the_default_and_the_models_own_output_goes_first(tmp_path: Path) -> None:
    assert "pooling=mean" in tiny(tmp_path / "a").identity
    own = OnnxEmbedder(model_directory(write(tmp_path / "b", data=model(pooled=True))))
    assert "pooling=output" in own.identity
    assert np.allclose(vector(own, "red green"), unit(rows(*ROWS).sum(axis=0)), atol=1e-6)


def test_a_model_without_token_output_gives_no_token_vectors(tmp_path: Path) -> None:
    folder = write(tmp_path, data=model(pooled=True, tokens=False))
    embedder = OnnxEmbedder(model_directory(folder))
    (found,) = embedder.embed(["red"])
    assert found is not None
    assert found.tokens == b""
    with pytest.raises(ConfigError, match="no token output for cls"):
        OnnxEmbedder(model_directory(folder, pooling="cls"))


def test_asking_for_an_output_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no pooled output"):
        OnnxEmbedder(model_directory(write(tmp_path), pooling="output"))


def test_the_prefix_counts_for_the_vector_and_not_for_the_verifier(tmp_path: Path) -> None:
    files = model_directory(write(tmp_path), prefix="query: ")
    (found,) = OnnxEmbedder(files).embed(["red green"])
    assert found is not None
    wanted = rows("[CLS]", "query", ":", "red", "green", "[SEP]").mean(axis=0)
    assert np.allclose(found.vector, unit(wanted), atol=1e-6)
    ids, vectors = unpack(found.tokens)
    assert ids.tolist() == [4, 5]
    assert np.allclose(vectors, rows("red", "green"), atol=0.02)


def test_a_shorter_dimension_and_window(tmp_path: Path) -> None:
    embedder = tiny(tmp_path, dim=8, max_tokens=5)
    assert np.allclose(
        vector(embedder, "red"), unit(rows("[CLS]", "red", "[SEP]").mean(axis=0)[:8])
    )
    assert embedder.embed(["red " * 3])[0] is not None
    assert embedder.embed(["red " * 4])[0] is None
    with pytest.raises(ConfigError, match="dimension 17 is not within the 16"):
        tiny(tmp_path, dim=DIM + 1)


def test_identities_tell_what_changes_vectors(tmp_path: Path) -> None:
    folder = write(tmp_path)
    made = [
        OnnxEmbedder(model_directory(folder, pooling=pooling, prefix=prefix), dim=dim).identity
        for pooling in POOLINGS[:3]
        for prefix in ("", "query: ")
        for dim in (8, 16)
    ]
    assert len(set(made)) == 12


def test_inputs_we_cannot_feed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pixel_values"):
        OnnxEmbedder(model_directory(write(tmp_path, data=model(extra_input="pixel_values"))))


@pytest.mark.parametrize("broken", ["model.onnx", "tokenizer.json"])
def test_files_that_are_damaged(tmp_path: Path, broken: str) -> None:
    (write(tmp_path) / broken).write_bytes(b"{junk")
    with pytest.raises(BackendError, match=f"{broken} cannot be loaded"):
        OnnxEmbedder(model_directory(tmp_path))
