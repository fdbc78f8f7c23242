"""One answer in progress: events are folded, errors end it, a continuation joins without a seam."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.codecs import get
from reflex_core.errors import ApiError
from reflex_core.exchange import Exchange
from reflex_core.types import (
    ErrorEvent,
    Event,
    Finish,
    Ping,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
    usage,
)
from tests.codecs.oracle_contract import chat_request, target_for
from tests.e2e.speech import text_frames

BROKEN = ApiError(503, "Overloaded")


class Script:
    """A decoder that answers each byte with the next events; what is left comes at the end."""

    def __init__(self, *steps: list[Event] | Exception, ended: bool = False) -> None:
        self._steps = list(steps)
        self.ended = ended

    def _next(self) -> list[Event]:
        step = self._steps.pop(0) if self._steps else []
        if isinstance(step, Exception):
            raise step
        return step

    def feed(self, data: bytes) -> list[Event]:
        return [event for _ in data for event in self._next()]

    def finish(self) -> list[Event]:
        return self._next()


def begun(*steps: list[Event] | Exception, **more: Any) -> Exchange:
    exchange = Exchange("own-id", 7, "own-model")
    exchange.attach(Script(*steps, **more))
    return exchange


def text_of(exchange: Exchange) -> str | None:
    return exchange.completion().choices[0].content


# ---------------------------------------------------------------------- one call


def test_events_go_on_and_are_folded() -> None:
    exchange = begun([TextDelta("a")], [TextDelta("b"), Finish("stop")], [UsageEvent(usage(1, 2))])
    assert exchange.feed(b"x") == [TextDelta("a")]
    assert exchange.feed(b"x") == [TextDelta("b"), Finish("stop")]
    assert exchange.finish() == [UsageEvent(usage(1, 2))]
    assert exchange.error is None
    assert text_of(exchange) == "ab"
    assert exchange.completion().usage == usage(1, 2)
    assert exchange.completion().complete


def test_nothing_without_a_decoder() -> None:
    exchange = Exchange("id", 1, "m")
    assert exchange.feed(b"x") == exchange.finish() == []
    assert not exchange.ended


def test_who_it_is_is_fixed_by_the_first_content() -> None:
    exchange = begun(
        [Start(id="a", created=1), Start(model="m")],
        [UsageEvent(usage(1, 1)), Ping()],
        [TextDelta("x"), Start(id="late", created=9, model="late")],
    )
    exchange.feed(b"x")
    assert exchange.identity == ("a", 1, "m")
    exchange.feed(b"x")
    assert not exchange.content_seen
    exchange.feed(b"x")
    assert exchange.content_seen
    assert exchange.identity == ("a", 1, "m")


def test_own_names_where_the_provider_gives_none() -> None:
    exchange = begun([Start(), TextDelta("x")])
    exchange.feed(b"x")
    assert exchange.identity == ("own-id", 7, "own-model")


@pytest.mark.parametrize("event", [TextDelta("x"), ReasoningDelta("r"), ToolCallStart(0, "i", "n")])
def test_what_counts_as_content(event: Event) -> None:
    exchange = begun([event])
    exchange.feed(b"x")
    assert exchange.content_seen


def test_an_error_is_kept_apart_and_ends_it() -> None:
    exchange = begun([TextDelta("a"), ErrorEvent(BROKEN), TextDelta("b")], [TextDelta("c")])
    assert exchange.feed(b"x") == [TextDelta("a")]
    assert exchange.error is BROKEN
    assert exchange.ended
    assert exchange.feed(b"x") == exchange.finish() == []
    assert text_of(exchange) == "a"


def test_a_decoder_that_raises_is_an_error() -> None:
    for exchange in (begun(RuntimeError("secret")), begun([TextDelta("a")], KeyError("secret"))):
        exchange.feed(b"x")
        exchange.finish()
        assert exchange.error is not None
        assert exchange.error.code == "bad_upstream_answer"
        assert "secret" not in exchange.error.message


def test_events_that_cannot_be_folded_are_an_error() -> None:
    exchange = begun([TextDelta("a"), ToolCallDelta(3, "{}")])
    assert exchange.feed(b"x") == [TextDelta("a")]
    assert exchange.error is not None
    assert exchange.error.code == "bad_upstream_answer"


def test_an_end_without_a_finish_is_an_error() -> None:
    exchange = begun([TextDelta("a")])
    exchange.feed(b"x")
    assert exchange.finish() == []
    assert exchange.error is not None
    assert exchange.error.code == "upstream_closed"
    exchange = Exchange("id", 1, "m")
    exchange.take([TextDelta("a"), Finish("stop")])
    exchange.check_complete()
    assert exchange.error is None


def test_it_has_ended_when_the_protocol_has() -> None:
    assert begun(ended=True).ended
    assert not begun().ended


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes(pieces: list[bytes]) -> None:
    request, target = chat_request(), target_for("openai-chat")
    exchange = Exchange("id", 1, "m")
    exchange.attach(get("openai-chat").decoder(request, target))
    for piece in [b"".join(text_frames("Hi")[:2]), *pieces]:
        assert not any(isinstance(event, ErrorEvent) for event in exchange.feed(piece))
    exchange.finish()
    assert exchange.error or exchange.completion().complete


# ---------------------------------------------------------------------- continued


def cut(text: str, **more: Any) -> Exchange:
    """An answer that broke off after `text`."""
    exchange = begun([Start(id="first", model="m1"), TextDelta(text)], **more)
    exchange.feed(b"x")
    exchange.finish()
    assert exchange.error is not None
    return exchange


def go_on(exchange: Exchange, sent: str, *deltas: str, echoed: bool = False) -> list[Event]:
    exchange.resume(sent, echoed=echoed)
    exchange.attach(Script([Start(id="second"), *map(TextDelta, deltas), Finish("stop")]))
    return exchange.feed(b"x")


@pytest.mark.parametrize(
    ("before", "deltas", "whole"),
    [
        ("Hello", ["", " world"], "Hello world"),
        ("Hello ", ["world"], "Hello world"),
        ("Hello ", [" ", "world"], "Hello world"),
        ("Hello \n", [" \n", "\nworld"], "Hello \n\nworld"),
        ("Hello \n", [" ", "world"], "Hello \nworld"),
        ("Hello", ["Hello"], "HelloHello"),
        ("Hello ", [], "Hello "),
    ],
)
def test_the_seam_is_not_seen(before: str, deltas: list[str], whole: str) -> None:
    exchange = cut(before)
    events = go_on(exchange, before.rstrip(), *deltas)
    assert exchange.error is None
    assert text_of(exchange) == whole
    assert before + "".join(e.text for e in events if isinstance(e, TextDelta)) == whole
    assert not any(isinstance(event, Start) for event in events)
    assert exchange.identity == ("first", 7, "m1")


@pytest.mark.parametrize(
    ("deltas", "whole"),
    [
        (["Hel", "lo", " world"], "Hello world"),
        (["Hello world"], "Hello world"),
        ([" world"], "Hello world"),
        (["Help!"], "HelloHelp!"),
        (["Hel"], "HelloHel"),
        (["Hello"], "Hello"),
    ],
)
def test_an_echo_is_dropped(deltas: list[str], whole: str) -> None:
    exchange = cut("Hello")
    go_on(exchange, "Hello", *deltas, echoed=True)
    assert text_of(exchange) == whole
    assert exchange.completion().complete


def test_usage_adds_up() -> None:
    exchange = begun([UsageEvent(usage(10, 5)), TextDelta("a"), ErrorEvent(BROKEN)])
    exchange.feed(b"x")
    exchange.resume("a")
    exchange.attach(Script([TextDelta("b"), Finish("stop"), UsageEvent(usage(11, 3))]))
    assert exchange.feed(b"x")[-1] == UsageEvent(usage(21, 8))
    assert exchange.completion().usage == usage(21, 8)


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([TextDelta("Hi")], "Hi"),
        ([TextDelta(" \n")], None),
        ([TextDelta("")], None),
        ([], None),
        ([ReasoningDelta("r"), TextDelta("Hi")], None),
        ([TextDelta("Hi"), ToolCallStart(0, "i", "n")], None),
        ([TextDelta("Hi"), TextDelta("Ho", 1)], None),
        ([TextDelta("Hi", 1)], None),
        ([TextDelta("Hi", logprobs={"content": [{}]})], None),
        ([TextDelta("Hi"), Finish("stop")], None),
    ],
)
def test_only_plain_text_can_be_continued(events: list[Event], text: str | None) -> None:
    exchange = Exchange("id", 1, "m")
    exchange.take(events)
    assert exchange.resumable_text() == text
