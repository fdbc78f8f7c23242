"""Server-sent events: bytes to frames and back.

Source: WHATWG HTML, 9.2 "Server-sent events". Lines end in CR, LF or CRLF only (never U+2028);
one BOM at the very start is skipped; several `data` lines join with LF. Frames here are bytes:
decoding and parsing their data is the codec's business.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_FRAME = 64 * 1024 * 1024
"""A frame larger than this (bytes) is taken for garbage: `SSEParser.feed` drops it and sets `overflow`."""

BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Frame:
    """One event. `data` is None for a frame that only has comments or unknown fields."""

    event: str | None = None
    data: bytes | None = None
    comments: tuple[bytes, ...] = ()
    other: tuple[bytes, ...] = ()
    """Lines that are no SSE field (a bare JSON object, `error: {...}`): some providers put failures there."""


class SSEParser:
    """Incremental parser. The frames are the same however the bytes are cut; it never raises."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._seen = 0
        self._started = False
        self._skip_lf = False
        self._event: str | None = None
        self._data: list[bytes] = []
        self._comments: list[bytes] = []
        self._other: list[bytes] = []
        self._size = 0
        self.overflow = False

    def feed(self, data: bytes) -> list[Frame]:
        """Frames completed by `data`."""
        if self.overflow:
            return []
        self._buffer += data
        frames: list[Frame] = []
        for line in self._lines():
            if line:
                self._field(line)
            elif frame := self._take():
                frames.append(frame)
        if self._size + len(self._buffer) > MAX_FRAME:
            self.overflow = True
            self._buffer.clear()
        return frames

    def finish(self) -> list[Frame]:
        """The last frame, where the stream ended without a blank line."""
        if self._buffer and not self.overflow:
            self._field(bytes(self._strip_bom(self._buffer)))
            self._buffer.clear()
        frame = self._take()
        return [frame] if frame else []

    def _strip_bom(self, buffer: bytearray) -> bytearray:
        if not self._started:
            self._started = True
            if buffer.startswith(BOM):
                return buffer[3:]
        return buffer

    def _lines(self) -> list[bytes]:
        buffer = self._buffer
        if self._skip_lf and buffer:
            self._skip_lf = False
            if buffer[0] == 10:
                del buffer[:1]
        if not self._started and (len(buffer) >= 3 or not BOM.startswith(bytes(buffer))):
            buffer = self._buffer = self._strip_bom(buffer)
            self._seen = 0
        lines: list[bytes] = []
        start, scan = 0, self._seen
        lf = cr = -1
        while True:
            # Searched again only once passed, so that a body without CR is scanned for it once.
            if lf < scan:
                lf = _find(buffer, b"\n", scan)
            if cr < scan:
                cr = _find(buffer, b"\r", scan)
            end = min(lf, cr)
            if end == len(buffer):
                break
            lines.append(bytes(buffer[start:end]))
            start = end + 1
            if end == cr:
                if start == len(buffer):
                    self._skip_lf = True
                elif buffer[start] == 10:
                    start += 1
            scan = start
        if start:
            del buffer[:start]
        self._seen = len(buffer)
        return lines

    def _field(self, line: bytes) -> None:
        self._size += len(line)
        name, colon, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif not name and colon:
            self._comments.append(value)
        elif name not in (b"id", b"retry"):
            self._other.append(line)

    def _take(self) -> Frame | None:
        if not (self._data or self._comments or self._other or self._event):
            return None
        frame = Frame(
            event=self._event,
            data=b"\n".join(self._data) if self._data else None,
            comments=tuple(self._comments),
            other=tuple(self._other),
        )
        self._event, self._data, self._comments, self._other, self._size = None, [], [], [], 0
        return frame


def _find(buffer: bytearray, byte: bytes, start: int) -> int:
    """Where `byte` comes next, the buffer's length if nowhere."""
    at = buffer.find(byte, start)
    return len(buffer) if at < 0 else at


def encode(data: bytes, event: str | None = None) -> bytes:
    """One frame. `data` must not contain CR or LF (JSON from orjson never does)."""
    if event is None:
        return b"data: " + data + b"\n\n"
    return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"


def comment(text: str) -> bytes:
    """A comment frame: clients ignore it, idle timers do not."""
    return b": " + text.replace("\r", " ").replace("\n", " ").encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
