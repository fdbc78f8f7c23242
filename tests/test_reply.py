"""What the client gets: the form it asked for, honest headers, and one note of how it ended."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from reflex_core.controls import Status
from reflex_core.errors import ApiError
from reflex_core.exchange import Exchange
from reflex_core.flight import Flight
from reflex_core.lookup import Hit
from reflex_core.ports import Entry
from reflex_core.reply import Note, Pending, Reply, error_headers
from reflex_core.transcript import Transcript
from reflex_core.types import Choice, Completion, Finish, TextDelta, usage
from tests.codecs.oracle_contract import chat_request, openai_reads_json, openai_reads_sse, summary

NOW = 1_000_000.0
COMPLETION = Completion("id", 7, "m", (Choice(content="Hello", finish_reason="stop"),), usage(1, 2))
NO = ApiError(429, "Slow down.", retry_after=1.2, code="slow")


def hit(**entry: Any) -> Hit:
    fields = {"created": NOW - 5, "expires": NOW + 60.9, **entry}
    stored = Entry(b"k" * 32, b"t", b"s", "openai", "m", completion=b"", **fields)
    return Hit("hit-l1-exact", stored, COMPLETION, "why")


# ---------------------------------------------------------------------- whole replies


def test_a_hit_in_both_forms() -> None:
    whole = Reply.of_hit(hit(), chat_request(stream=False), False, NOW, "r1")
    stream = Reply.of_hit(hit(), chat_request(include_usage=True), False, NOW, "r1")
    assert summary(openai_reads_json(whole.body)) == summary(openai_reads_sse(stream.body))
    for reply, kind in ((whole, "application/json"), (stream, "text/event-stream; charset=utf-8")):
        headers = dict(reply.headers)
        assert reply.status == 200
        assert headers["content-type"] == kind
        assert headers["X-Reflex-Status"] == "hit-l1-exact"
        assert "hit; ttl=60" in headers["Cache-Status"]
        assert "detail=why" in headers["Cache-Status"]
        assert headers["Age"] == "5"
    assert b'"usage"' not in Reply.of_hit(hit(), chat_request(), False, NOW, "r1").body


def test_a_hit_that_never_expires() -> None:
    reply = Reply.of_hit(hit(expires=None), chat_request(), False, NOW, "r1")
    assert "ttl" not in dict(reply.headers)["Cache-Status"]


def test_errors() -> None:
    reply = Reply.of_error(NO, (("x", "y"),))
    headers = dict(reply.headers)
    assert (reply.status, json.loads(reply.body)) == (429, NO.to_dict())
    assert (headers["retry-after"], headers["retry-after-ms"], headers["x"]) == ("2", "1200", "y")
    assert error_headers(ApiError(500, "x")) == ()
    assert error_headers(ApiError(429, "x", retry_after=0)) == (
        ("retry-after", "0"),
        ("retry-after-ms", "0"),
    )


def test_bodies_are_not_shown() -> None:
    assert "Hello" not in repr(Reply.of_json({"text": "Hello"}))


# ---------------------------------------------------------------------- pending ones


class Desk:
    """Makes pending replies to one flight, and notes how each ended."""

    def __init__(self, **more: Any) -> None:
        self.flight = Flight()
        self.ended: list[tuple[Status, int]] = []
        self._more = more

    def pending(self, status: Status = "miss", stream: bool = True, **note: Any) -> Pending:
        fields = {"key": b"k" * 32, "detail": "no-entry", "may_store": True, "id": "r1", **note}
        return Pending(
            self.flight,
            chat_request(stream=stream),
            Note(status, **fields),
            self._more.get("keepalive", 0),
            lambda status, code: self.ended.append((status, code)),
        )

    def answer(self) -> None:
        self.flight.details["x-reflex-provider"] = "openai"
        exchange = self.flight.begin(Exchange("id", 7, "m"))
        self.flight.publish(exchange.take([TextDelta("Hello"), Finish("stop")]))
        self.flight.end()


def test_a_miss_in_both_forms() -> None:
    async def main() -> None:
        desk = Desk()
        stream, whole, joined = (
            desk.pending(),
            desk.pending(stream=False),
            desk.pending("coalesced", detail=None),
        )
        desk.answer()
        reply, chunks = await stream.start()
        headers = dict(reply.headers)
        assert (reply.status, reply.body) == (200, b"")
        assert headers["X-Reflex-Status"] == "miss"
        assert "fwd=miss; stored" in headers["Cache-Status"]
        assert headers["x-reflex-provider"] == "openai"
        assert chunks is not None
        body = b"".join([chunk async for chunk in chunks])
        assert openai_reads_sse(body).choices[0].message.content == "Hello"
        whole_reply, none = await whole.start()
        assert none is None
        assert json.loads(whole_reply.body)["choices"][0]["message"]["content"] == "Hello"
        joined_reply = await joined.whole()
        assert "collapsed" in dict(joined_reply.headers)["Cache-Status"]
        assert openai_reads_sse(joined_reply.body).choices[0].message.content == "Hello"
        for pending in (stream, whole, joined):
            pending.close()
            pending.close()
        assert desk.ended == [("miss", 200), ("miss", 200), ("coalesced", 200)]

    asyncio.run(main())


@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_keeps_its_status(stream: bool) -> None:
    async def main() -> None:
        desk = Desk()
        pending = desk.pending(stream=stream)
        desk.flight.fail(NO)
        reply, chunks = await pending.start()
        assert chunks is None
        headers = dict(reply.headers)
        assert (reply.status, json.loads(reply.body)) == (429, NO.to_dict())
        assert headers["retry-after"] == "2"
        assert "stored" not in headers["Cache-Status"]
        pending.close()
        assert desk.ended == [("miss", 429)]
        again = desk.pending(stream=stream)
        assert (await again.whole()).status == 429

    asyncio.run(main())


def test_a_failure_after_the_status_is_in_the_body() -> None:
    async def main() -> None:
        desk = Desk(keepalive=0.01)
        pending = desk.pending()
        reply, chunks = await pending.start()
        assert reply.status == 200
        assert chunks is not None
        desk.flight.fail(NO)
        body = b"".join([chunk async for chunk in chunks])
        assert json.loads(body.rpartition(b"data: ")[2]) == NO.to_dict()

    asyncio.run(main())


def test_a_client_that_leaves() -> None:
    async def main() -> None:
        desk = Desk()
        desk.pending().close()
        assert desk.ended == [("miss", 499)]
        assert desk.flight.readers == 0

    asyncio.run(main())


def test_a_stale_answer_says_so() -> None:
    async def main() -> None:
        desk = Desk()
        pending = desk.pending()
        desk.flight.status, desk.flight.kept = "stale", (-10.5, 70.2)
        desk.answer()
        headers = dict((await pending.start())[0].headers)
        assert headers["X-Reflex-Status"] == "stale"
        assert headers["Age"] == "70"
        assert "; hit; ttl=-11" in headers["Cache-Status"]
        assert "stored" not in headers["Cache-Status"]

    asyncio.run(main())


def test_details_that_may_still_change_are_left_out() -> None:
    async def main() -> None:
        desk = Desk(keepalive=0.01)
        desk.flight.has_fallbacks = True
        desk.flight.details["x-reflex-provider"] = "the first"
        reply, _ = await desk.pending().start()
        assert "x-reflex-provider" not in dict(reply.headers)

    asyncio.run(main())


def test_only_the_request_that_asks_keeps_a_transcript() -> None:
    async def main() -> None:
        desk, transcript = Desk(), Transcript()
        desk.pending("coalesced").transcribe(transcript)
        assert desk.flight.transcript is None
        desk.pending("miss").transcribe(transcript)
        assert desk.flight.transcript is transcript

    asyncio.run(main())
