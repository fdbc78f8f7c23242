"""Which embedder, index and verifier the semantic tier is made of."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .backends.bit_index import BitIndex
from .backends.http_embedder import HttpEmbedder
from .backends.onnx_embedder import OnnxEmbedder
from .backends.onnx_files import Pooling, bundled_model, model_directory
from .errors import BackendError, ConfigError
from .ports import Embedder, Verifier
from .semantic_types import Parts

if TYPE_CHECKING:
    from .backends.usearch_index import UsearchIndex

logger = logging.getLogger("reflex")

BUNDLED = "bundled"
INDEX_NAME = "reflex.index"
GRAPH_NAME = "reflex.usearch"


@dataclass(frozen=True, slots=True)
class EmbedderChoice:
    """What the user said of the embedder; None where the model's own files or the endpoint decide."""

    source: str = BUNDLED
    """`bundled`, a folder with an ONNX model, or the base URL of an OpenAI-compatible endpoint."""
    model: str = ""
    """For an endpoint."""
    api_key: str | None = None
    dim: int | None = None
    pooling: Pooling | None = None
    prefix: str | None = None
    max_tokens: int = 128
    """Longer questions are left to the exact tier. 128 take 11 ms with the bundled model."""
    timeout: float = 10.0
    """Of an endpoint, in seconds."""


def open_embedder(choice: EmbedderChoice) -> Embedder | None:
    """None, and a line in the log, where the bundled model is not there.

    Raises ConfigError for a choice that cannot work, BackendError for one that does not work now.
    """
    if choice.source.startswith(("http://", "https://")):
        if not choice.model:
            raise ConfigError("An embedding endpoint needs the name of its model.")
        return HttpEmbedder.connect(
            choice.source,
            choice.model,
            dim=choice.dim,
            api_key=choice.api_key,
            max_tokens=choice.max_tokens,
            timeout=choice.timeout,
        )
    if choice.source != BUNDLED:
        folder = Path(choice.source).expanduser()
        files = model_directory(folder, pooling=choice.pooling, prefix=choice.prefix)
        return OnnxEmbedder(files, dim=choice.dim, max_tokens=choice.max_tokens)
    try:
        return OnnxEmbedder(bundled_model(), dim=choice.dim, max_tokens=choice.max_tokens)
    except BackendError as error:
        logger.warning("reflex: similar questions are not answered from the store: %s", error)
        return None


def open_parts(
    choice: EmbedderChoice,
    folder: Path,
    *,
    capacity: int,
    verifier: Callable[[Embedder], Verifier | None],
    graph: bool = False,
) -> Parts | None:
    """Everything loaded, the index from its file in `folder`. Raises as `open_embedder`.

    `verifier` makes the one that goes with the embedder, or None to let the cosine decide. `graph`:
    neighbours come from usearch's graph, not from comparing the whole scope.
    """
    embedder = open_embedder(choice)
    if embedder is None:
        return None
    index = _index(embedder, folder, capacity, graph)
    if index.found not in ("loaded", "missing"):
        logger.warning("reflex: the semantic index is rebuilt: %s", index.found)
    return Parts(embedder, index, verifier(embedder))


def _index(embedder: Embedder, folder: Path, capacity: int, graph: bool) -> BitIndex | UsearchIndex:
    if not graph:
        path = folder / INDEX_NAME
        return BitIndex(embedder.dim, embedder.identity, capacity=capacity, path=path)
    from .backends.usearch_index import UsearchIndex

    path = folder / GRAPH_NAME
    return UsearchIndex(embedder.dim, embedder.identity, capacity=capacity, path=path)
