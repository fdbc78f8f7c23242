"""Message content -> typed parts."""

from __future__ import annotations

import re
from typing import Any, NoReturn, cast

from .errors import BadRequest
from .types import AudioPart, FilePart, ImagePart, Json, Part, TextPart

_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^;,]+=[^;,]*)*;base64,", re.ASCII)


def parts(value: Any, path: str, role: str) -> tuple[Part, ...]:
    """The parts of a `content` value: a string, an array of parts or null."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (TextPart(value),) if value or role != "assistant" else ()
    if not isinstance(value, list):
        _fail(path, "expected a string or an array of content parts.")
    return tuple(_part(item, f"{path}[{i}]", role) for i, item in enumerate(cast(list[Any], value)))


def _fail(path: str, message: str) -> NoReturn:
    raise BadRequest(f"Invalid '{path}': {message}", param=path, code="invalid_value")


def _part(value: Any, path: str, role: str) -> Part:
    if not isinstance(value, dict):
        _fail(path, "expected an object.")
    body = cast(Json, value)
    kind = body.get("type")
    if kind == "text":
        return TextPart(_need(body, "text", path))
    if kind == "refusal":
        return TextPart(_need(body, "refusal", path))
    if role != "user" and kind in ("image_url", "input_audio", "file"):
        _fail(path, f"{kind} parts belong in user messages.")
    match kind:
        case "image_url":
            return _image(body.get("image_url"), f"{path}.image_url")
        case "input_audio":
            return _audio(body.get("input_audio"), f"{path}.input_audio")
        case "file":
            return _file(body.get("file"), f"{path}.file")
        case _:
            _fail(f"{path}.type", f"unknown content part type {kind!r}.")


def _need(body: Json, name: str, path: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        _fail(f"{path}.{name}", "expected a string.")
    return value


def data_url(url: str) -> tuple[str, str] | None:
    """(media type, base64 data) of a base64 data URL (RFC 2397), else None."""
    match = _DATA_URL.match(url)
    if match is None:
        return None
    return match[1] or "text/plain", url[match.end() :]


def _image(value: Any, path: str) -> ImagePart:
    if isinstance(value, str):
        value = {"url": value}
    if not isinstance(value, dict):
        _fail(path, "expected an object.")
    body = cast(Json, value)
    url = _need(body, "url", path)
    detail = body.get("detail") if isinstance(body.get("detail"), str) else None
    if url.startswith("data:"):
        parsed = data_url(url)
        if parsed is None:
            _fail(f"{path}.url", "the data URL is not base64.")
        return ImagePart(media_type=parsed[0], data=parsed[1], detail=detail)
    if not url.startswith(("http://", "https://", "gs://", "s3://")):
        _fail(f"{path}.url", "expected an http(s) or data URL.")
    return ImagePart(url=url, detail=detail)


def _audio(value: Any, path: str) -> AudioPart:
    if not isinstance(value, dict):
        _fail(path, "expected an object.")
    body = cast(Json, value)
    return AudioPart(_need(body, "data", path), _need(body, "format", path))


def _file(value: Any, path: str) -> FilePart:
    if not isinstance(value, dict):
        _fail(path, "expected an object.")
    body = cast(Json, value)
    filename = body.get("filename") if isinstance(body.get("filename"), str) else None
    if body.get("file_id") is not None:
        return FilePart(file_id=_need(body, "file_id", path), filename=filename)
    data = _need(body, "file_data", path)
    parsed = data_url(data)
    if parsed is not None:
        return FilePart(filename=filename, media_type=parsed[0], data=parsed[1])
    return FilePart(filename=filename, media_type=_guess(filename), data=data)


def _guess(filename: str | None) -> str:
    ending = (filename or "").rpartition(".")[2].lower()
    return {
        "pdf": "application/pdf",
        "txt": "text/plain",
        "md": "text/markdown",
        "csv": "text/csv",
        "html": "text/html",
        "json": "application/json",
        "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    }.get(ending, "application/pdf")
