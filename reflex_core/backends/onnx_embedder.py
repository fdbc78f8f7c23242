"""Sentence embeddings from an ONNX model on the CPU.

Measured with bge-small (int8) on 2 cores: one thread per forward pass is as fast as two up to 128
tokens (1.1 ms at 8 tokens, 2.8 at 32, 5.3 at 64, 11 at 128, 25 at 256, 68 at 512), so requests run
beside each other on one thread each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ..errors import BackendError, ConfigError
from ..ports import Embedding, Floats
from ..token_vectors import pack
from .onnx_files import ModelFiles, Pooling

_BATCH = 16
"""Texts per forward pass, where batching is possible at all."""
_LONGEST_TOKEN = 32
"""Characters per token beyond which a text is taken to be over the window without tokenising it."""
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_PROBES = ("Hello?", "What is the weather like in the north today, then?")


@dataclass(frozen=True, slots=True)
class _Tokens:
    ids: list[int]
    content: npt.NDArray[np.bool_]
    """False for special tokens and the prefix: the verifier compares texts only."""


class OnnxEmbedder:
    """The Embedder port over onnxruntime and tokenizers. Thread-safe.

    `dim` cuts vectors to their first components (Matryoshka models); `max_tokens` narrows the
    model's window. Raises BackendError when the files cannot be loaded, ConfigError when what is
    asked for does not fit them.
    """

    real = True

    def __init__(
        self,
        files: ModelFiles,
        *,
        dim: int | None = None,
        max_tokens: int | None = None,
        threads: int = 1,
    ) -> None:
        self._tokenizer = _load_tokenizer(files)
        self._session = _load_session(files, threads)
        self._prefix = files.prefix
        self._prefix_tokens = self._content_length(files.prefix) if files.prefix else 0
        self._inputs = [item.name for item in self._session.get_inputs()]
        unknown = [name for name in self._inputs if name not in _INPUTS]
        if unknown:
            raise ConfigError(f"{files.model}: input {unknown[0]!r} is not supported.")
        self._token_output, pooled_output = _outputs(self._session)
        self._pooling: Pooling = _pooling(files, self._token_output, pooled_output)
        wanted = (self._token_output, pooled_output if self._pooling == "output" else None)
        self._outputs = [name for name in wanted if name]
        self.max_tokens = files.max_tokens
        self._cut: int | None = None
        self.batch = 1
        size = len(self._embed_tokens(self._probes()[:1])[0].vector)
        if dim is not None and not 0 < dim <= size:
            raise ConfigError(f"dimension {dim} is not within the {size} of {files.name}.")
        self._cut = dim if dim != size else None
        self.dim = dim or size
        self.identity = (
            f"{files.name} sha256={files.sha256[:16]} pooling={self._pooling}"
            f" prefix={files.prefix!r} dim={self.dim}"
        )
        self.batch = _BATCH if self._is_batch_invariant() else 1
        self.max_tokens = min(files.max_tokens, max_tokens or files.max_tokens)

    def embed(self, texts: Sequence[str]) -> list[Embedding | None]:
        """None for a text over `max_tokens` or with lone surrogates. Raises BackendError when the model fails."""
        out: list[Embedding | None] = [None] * len(texts)
        encoded = [(n, tokens) for n, text in enumerate(texts) if (tokens := self._encode(text))]
        encoded.sort(key=lambda item: len(item[1].ids))  # little padding
        for start in range(0, len(encoded), self.batch):
            batch = encoded[start : start + self.batch]
            for (n, _), embedding in zip(
                batch, self._embed_tokens([tokens for _, tokens in batch]), strict=True
            ):
                out[n] = embedding
        return out

    def close(self) -> None:
        """Nothing to do: the session goes with the object, which other threads may still use."""

    def _encode(self, text: str) -> _Tokens | None:
        if len(text) > _LONGEST_TOKEN * self.max_tokens:
            return None
        try:
            encoding = self._tokenizer.encode(self._prefix + text)
        except (UnicodeError, TypeError):  # lone surrogates are not text
            return None
        ids = cast(list[int], encoding.ids)
        if not 0 < len(ids) <= self.max_tokens:
            return None
        content = ~np.asarray(encoding.special_tokens_mask, np.bool_)
        content[np.flatnonzero(content)[: self._prefix_tokens]] = False
        return _Tokens(ids, content)

    def _content_length(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _embed_tokens(self, batch: Sequence[_Tokens]) -> list[Embedding]:
        lengths = np.array([len(tokens.ids) for tokens in batch])
        ids = np.zeros((len(batch), lengths.max()), np.int64)
        for row, tokens in zip(ids, batch, strict=True):
            row[: len(tokens.ids)] = tokens.ids
        mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        try:
            found: list[Any] = self._session.run(
                self._outputs, {name: feeds[name] for name in self._inputs}
            )
        except Exception as error:  # onnxruntime's errors have no common base
            raise BackendError(f"embedding failed: {error}") from None
        hidden = found[0] if self._token_output else None
        vectors = found[-1] if self._pooling == "output" else _pool(hidden, lengths, self._pooling)
        vectors = _normalise(np.asarray(vectors, np.float32)[:, : self._cut])
        return [
            Embedding(
                vector,
                b""
                if hidden is None
                else pack(
                    np.asarray(tokens.ids)[tokens.content],
                    hidden[n, : len(tokens.ids)][tokens.content],
                ),
            )
            for n, (tokens, vector) in enumerate(zip(batch, vectors, strict=True))
        ]

    def _probes(self) -> list[_Tokens]:
        return [tokens for text in _PROBES if (tokens := self._encode(text))]

    def _is_batch_invariant(self) -> bool:
        """Whether a text's vector is the same alone and in a batch.

        With dynamic int8 quantisation it is not (one range for the whole batch moves bge-small's
        vectors by up to 0.005 in cosine): such models run text by text.
        """
        probes = self._probes()
        if len(probes) < len(_PROBES):
            return False
        together = self._embed_tokens(probes)
        alone = [self._embed_tokens([tokens])[0] for tokens in probes]
        return all(
            np.allclose(a.vector, b.vector, atol=1e-4) for a, b in zip(together, alone, strict=True)
        )


def _load_tokenizer(files: ModelFiles) -> Any:
    try:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(files.tokenizer))
    except ImportError as error:
        raise BackendError(f"tokenizers is not installed: {error}") from None
    except Exception as error:  # the Rust side raises plain Exception
        raise BackendError(f"{files.tokenizer} cannot be loaded: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _load_session(files: ModelFiles, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(f"onnxruntime is not installed: {error}") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # a proxy must not spin between requests
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            str(files.model), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors have no common base
        raise BackendError(f"{files.model} cannot be loaded: {error}") from None


def _outputs(session: Any) -> tuple[str | None, str | None]:
    """Names of the token output (batch, tokens, dim) and of the pooled one (batch, dim)."""
    ranks = {item.name: len(item.shape) for item in session.get_outputs()}
    tokens = [name for name, rank in ranks.items() if rank == 3]
    pooled = [name for name, rank in ranks.items() if rank == 2]
    for name in ("last_hidden_state", "token_embeddings"):
        if name in tokens:
            tokens = [name]
    if "sentence_embedding" in pooled:
        pooled = ["sentence_embedding"]
    return next(iter(tokens), None), next(iter(pooled), None)


def _pooling(files: ModelFiles, tokens: str | None, pooled: str | None) -> Pooling:
    pooling = files.pooling or ("output" if pooled == "sentence_embedding" else "mean")
    if pooling == "output" and pooled is None:
        raise ConfigError(f"{files.model} has no pooled output.")
    if pooling != "output" and tokens is None:
        raise ConfigError(f"{files.model} has no token output for {pooling} pooling.")
    return pooling


def _pool(hidden: Any, lengths: npt.NDArray[np.int64], pooling: Pooling) -> Floats:
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "last":
        return hidden[np.arange(len(lengths)), lengths - 1]
    mask = (np.arange(hidden.shape[1]) < lengths[:, None])[:, :, None]
    if pooling == "max":
        return np.where(mask, hidden, -np.inf).max(axis=1)
    return (hidden * mask).sum(axis=1) / lengths[:, None]


def _normalise(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or not norms.all():
        raise BackendError("the model gave a vector without a direction")
    return vectors / norms
