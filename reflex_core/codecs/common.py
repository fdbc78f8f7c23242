"""What several codecs share: lenient JSON, Retry-After, and errors in OpenAI's shape."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any, cast

import orjson

from ..errors import ApiError
from ..types import Json

MAX_MESSAGE = 2000
"""Characters of an error message; some providers repeat the whole prompt in it."""
MAX_DEPTH = 200
"""Deeper values are refused: orjson cannot write more than 254 levels."""

_INT64 = 2**63
_CONTEXT = re.compile(
    r"maximum context length|context (?:window|length|size)|prompt (?:is )?too long"
    r"|too many (?:prompt )?tokens|too_many_prompt_tokens|total length of all messages"
    r"|input tokens? (?:count|exceed)",
    re.IGNORECASE,
)


# --------------------------------------------------------------------------- JSON


def parse_json(data: bytes | bytearray) -> Any:
    """The value of JSON text, None when it is none (or is nested too deeply to be written again).

    What orjson refuses but providers send is mended: lone surrogates become U+FFFD, NaN and
    Infinity None, integers over 64 bits floats. The result can always be written with orjson.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            value = _mend(json.loads(bytes(data).decode("utf-8", "replace")), 0)
        except (ValueError, RecursionError):
            return None
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _too_deep(value):
        return None
    return value


def parse_object(data: bytes | bytearray) -> Json | None:
    """`parse_json` where only an object will do."""
    value = parse_json(data)
    return cast(Json, value) if isinstance(value, dict) else None


def integer(value: Any) -> int | None:
    """A JSON number as an integer; None for anything else (True, 1e400, text)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value)


def _mend(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case float():
            return value if math.isfinite(value) else None
        case bool() | None:
            return value
        case int():
            return value if -_INT64 <= value < _INT64 else _as_float(value)
        case list():
            return [_mend(item, depth + 1) for item in cast(list[Any], value)]
        case _:
            items = cast(Json, value).items()
            return {_mend(name, depth): _mend(item, depth + 1) for name, item in items}


def _as_float(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(cast(Json, item).values())
            elif isinstance(item, list):
                below.extend(cast(list[Any], item))
        if not below:
            return False
        level = below
    return True


# --------------------------------------------------------------------------- errors


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after` (RFC 9110, 10.2.3).

    A date is measured against the answer's own `date` header, so that wrong clocks do not matter,
    else against `now` (unix seconds). None when nothing usable is there. Names are lower case.
    """
    millis = _seconds(headers.get("retry-after-ms"))
    if millis is not None:
        return millis / 1000
    value = headers.get("retry-after")
    seconds = _seconds(value)
    if seconds is not None or value is None:
        return seconds
    until, since = _date(value), _date(headers.get("date")) or now
    return None if until is None or since is None else max(0.0, until - since)


def _seconds(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _date(value: str | None) -> float | None:
    try:
        return parsedate_to_datetime(value or "").timestamp()
    except (ValueError, OverflowError):
        return None


def sanitise(body: bytes) -> str:
    """Text of a body that is no JSON, fit for an error message: no tags, one line, cut."""
    text = body[: 16 * MAX_MESSAGE].decode("utf-8", "replace")
    if re.search(r"<(?:!doctype|html|head|body)\b", text, re.IGNORECASE):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        text = title[1] if title else re.sub(r"(?s)<(script|style)\b.*?</\1>|<[^>]*>", " ", text)
        text = unescape(text)
    return _one_line(text)


def _one_line(text: str) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def http_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """An HTTP error answer in OpenAI's terms, whatever its shape.

    Known shapes: `{"error": {message, type, param, code}}`, `{"error": "text"}`, the same fields
    at the top level, `{"detail": "text" | [{loc, msg}]}`, a list of one such object, text, HTML.
    """
    value = parse_json(body)
    if isinstance(value, list) and value:
        value = cast(list[Any], value)[0]
    if isinstance(value, dict):
        error = error_object(cast(Json, value), status)
    else:
        text = value if isinstance(value, str) else sanitise(body)
        error = ApiError(status, _one_line(text) or f"The provider answered with status {status}.")
    error.retry_after = retry_after(headers)
    return error


def error_object(value: Json, status: int) -> ApiError:
    """`http_error` for an object that has been parsed, as in mid-stream errors."""
    inner = value.get("error")
    fields = cast(Json, inner) if isinstance(inner, dict) else value
    message = inner if isinstance(inner, str) else _message(fields)
    message = _one_line(message) or f"The provider answered with status {status}."
    code = _text(fields.get("code")) or _text(fields.get("error_type"))
    kind = _text(fields.get("type"))
    if status in (400, 413, 422) and _CONTEXT.search(f"{message} {kind} {code}"):
        code = "context_length_exceeded"
    return ApiError(
        status,
        message,
        type=kind if kind != "error" else None,
        param=_text(fields.get("param")),
        code=code,
    )


def cut_answer() -> ApiError:
    """For a stream that ended before its answer did."""
    message = "The provider's stream ended before the answer was complete."
    return ApiError(502, message, code="upstream_closed")


def bad_answer(detail: str) -> ApiError:
    """For bytes that are not what the protocol promises; `detail` says what they are."""
    return ApiError(502, f"The provider's answer makes no sense: {detail}", code="upstream_invalid")


_STATUS_OF = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "overloaded_error": 503,
}


def error_status(value: Json, default: int = 500) -> int:
    """The HTTP status that an error object itself names, by number or by a known type or code."""
    inner = value.get("error")
    for fields in (inner, value):
        if isinstance(fields, dict):
            for name in ("code", "status_code", "status"):
                number = cast(Json, fields).get(name)
                if isinstance(number, str) and number.isdecimal() and len(number) == 3:
                    number = int(number)
                if type(number) is int and 400 <= number <= 599:
                    return number
    for fields in (inner, value):
        if isinstance(fields, dict):
            for name in ("code", "type"):
                known = _STATUS_OF.get(str(cast(Json, fields).get(name)))
                if known:
                    return known
    return default


def _message(fields: Json) -> str:
    message = fields.get("message") or fields.get("detail") or fields.get("msg")
    if isinstance(message, list):
        message = "; ".join(map(_detail, cast(list[Any], message)))
    elif isinstance(message, dict):
        message = _message(cast(Json, message)) or orjson.dumps(message).decode()
    text = message if isinstance(message, str) else ""
    return text + _upstream(fields.get("metadata"), text)


def _detail(item: Any) -> str:
    """One entry of FastAPI's `detail` list: where, then what."""
    if not isinstance(item, dict):
        return str(item)
    fields = cast(Json, item)
    where = fields.get("loc")
    what = _text(fields.get("msg")) or orjson.dumps(fields).decode()
    return f"{'.'.join(map(str, cast(list[Any], where)))}: {what}" if where else what


def _upstream(metadata: Any, said: str) -> str:
    """OpenRouter says "Provider returned error"; the reason is in `metadata`."""
    if not isinstance(metadata, dict):
        return ""
    fields = cast(Json, metadata)
    raw = fields.get("raw")
    if not isinstance(raw, str) or not raw or raw in said:
        return ""
    name = _text(fields.get("provider_name"))
    return f": {name}: {raw}" if name else f": {raw}"


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    return str(value) if type(value) is int else None
