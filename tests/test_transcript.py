from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping

import pytest

from reflex_core.transcript import Transcript


class Answer:
    """Says its pieces one by one."""

    def __init__(self, *pieces: bytes, status: int = 200, kind: str = "application/json") -> None:
        self._pieces = [*pieces, b""]
        self.status = status
        self.headers: Mapping[str, str] = {"content-type": kind}
        self.closed: bool | None = None

    async def read_chunk(self) -> bytes:
        return self._pieces.pop(0)

    async def read_all(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    def close(self, *, complete: bool = False) -> None:
        self.closed = complete


async def read(answer: Answer) -> bytes:
    out = b""
    while chunk := await answer.read_chunk():
        out += chunk
    return out


def test_readers_notice_nothing() -> None:
    transcript, answer = Transcript(), Answer(b"a", b"b")
    heard = transcript.listen("https://h/v1?key=secret", answer)
    assert (heard.status, heard.headers) == (answer.status, answer.headers)
    assert asyncio.run(read(heard)) == b"ab"  # type: ignore[arg-type]
    heard.close(complete=True)
    assert answer.closed
    assert transcript.to_json() == [
        {"url": "https://h/v1", "status": 200, "content_type": "application/json", "body": "ab"}
    ]


def test_several_calls_in_their_order() -> None:
    transcript = Transcript()
    for answer in (Answer(b"no", status=503), Answer(b"yes")):
        asyncio.run(transcript.listen("https://h", answer).read_all())
    assert [(c["status"], c["body"]) for c in transcript.to_json()] == [(503, "no"), (200, "yes")]


@pytest.mark.parametrize(("limit", "kept"), [(0, b""), (3, b"abc"), (6, b"abcdef")])
def test_long_answers_are_cut_for_the_record_only(limit: int, kept: bytes) -> None:
    transcript = Transcript(limit)
    heard = transcript.listen("https://h", Answer(b"ab", b"cdef"))
    assert asyncio.run(read(heard)) == b"abcdef"  # type: ignore[arg-type]
    (call,) = transcript.to_json()
    assert call["body"] == kept.decode()
    assert call.get("cut", False) == (limit < 6)


def test_what_is_no_text() -> None:
    transcript = Transcript()
    asyncio.run(transcript.listen("https://h", Answer(b"\xff\x00")).read_all())
    (call,) = transcript.to_json()
    assert base64.b64decode(call["body_base64"]) == b"\xff\x00"
    assert "body" not in call
