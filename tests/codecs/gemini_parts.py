"""What the tests of Gemini's codec share."""

from __future__ import annotations

from typing import Any

import orjson

from reflex_core.codecs.gemini import CODEC
from reflex_core.types import Event
from tests.codecs.oracle_contract import (
    chat_request,
    check_events,
    same_however_cut,
    target_for,
)

PROTOCOL = "gemini-generate"
TARGET = target_for("gemini", model="gemini-2.5-flash", base_url="https://g.test/v1beta")
STREAM, WHOLE = chat_request(True), chat_request(False)


def decoded(body: bytes, stream: bool) -> list[Event]:
    """The events of a body, after checking what every decoder keeps."""
    if stream:
        return same_however_cut(CODEC, STREAM, TARGET, body)
    events = CODEC.decode_json(WHOLE, TARGET, body)
    check_events(events)
    return events


def chunk(*, finish: Any = None, parts: Any = None, **fields: Any) -> bytes:
    """One event of a stream, with one candidate."""
    candidate: dict[str, Any] = {"content": {"parts": parts or []}, **fields}
    if finish is not None:
        candidate["finishReason"] = finish
    return b"data: " + orjson.dumps({"candidates": [candidate]}) + b"\r\n\r\n"
