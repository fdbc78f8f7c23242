"""Where an answer of Gemini comes from, as OpenAI's `url_citation` annotations.

Source: `groundingMetadata` and `citationMetadata` of ai.google.dev/api/generate-content and of
Vertex AI. Grounded segments are counted in bytes of UTF-8; OpenAI counts characters.
"""

from __future__ import annotations

from typing import Any

from ..types import Json
from .loose import count, items, obj, text


def citations(metadata: Any) -> list[Json]:
    """Sources that were recited: `citationSources` in AI Studio, `citations` in Vertex."""
    fields = obj(metadata)
    found = items(fields.get("citationSources")) or items(fields.get("citations"))
    return [
        _citation(uri, source.get("title"), source.get("startIndex"), source.get("endIndex"))
        for source in map(obj, found)
        if (uri := text(source.get("uri")))
    ]


def grounding(metadata: Any, answer: str) -> list[Json]:
    """One annotation for each web page that a segment of `answer` rests on."""
    fields = obj(metadata)
    pages = [obj(obj(chunk).get("web")) for chunk in items(fields.get("groundingChunks"))]
    raw = answer.encode("utf-8", "replace")
    out: list[Json] = []
    for support in map(obj, items(fields.get("groundingSupports"))):
        start, end = _span(obj(support.get("segment")), answer, raw)
        for at in items(support.get("groundingChunkIndices")):
            page = pages[at] if isinstance(at, int) and 0 <= at < len(pages) else {}
            if uri := text(page.get("uri")):
                out.append(_citation(uri, page.get("title"), start, end))
    return out


def _span(segment: Json, answer: str, raw: bytes) -> tuple[int, int]:
    """Characters of the segment: by its bytes where they fit its text, else where the text is."""
    start, end = count(segment.get("startIndex")) or 0, count(segment.get("endIndex")) or 0
    said = text(segment.get("text")) or ""
    if not said or raw[start:end] == said.encode("utf-8", "replace"):
        before = raw[:start].decode("utf-8", "ignore")
        return len(before), len(before) + len(raw[start:end].decode("utf-8", "ignore"))
    at = answer.find(said)
    return (at, at + len(said)) if at >= 0 else (0, len(answer))


def _citation(uri: str, title: Any, start: Any, end: Any) -> Json:
    link = {
        "url": uri,
        "title": text(title) or uri,
        "start_index": count(start) or 0,
        "end_index": count(end) or 0,
    }
    return {"type": "url_citation", "url_citation": link}
