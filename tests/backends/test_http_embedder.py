"""HttpEmbedder against a real server on loopback."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reflex_core.backends.http_embedder import HttpEmbedder
from reflex_core.errors import BackendError, ConfigError

from ..embedding_server import DIM, EmbeddingServer, serve, vector


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddingServer]:
    with serve() as running:
        yield running


@pytest.fixture
def embedder(server: EmbeddingServer) -> Iterator[HttpEmbedder]:
    server.answers.clear()
    made = HttpEmbedder(server.url, "m", dim=DIM, api_key="sk-secret")
    yield made
    made.close()


def test_what_is_sent(server: EmbeddingServer, embedder: HttpEmbedder) -> None:
    embedder.embed(["one", "two"])
    path, headers, body = server.requests[-1]
    assert path == "/v1/embeddings"
    assert headers["authorization"] == "Bearer sk-secret"
    assert body == {"model": "m", "input": ["one", "two"], "encoding_format": "float"}


def test_vectors_come_in_the_order_of_the_texts(embedder: HttpEmbedder) -> None:
    texts = [f"text {n}" for n in range(150)]
    for text, found in zip(texts, embedder.embed(texts), strict=True):
        assert found is not None
        wanted = np.array(vector(text))
        assert np.allclose(found.vector, wanted / np.linalg.norm(wanted), atol=1e-5)


def test_batches_and_one_connection(server: EmbeddingServer, embedder: HttpEmbedder) -> None:
    server.requests.clear()
    before = server.connections
    embedder.embed([f"text {n}" for n in range(130)])
    assert [len(body["input"]) for _, _, body in server.requests] == [64, 64, 2]
    assert server.connections == before + 1


def test_connect_finds_the_dimension_or_asks_for_one(server: EmbeddingServer) -> None:
    found = HttpEmbedder.connect(server.url + "/", "m")
    assert found.dim == DIM
    asked = HttpEmbedder.connect(server.url, "m", dim=8)
    assert asked.embed(["x"])[0] is not None
    assert server.requests[-1][2]["dimensions"] == 8
    assert found.identity != asked.identity
    found.close()
    asked.close()


def test_the_identity_holds_no_credential() -> None:
    made = HttpEmbedder("http://user:pass@host:1/v1", "m", dim=3, api_key="sk-secret")
    assert made.identity == "host:1/v1/embeddings model=m dim=3"
    assert "secret" not in repr(vars(made)["identity"])


def test_texts_that_may_be_too_long_are_not_sent(
    server: EmbeddingServer, embedder: HttpEmbedder
) -> None:
    server.requests.clear()
    assert embedder.embed(["x" * (512 * 3 + 1), ""]) == [None, None]
    assert server.requests == []


def test_base64_vectors_are_understood(server: EmbeddingServer, embedder: HttpEmbedder) -> None:
    packed = base64.b64encode(struct.pack(f"<{DIM}f", *[2.0] * DIM)).decode()
    server.answers = [(200, orjson.dumps({"data": [{"embedding": packed}]}))]
    (found,) = embedder.embed(["x"])
    assert found is not None
    assert np.allclose(found.vector, DIM**-0.5)


def test_a_kept_connection_that_was_closed_is_tried_again(
    server: EmbeddingServer, embedder: HttpEmbedder
) -> None:
    embedder.embed(["x"])
    server.answers = [None]
    assert embedder.embed(["x"])[0] is not None
    server.answers = [None, None]
    with pytest.raises(BackendError, match="RemoteDisconnected"):
        embedder.embed(["x"])
    assert embedder.embed(["x"])[0] is not None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, b'{"error": {"message": "bad  key"}}'), "401 bad key"),
        ((503, b"<html>busy"), "503 <html>busy"),
        ((400, b'{"error": "no such model"}'), "400 no such model"),
        ((200, b"{}"), "malformed"),
        ((200, b'{"data": []}'), "0 vectors for 1 texts"),
        ((200, b'{"data": [{"embedding": [1, 2]}]}'), "2 dimensions, not 24"),
        ((200, orjson.dumps({"data": [{"embedding": [0] * DIM}]})), "without a direction"),
        ((200, b'{"data": [{"embedding": "***"}]}'), "malformed"),
        ((200, b'{"data": [{"embedding": [[1]]}]}'), "1 vectors for 1 texts"),
    ],
)
def test_answers_that_are_of_no_use(
    server: EmbeddingServer, embedder: HttpEmbedder, answer: tuple[int, bytes], said: str
) -> None:
    server.answers = [answer]
    with pytest.raises(BackendError) as caught:
        embedder.embed(["x"])
    assert said in str(caught.value)
    assert "sk-secret" not in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([200, 200, 500]), st.binary(max_size=40) | st.just(b'{"data":[[]]}'))
def test_garbage_is_a_backend_error(
    server: EmbeddingServer, embedder: HttpEmbedder, status: int, junk: bytes
) -> None:
    server.answers = [(status, junk)]
    with pytest.raises(BackendError):
        embedder.embed(["x"])


def test_nobody_listens() -> None:
    with pytest.raises(BackendError, match="Refused"):
        HttpEmbedder.connect("http://127.0.0.1:9/v1", "m")


@pytest.mark.parametrize("url", ["", "ftp://host/v1", "host/v1"])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError, match="http://"):
        HttpEmbedder(url, "m", dim=3)
