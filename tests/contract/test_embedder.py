"""One suite for every Embedder."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from reflex_core.backends.http_embedder import HttpEmbedder
from reflex_core.backends.onnx_embedder import OnnxEmbedder
from reflex_core.backends.onnx_files import model_directory
from reflex_core.ports import Embedder
from reflex_core.token_vectors import unpack

from .. import tiny_onnx
from ..embedders import bundled
from ..embedding_server import serve

TEXTS = ["red green", "blue", "green", "red green blue red green blue", "blue red"]


@pytest.fixture(params=["bundled", "directory", "http"])
def embedder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Embedder]:
    if request.param == "bundled":
        yield bundled()
    elif request.param == "directory":
        yield OnnxEmbedder(model_directory(tiny_onnx.write(tmp_path)))
    else:
        with serve() as server:
            made = HttpEmbedder.connect(server.url, "m")
            yield made
            made.close()


def test_vectors_have_the_dimension_and_length_one(embedder: Embedder) -> None:
    for found in embedder.embed(TEXTS):
        assert found is not None
        assert found.vector.shape == (embedder.dim,)
        assert found.vector.dtype == np.float32
        assert np.linalg.norm(found.vector) == pytest.approx(1, abs=1e-5)


def test_a_text_has_the_same_vector_alone_and_among_others(embedder: Embedder) -> None:
    together = embedder.embed(TEXTS)
    for text, found in zip(TEXTS, together, strict=True):
        (alone,) = embedder.embed([text])
        assert alone is not None
        assert found is not None
        assert np.allclose(alone.vector, found.vector, atol=1e-5)
        assert alone.tokens == found.tokens


def test_different_texts_have_different_vectors(embedder: Embedder) -> None:
    one, other = embedder.embed(["red green", "blue"])
    assert one is not None
    assert other is not None
    assert one.vector @ other.vector < 0.99


def test_no_texts(embedder: Embedder) -> None:
    assert embedder.embed([]) == []


def test_a_text_over_the_window_has_no_vector_and_the_others_do(embedder: Embedder) -> None:
    long = "red " * embedder.max_tokens * 4
    found = embedder.embed(["red", long, "blue", "\ud800"])
    assert [x is not None for x in found] == [True, False, True, False]


def test_tokens_can_be_unpacked_or_there_are_none(embedder: Embedder) -> None:
    (found,) = embedder.embed(["red green"])
    assert found is not None
    if found.tokens:
        ids, vectors = unpack(found.tokens)
        assert vectors.shape == (len(ids), embedder.dim)


def test_the_identity_names_the_dimension(embedder: Embedder) -> None:
    assert f"dim={embedder.dim}" in embedder.identity
    assert embedder.real


def test_many_threads(embedder: Embedder) -> None:
    alone = {text: embedder.embed([text])[0] for text in TEXTS}

    def ask(n: int) -> bool:
        text = TEXTS[n % len(TEXTS)]
        (found,) = embedder.embed([text])
        wanted = alone[text]
        assert found is not None
        assert wanted is not None
        return bool((found.vector == wanted.vector).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(40)))
