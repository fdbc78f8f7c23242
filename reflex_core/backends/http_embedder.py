"""Sentence embeddings from an OpenAI-compatible /v1/embeddings endpoint.

https://platform.openai.com/docs/api-reference/embeddings/create; llama.cpp, vLLM, TEI, LM Studio and
Ollama serve the same. http.client of the standard library: the calls come from worker threads, two at
most, so an asynchronous client or a pool would only add weight.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import ssl
import threading
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import urlsplit

import numpy as np
import orjson

from ..errors import BackendError, ConfigError
from ..ports import Embedding, Floats

_BATCH = 64
_MAX_ANSWER = 64 * 1024 * 1024
_BYTES_PER_TOKEN = 3
"""Lower than any usual text has: a text within this bound is within the window for certain."""


class HttpEmbedder:
    """The Embedder port. Makes no token vectors: the verifier has the cosine and the texts.

    `base_url` goes up to, and with, the version. Servers cut texts over their window without a word,
    so those that may be over `max_tokens` are not sent. Thread-safe; every thread keeps a connection.
    """

    real = True
    batch = _BATCH

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        dim: int,
        api_key: str | None = None,
        ask_dim: bool = False,
        max_tokens: int = 512,
        timeout: float = 10.0,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{base_url}: must be an http:// or https:// URL.")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path.rstrip("/") + "/embeddings"
        self._model = model
        self._ask_dim = ask_dim
        self._timeout = timeout
        self._headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[http.client.HTTPConnection] = []
        self.max_tokens = max_tokens
        self.dim = dim
        self.identity = f"{parts.netloc.rpartition('@')[2]}{self._path} model={model} dim={dim}"

    @classmethod
    def connect(
        cls,
        base_url: str,
        model: str,
        *,
        dim: int | None = None,
        api_key: str | None = None,
        max_tokens: int = 512,
        timeout: float = 10.0,
    ) -> HttpEmbedder:
        """Asks the endpoint for the dimension where none is given; a given one is asked for.

        Raises BackendError when the endpoint does not answer.
        """

        def make(size: int) -> HttpEmbedder:
            return cls(
                base_url,
                model,
                dim=size,
                api_key=api_key,
                ask_dim=dim is not None,
                max_tokens=max_tokens,
                timeout=timeout,
            )

        if dim is not None:
            return make(dim)
        probe = make(0)
        try:
            return make(len(probe._ask(["probe"])[0]))
        finally:
            probe.close()

    def embed(self, texts: Sequence[str]) -> list[Embedding | None]:
        """None for a text that is empty or may be over `max_tokens`. Raises BackendError."""
        out: list[Embedding | None] = [None] * len(texts)
        within = [n for n, text in enumerate(texts) if self._fits(text)]
        for start in range(0, len(within), _BATCH):
            batch = within[start : start + _BATCH]
            vectors = self._ask([texts[n] for n in batch])
            for n, vector in zip(batch, vectors, strict=True):
                if len(vector) != self.dim:
                    raise BackendError(
                        f"the endpoint gave {len(vector)} dimensions, not {self.dim}"
                    )
                norm = np.linalg.norm(vector)
                if not np.isfinite(norm) or not norm:
                    raise BackendError("the endpoint gave a vector without a direction")
                out[n] = Embedding(vector / norm, b"")
        return out

    def close(self) -> None:
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()

    def _fits(self, text: str) -> bool:
        try:
            return 0 < len(text.encode()) <= self.max_tokens * _BYTES_PER_TOKEN
        except UnicodeEncodeError:  # lone surrogates are not text
            return False

    # ------------------------------------------------------------------ the wire

    def _ask(self, texts: list[str]) -> list[Floats]:
        body: dict[str, Any] = {"model": self._model, "input": texts, "encoding_format": "float"}
        if self._ask_dim:
            body["dimensions"] = self.dim
        try:
            status, answer = self._post(orjson.dumps(body))
        except (OSError, http.client.HTTPException) as error:
            raise BackendError(
                f"embeddings from {self._host}: {type(error).__name__} {error}"
            ) from None
        if status != 200:
            raise BackendError(f"embeddings from {self._host}: {status} {_message(answer)}")
        return _vectors(answer, len(texts))

    def _post(self, body: bytes) -> tuple[int, bytes]:
        """One answer; tries again once where a kept connection turns out to be closed."""
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is not None and connection.sock is not None:
            try:
                return self._exchange(connection, body)
            except (http.client.RemoteDisconnected, ConnectionError):
                pass
        if connection is None:
            connection = self._local.connection = self._new_connection()
        return self._exchange(connection, body)

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes) -> tuple[int, bytes]:
        try:
            connection.request("POST", self._path, body, self._headers)
            response = connection.getresponse()
            answer = response.read(_MAX_ANSWER + 1)
        except BaseException:
            connection.close()
            raise
        if len(answer) > _MAX_ANSWER:
            connection.close()
            raise BackendError(f"embeddings from {self._host}: the answer is too large")
        return response.status, answer

    def _new_connection(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, context=context
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        with self._lock:
            self._connections.append(connection)
        return connection


def _vectors(answer: bytes, count: int) -> list[Floats]:
    """`data[*].embedding`, in the order of `index`: lists of numbers, or base64 of float32."""
    try:
        rows = cast(list[dict[str, Any]], orjson.loads(answer)["data"])
        rows = sorted(rows, key=lambda row: row.get("index", 0))
        vectors = [_vector(row["embedding"]) for row in rows]
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error) as error:
        raise BackendError(f"the endpoint's answer is malformed: {error!r}") from None
    if len(vectors) != count or any(vector.ndim != 1 for vector in vectors):
        raise BackendError(f"the endpoint gave {len(vectors)} vectors for {count} texts")
    return vectors


def _vector(value: Any) -> Floats:
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value, validate=True), "<f4").astype(np.float32)
    return np.array(value, np.float32)


def _message(answer: bytes) -> str:
    """What the endpoint says went wrong, shortened."""
    try:
        error = orjson.loads(answer)["error"]
        text = error["message"] if isinstance(error, dict) else error
    except (ValueError, TypeError, KeyError):
        text = answer.decode("utf-8", "replace")
    return " ".join(str(text).split())[:200]
