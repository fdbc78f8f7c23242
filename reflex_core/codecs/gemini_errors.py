"""Google's errors in OpenAI's terms.

Source: google.rpc.Status with ErrorInfo and RetryInfo (cloud.google.com/apis/design/errors),
ai.google.dev/gemini-api/docs/troubleshooting.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ApiError
from ..types import Json
from .common import error_object, http_error, parse_json, retry_after
from .loose import items, obj, text


def http(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """An HTTP error answer; that to a stream is a list of one error."""
    value = parse_json(body)
    value = obj((items(value) or [value])[0])
    if not isinstance(value.get("error"), dict):
        return http_error(status, headers, body)
    error = rpc(value, status)
    if error.retry_after is None:
        error.retry_after = retry_after(headers)
    return error


def rpc(value: Json, status: int) -> ApiError:
    """`{"error": {code, message, status, details}}`, also in the middle of a stream."""
    said = error_object(value, status)
    fields = obj(value.get("error"))
    details = [obj(detail) for detail in items(fields.get("details"))]
    reasons = {text(detail.get("reason")) for detail in details}
    if status == 400 and "API_KEY_INVALID" in reasons:
        status = 401
    code = said.code if said.code == "context_length_exceeded" else None
    if code is None and status == 401:
        code = "invalid_api_key"
    elif code is None and status == 404 and "model" in said.message.lower():
        code = "model_not_found"
    elif code is None and status == 429:
        code = "rate_limit_exceeded"
    return ApiError(
        status,
        said.message,
        code=code or (text(fields.get("status")) or "").lower() or None,
        retry_after=next((d for d in map(_delay, details) if d is not None), None),
    )


def _delay(detail: Json) -> float | None:
    """RetryInfo: `"retryDelay": "48.5s"`."""
    value = text(detail.get("retryDelay")) or ""
    try:
        seconds = float(value.removesuffix("s"))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e9 else None
