"""A request in a few words."""

from __future__ import annotations

from typing import Any, cast

from ..types import Json
from .diff import mask

LONGEST = 240
"""Characters."""


def question_of(body: Json) -> str:
    """The last message's text, on one line, without secrets and not longer than LONGEST."""
    messages = body.get("messages")
    last: Any = cast(list[Any], messages)[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, dict):
        return "(no messages)"
    fields = cast(Json, last)
    text = _text(fields.get("content"))
    role = fields.get("role")
    if role != "user":
        text = f"({role}) {text}"
    return shorten(text)


def shorten(text: str) -> str:
    # Masked before it is cut, so that no half of a secret is left.
    line = " ".join(mask(text[: LONGEST * 40]).split())
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    words: list[str] = []
    for part in cast(list[Any], content):
        fields = cast(Json, part) if isinstance(part, dict) else {}
        text = fields.get("text")
        words.append(text if isinstance(text, str) else f"[{fields.get('type', '?')}]")
    return " ".join(words)
