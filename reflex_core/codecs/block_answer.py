"""An answer made of content blocks, as Claude and Converse stream it, into events.

Blocks have a key (their index), are opened, grow and are closed; several may be open at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from ..types import (
    Annotations,
    Event,
    Extra,
    Finish,
    FinishReason,
    Json,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
)

Kind = Literal["text", "call", "output", "other"]


@dataclass(slots=True)
class _Block:
    kind: Kind
    start: int
    """Characters of the answer's text before this block."""
    call: int = 0
    whole: Any = None
    """A tool's input that came with the block's start."""
    wrote: bool = False
    citations: list[Json] = field(default_factory=list[Json])


class BlockAnswer:
    """Builds the events of one single-choice answer.

    `output_tool` names the tool whose input is the answer itself (see `claude_params.Output`): its
    calls become text.
    """

    def __init__(self, output_tool: str | None) -> None:
        self._output_tool = output_tool
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._length = 0
        self.finished = False

    def open(self, key: int, kind: Kind) -> None:
        """Start a block that is no tool call. "other" ones are not for the client."""
        self._blocks[key] = _Block(kind, self._length)

    def open_call(self, key: int, id: str, name: str, whole: Any = None) -> list[Event]:
        """Start a tool call; `whole` is its input where it came at once."""
        if name == self._output_tool:
            self._blocks[key] = _Block("output", self._length, whole=whole)
            return []
        call, self._calls = self._calls, self._calls + 1
        self._blocks[key] = _Block("call", self._length, call, whole)
        return [ToolCallStart(call, id or f"call_{call}", name)]

    def text(self, key: int, text: str) -> list[Event]:
        """Text of a block; a block that was never opened is one of text."""
        if key not in self._blocks:
            self.open(key, "text")
        if not text or self._blocks[key].kind != "text":
            return []
        self._length += len(text)
        return [TextDelta(text)]

    def reasoning(self, text: str) -> list[Event]:
        return [ReasoningDelta(text)] if text else []

    def arguments(self, key: int, piece: str) -> list[Event]:
        """A piece of a tool call's JSON text."""
        block = self._blocks.get(key)
        if block is None or not piece:
            return []
        if block.kind == "output":
            block.wrote = True
            self._length += len(piece)
            return [TextDelta(piece)]
        if block.kind == "call":
            block.wrote = True
            return [ToolCallDelta(block.call, piece)]
        return []

    def cite(self, key: int, citation: Json) -> None:
        """Keep a citation until the end of the block's text is known."""
        if key not in self._blocks:
            self.open(key, "text")
        self._blocks[key].citations.append(citation)

    def close(self, key: int) -> list[Event]:
        """End a block: arguments that never came, then what it cites."""
        block = self._blocks.pop(key, None)
        if block is None:
            return []
        events: list[Event] = []
        if block.kind in ("call", "output") and not block.wrote:
            text = orjson.dumps(block.whole if block.whole is not None else {}).decode()
            self._blocks[key] = block
            events += self.arguments(key, text)
            del self._blocks[key]
        return events + _citations(block, self._length)

    def refusal(self, text: str | None) -> list[Event]:
        return [RefusalDelta(text)] if text else []

    def finish(self, reason: FinishReason) -> list[Event]:
        """Close what is open and end the answer. "tool_calls" without a call is "stop"."""
        events = [event for key in sorted(self._blocks) for event in self.close(key)]
        if reason == "tool_calls" and not self._calls:
            reason = "stop"
        self.finished = True
        return [*events, Finish(reason)]


def _citations(block: _Block, end: int) -> list[Event]:
    """Citations of web pages as OpenAI's url_citation, others as the extra field `citations`."""
    urls: list[Json] = []
    others: list[Json] = []
    for citation in block.citations:
        url = _url(citation)
        if url is None:
            others.append(citation)
            continue
        title = citation.get("title")
        where = {"start_index": block.start, "end_index": end}
        cited = {**where, "url": url, "title": title if isinstance(title, str) else url}
        urls.append({"type": "url_citation", "url_citation": cited})
    events: list[Event] = []
    if urls:
        events.append(Annotations(tuple(urls)))
    if others:
        events.append(Extra({"citations": others}, 0))
    return events


def _url(citation: Mapping[str, Any]) -> str | None:
    """The page's address: Anthropic has `url`, Converse `location.web.url`."""
    url = citation.get("url")
    location = citation.get("location")
    if url is None and isinstance(location, dict) and isinstance(location.get("web"), dict):
        url = location["web"].get("url")
    return url if isinstance(url, str) and url else None
