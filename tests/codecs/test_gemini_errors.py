"""Google's errors in OpenAI's terms; recorded ones are in test_gemini.py."""

from __future__ import annotations

from typing import Any

import pytest

from reflex_core.codecs.gemini import CODEC


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (503, b"upstream connect error", (503, "upstream connect error", None, 9)),
        (500, b'{"error": "x"}', (500, "x", None, 9)),
        (403, b'[{"error": {"code": 403, "message": "m", "status": "PERMISSION_DENIED"}}]',
         (403, "m", "permission_denied", 9)),
        (429, b'{"error": {"message": "m", "details": [{"retryDelay": "1.5s"}]}}',
         (429, "m", "rate_limit_exceeded", 1.5)),
        (429, b'{"error": {"message": "m", "details": [{"retryDelay": "soon"}, 3]}}',
         (429, "m", "rate_limit_exceeded", 9)),
        (
            400,
            b'{"error": {"message": "m", "details": [{"reason": "API_KEY_INVALID"}]}}',
            (401, "m", "invalid_api_key", 9),
        ),
        (
            404,
            b'{"error": {"message": "models/x is not found", "status": "NOT_FOUND"}}',
            (404, "models/x is not found", "model_not_found", 9),
        ),
        (
            400,
            b'{"error": {"message": "The input token count (9) exceeds the maximum"}}',
            (400, "The input token count (9) exceeds the maximum", "context_length_exceeded", 9),
        ),
        (404, b'{"error": {"message": "Cached content not found", "status": "NOT_FOUND"}}',
         (404, "Cached content not found", "not_found", 9)),
    ],
)  # fmt: skip
def test_http_errors(status: int, body: bytes, expected: tuple[Any, ...]):
    error = CODEC.decode_error(status, {"retry-after": "9"}, body)
    assert (error.status, error.message, error.code, error.retry_after) == expected
