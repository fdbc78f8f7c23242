"""The fault matrix: each fault test says what it saw, and docs/faults.md must say the same.

With REFLEX_FAULTS=FOLDER rows are written there instead, for scripts/make_fault_matrix.py.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from .provider import Answer, Received, sse
from .speech import completion, text_frames

SSE = {"content-type": "text/event-stream"}
PAGE = Path(__file__).parents[2] / "docs" / "faults.md"

TABLES: dict[str, tuple[str, ...]] = {
    "Before the first token": (
        "fault",
        "a client alone",
        "several clients",
        "with a fallback",
        "with an expired answer and `reflex_stale_if_error`",
    ),
    "After the first token": (
        "fault",
        "streaming client",
        "JSON client",
        "equal request afterwards",
        "where the provider can continue",
    ),
    "Clients": ("what they do", "upstream call", "other clients", "equal request afterwards"),
    "The proxy": ("fault", "open answers", "what is stored"),
}
"""Columns. The first is the name of the fault, which the test gives."""


def line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def record(table: str, *cells: str) -> None:
    """One row of the matrix, as it was seen."""
    assert len(cells) == len(TABLES[table])
    folder = os.environ.get("REFLEX_FAULTS")
    if folder:
        row = json.dumps({"table": table, "cells": cells})
        (Path(folder) / f"{uuid.uuid4().hex}.json").write_text(row)
        return
    page = PAGE.read_text() if PAGE.exists() else ""
    assert line(cells) in page, "docs/faults.md is not current: run make_fault_matrix.py"


# ---------------------------------------------------------------------- providers that fail

GOOD = text_frames("It ", "works.")
TEXT = "It works."


def never(piece: int) -> bool:
    """A gate that stays closed."""
    return False


def refused(status: int, code: str, **headers: str) -> Answer:
    error = {"message": "No.", "type": "some_error", "param": None, "code": code}
    return Answer([json.dumps({"error": error}).encode()], status=status, headers=headers)


def good(request: Received, rest: bool = False) -> Answer:
    """TEXT, or its second half only, in the dialect of the request's path."""
    words = ["works."] if rest else ["It ", "works."]
    if request.path.endswith("/messages"):
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "c"}
        message |= {"usage": {"input_tokens": 9, "output_tokens": 3}, "stop_reason": None}
        start = {"type": "content_block_start", "index": 0}
        delta = {"type": "content_block_delta", "index": 0}
        events = [
            {"type": "message_start", "message": {**message, "content": []}},
            {**start, "content_block": {"type": "text", "text": ""}},
            *[{**delta, "delta": {"type": "text_delta", "text": word}} for word in words],
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
            {"type": "message_stop"},
        ]
        return Answer(sse(*events, done=False), headers=SSE)
    if request.json.get("stream"):
        return Answer(text_frames(*words), headers=SSE)
    return Answer([json.dumps(completion({"content": TEXT})).encode()])
