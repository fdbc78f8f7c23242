"""What providers said, word for word, for flows that are saved."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from .types import Json
from .upstream import Answer

MAX_BYTES = 4 * 2**20
"""Kept of one request's answers."""


class Transcript:
    """The upstream calls made for one request: fallbacks, retries and continuations are several."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._left = max_bytes
        self._calls: list[_Heard] = []

    def listen(self, url: str, answer: Answer) -> Answer:
        """The same answer, overheard."""
        heard = _Heard(self, url, answer)
        self._calls.append(heard)
        return heard

    def to_json(self) -> list[Json]:
        """One object a call: url, status, content_type, body, and `cut` where more was said than is
        kept. A body that is no text is in `body_base64`. No request headers, so no keys."""
        return [call.to_json() for call in self._calls]

    def take(self, size: int) -> int:
        """How many of `size` bytes may be kept."""
        granted = min(size, self._left)
        self._left -= granted
        return granted


class _Heard:
    """An Answer that notes what is read of it."""

    def __init__(self, transcript: Transcript, url: str, answer: Answer) -> None:
        self._transcript = transcript
        self._url = url
        self._answer = answer
        self._body = bytearray()
        self._cut = False
        self.status = answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._answer.headers

    async def read_chunk(self) -> bytes:
        return self._note(await self._answer.read_chunk())

    async def read_all(self) -> bytes:
        return self._note(await self._answer.read_all())

    def close(self, *, complete: bool = False) -> None:
        self._answer.close(complete=complete)

    def _note(self, data: bytes) -> bytes:
        granted = self._transcript.take(len(data))
        self._body += data[:granted]
        self._cut = self._cut or granted < len(data)
        return data

    def to_json(self) -> Json:
        out: Json = {
            "url": self._url.partition("?")[0],
            "status": self.status,
            "content_type": self._answer.headers.get("content-type", ""),
        }
        try:
            out["body"] = self._body.decode("utf-8")
        except UnicodeDecodeError:
            out["body_base64"] = base64.b64encode(self._body).decode()
        if self._cut:
            out["cut"] = True
        return out
