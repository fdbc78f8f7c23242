"""Streams of JSON values: one per line (NDJSON), or the elements of one array.

Sources: github.com/ndjson/ndjson-spec; RFC 8259. The framers only find where values end: parsing
them is the codec's business. Frames are the same however the bytes are cut; nothing here raises.
"""

from __future__ import annotations

import re

from .sse import MAX_FRAME

_BLANK = b" \t\r\n"
_OUTSIDE = re.compile(rb'["{}\[\]]')
_INSIDE = re.compile(rb'["\\]')
_BETWEEN = b" \t\r\n,"


class JsonLines:
    """Lines end in LF or CRLF; blank ones are skipped. A line over MAX_FRAME sets `overflow`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._seen = 0
        self.overflow = False

    def feed(self, data: bytes) -> list[bytes]:
        """Lines completed by `data`, without their ends."""
        if self.overflow:
            return []
        buffer = self._buffer
        buffer += data
        lines: list[bytes] = []
        start = 0
        while (end := buffer.find(b"\n", max(start, self._seen))) >= 0:
            lines.append(bytes(buffer[start:end]))
            start = end + 1
        del buffer[:start]
        self._seen = len(buffer)
        if len(buffer) > MAX_FRAME:
            self.overflow = True
            buffer.clear()
        return [line for line in map(_strip, lines) if line]

    def finish(self) -> list[bytes]:
        """The last line, where the stream ended without a line end."""
        line = _strip(bytes(self._buffer))
        self._buffer.clear()
        self._seen = 0
        return [line] if line else []


def _strip(line: bytes) -> bytes:
    return line.strip(_BLANK)


class JsonElements:
    """The objects and arrays in a top-level array, each as soon as its last bracket is in.

    Anything else between them (a number, text, HTML) is a frame of its own, so that the codec
    sees it. An element over MAX_FRAME sets `overflow`.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scan = 0
        self._depth = 0
        self._opened = False
        self._string = False
        self.overflow = False

    def feed(self, data: bytes) -> list[bytes]:
        """Elements completed by `data`."""
        if self.overflow:
            return []
        self._buffer += data
        frames: list[bytes] = []
        while self._step(frames):
            pass
        if len(self._buffer) > MAX_FRAME:
            self.overflow = True
            self._buffer.clear()
        return frames

    def finish(self) -> list[bytes]:
        """What is left of an element that was cut."""
        rest = bytes(self._buffer).strip(_BETWEEN)
        self._buffer.clear()
        self._scan = 0
        return [rest] if rest and not self.overflow else []

    def _step(self, frames: list[bytes]) -> bool:
        """Handle the next byte that matters. False when there is none yet."""
        buffer = self._buffer
        found = (_INSIDE if self._string else _OUTSIDE).search(buffer, self._scan)
        if found is None:
            self._scan = len(buffer)
            return False
        at, byte = found.start(), found[0]
        if byte == b"\\":
            if at + 1 == len(buffer):
                self._scan = at
                return False
            self._scan = at + 2
            return True
        self._scan = at + 1
        if byte == b'"':
            self._string = not self._string
        elif byte in b"{[":
            self._open(at, byte, frames)
        else:
            self._close(at, frames)
        return True

    def _open(self, at: int, byte: bytes, frames: list[bytes]) -> None:
        if self._depth == 0:
            self._flush(at, frames)
            if byte == b"[" and not self._opened:
                self._opened = True
                self._drop(1)
                return
        self._depth += 1

    def _close(self, at: int, frames: list[bytes]) -> None:
        if self._depth == 0:
            self._flush(at, frames)
            self._drop(1)
            return
        self._depth -= 1
        if self._depth == 0:
            frames.append(bytes(self._buffer[: at + 1]))
            self._drop(at + 1)

    def _flush(self, at: int, frames: list[bytes]) -> None:
        """Emit what stands before `at`, where it is more than a separator."""
        stray = bytes(self._buffer[:at]).strip(_BETWEEN)
        if stray:
            frames.append(stray)
        self._drop(at)

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._scan = max(0, self._scan - count)
