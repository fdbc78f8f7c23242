"""One upstream answer and its readers: each sees all of it, at its own pace and in its own form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from reflex_core.errors import ApiError
from reflex_core.exchange import Exchange
from reflex_core.flight import MAX_PIECE, Flight, Reader
from reflex_core.types import (
    ErrorEvent,
    Event,
    Finish,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
    usage,
)

NO = ApiError(503, "No.", code="no")
USAGE = usage(3, 4)


def run[T](main: Coroutine[Any, Any, T]) -> T:
    async def guarded() -> T:
        async with asyncio.timeout(20):
            return await main

    return asyncio.run(guarded())


def say(flight: Flight, *events: Event) -> None:
    """As an attempt does: through the exchange, to all readers."""
    exchange = flight.exchange or flight.begin(Exchange("id", 1, "m"))
    flight.publish(exchange.take(events))


async def rest(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def values(data: bytes) -> list[Any]:
    """The JSON of the events, and "[DONE]"."""
    frames = [f.removeprefix(b"data: ") for f in data.split(b"\n\n") if f.startswith(b"data: ")]
    return ["[DONE]" if frame == b"[DONE]" else json.loads(frame) for frame in frames]


def text(data: bytes) -> str:
    chunks = [value for value in values(data) if isinstance(value, dict)]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", ())]
    return "".join(delta.get("content") or "" for delta in deltas)


# ---------------------------------------------------------------------- reading


def test_a_reader_follows() -> None:
    async def main() -> None:
        flight = Flight()
        chunks = flight.join().stream(False, 0)
        assert await anext(chunks) == b": reflex\n\n"
        say(flight, Start(id="theirs"), TextDelta("a"))
        assert values(await anext(chunks))[-1]["choices"][0]["delta"] == {"content": "a"}
        say(flight, TextDelta("b"))
        say(flight, TextDelta("c"))
        assert text(await anext(chunks)) == "bc", "what came meanwhile comes at once"
        say(flight, Finish("stop"))
        flight.end()
        last = values(await rest(chunks))
        assert last[0]["choices"][0]["finish_reason"] == "stop"
        assert last[1:] == ["[DONE]"]

    run(main())


def test_readers_have_their_own_form_and_pace() -> None:
    async def main() -> None:
        flight = Flight()
        early = flight.join().stream(True, 0)
        await anext(early)
        say(flight, TextDelta("Hello "), UsageEvent(USAGE))
        assert text(await anext(early)) == "Hello "
        late, json_reader = flight.join().stream(False, 0), flight.join()
        say(flight, TextDelta("world"), Finish("stop"))
        flight.end()
        assert text(await rest(early)) == "world"
        seen = await rest(late)
        assert text(seen) == "Hello world"
        assert not any("usage" in value for value in values(seen))
        status, body, error = await json_reader.whole()
        assert (status, error) == (200, None)
        assert json.loads(body)["choices"][0]["message"]["content"] == "Hello world"
        assert json.loads(body)["usage"] == USAGE
        assert flight.completion() is not None

    run(main())


def test_usage_for_who_asked() -> None:
    async def main() -> None:
        flight = Flight()
        chunks = flight.join().stream(True, 0)
        say(flight, TextDelta("x"), Finish("stop"), UsageEvent(USAGE))
        flight.end()
        *_, with_usage, done = values(await rest(chunks))
        assert (with_usage["usage"], with_usage["choices"], done) == (USAGE, [], "[DONE]")

    run(main())


def test_legacy_functions_in_both_forms() -> None:
    async def main() -> None:
        flight = Flight()
        flight.legacy_functions = True
        stream, whole = flight.join(), flight.join()
        say(flight, ToolCallStart(0, "i", "f"), ToolCallDelta(0, "{}"), Finish("tool_calls"))
        flight.end()
        seen = values(await rest(stream.stream(False, 0)))
        assert any("function_call" in v["choices"][0]["delta"] for v in seen[:-1])
        message = json.loads((await whole.whole())[1])["choices"][0]["message"]
        assert message["function_call"] == {"name": "f", "arguments": "{}"}

    run(main())


def test_comments_while_it_is_silent() -> None:
    async def main() -> None:
        flight = Flight()
        chunks = flight.join().stream(False, 0.01)
        assert [await anext(chunks) for _ in range(3)] == [
            b": reflex\n\n",
            *[b": keep-alive\n\n"] * 2,
        ]
        say(flight, TextDelta("x"))
        assert text(await anext(chunks)) == "x"
        assert await anext(chunks) == b": keep-alive\n\n"

    run(main())


def test_ready_waits_for_content_or_failure() -> None:
    async def main() -> None:
        flight = Flight()
        reader = flight.join()
        await reader.ready(0.01)
        assert not flight.started
        say(flight, Start())
        assert not flight.started, "a start is no content: the status is still open"
        waiting = asyncio.create_task(reader.ready(0))
        await asyncio.sleep(0)
        assert not waiting.done()
        say(flight, TextDelta("x"))
        await waiting
        assert flight.started
        assert flight.content_at is not None
        failed = Flight()
        waiting = asyncio.create_task(failed.join().ready(0))
        await asyncio.sleep(0)
        failed.fail(NO)
        await waiting

    run(main())


def test_pieces_are_bounded() -> None:
    """A client that does not read holds back one piece, not a whole answer."""

    async def main() -> None:
        flight = Flight()
        chunks = flight.join().stream(False, 0)
        word = "x" * 10_000
        say(flight, *[TextDelta(word)] * 300, Finish("stop"))
        flight.end()
        pieces = [chunk async for chunk in chunks]
        assert max(map(len, pieces)) < MAX_PIECE + 2 * len(word)
        assert text(b"".join(pieces)) == word * 300

    run(main())


# ---------------------------------------------------------------------- failing


@pytest.mark.parametrize("begun", [False, True])
def test_failure_before_content(begun: bool) -> None:
    """A status for those who have none yet, else an error event; never an empty answer."""

    async def main() -> None:
        flight = Flight()
        reader, early = flight.join(), flight.join().stream(False, 0.01)
        assert [await anext(early), await anext(early)] == [b": reflex\n\n", b": keep-alive\n\n"]
        if begun:
            say(flight, Start(id="x"), UsageEvent(USAGE))
        flight.fail(NO)
        assert flight.failure is flight.error is NO
        assert values(await rest(early)) == [NO.to_dict()]
        assert await reader.whole() == (503, NO.to_json(), NO)
        assert flight.completion() is None

    run(main())


def test_failure_after_content_is_the_last_event() -> None:
    async def main() -> None:
        flight = Flight()
        stream, whole = flight.join().stream(False, 0), flight.join()
        say(flight, TextDelta("x"))
        flight.fail(NO)
        *_, content, error = values(await rest(stream))
        assert content["choices"][0]["delta"] == {"content": "x"}
        assert error == NO.to_dict()
        assert (await whole.whole())[::2] == (503, NO)
        assert flight.failure is None
        assert flight.completion() is None

    run(main())


def test_an_end_without_a_finish_is_no_answer() -> None:
    async def main() -> None:
        flight = Flight()
        reader = flight.join()
        say(flight, TextDelta("x"))
        flight.end()
        assert flight.completion() is None
        assert (await reader.whole())[0] == 502

    run(main())


def test_a_second_try_starts_from_nothing() -> None:
    async def main() -> None:
        flight = Flight()
        chunks = flight.join().stream(False, 0)
        say(flight, Start(system_fingerprint="of the first"))
        flight.begin(Exchange("second", 2, "m2"))
        say(flight, TextDelta("x"), Finish("stop"))
        flight.end()
        *seen, _ = values(await rest(chunks))
        assert {(v["id"], v["created"], v["model"]) for v in seen} == {("second", 2, "m2")}
        assert not any("system_fingerprint" in v for v in seen)

    run(main())


def test_those_that_lag_too_far_behind_are_told() -> None:
    async def main() -> None:
        flight = Flight(max_log=2000)
        slow, fast = flight.join().stream(False, 0), flight.join().stream(False, 0)
        await anext(slow)
        await anext(fast)
        seen = b""
        for _ in range(20):
            say(flight, TextDelta("y"))
            seen += await anext(fast)
        assert not flight.joinable, "a new reader would miss the beginning"
        say(flight, Finish("stop"))
        flight.end()
        seen += await rest(fast)
        assert text(seen) == "y" * 20
        assert values(seen)[-1] == "[DONE]"
        assert values(await rest(slow))[-1]["error"]["code"] == "reader_too_slow"

    run(main())


# ---------------------------------------------------------------------- leaving


def with_task(flight: Flight) -> asyncio.Task[None]:
    flight.task = asyncio.create_task(asyncio.sleep(60))
    return flight.task


async def cancelled(task: asyncio.Task[None]) -> bool:
    await asyncio.wait([task], timeout=0.05)
    return task.cancelled()


def test_the_last_reader_takes_the_call_along() -> None:
    async def main() -> None:
        flight = Flight(grace=0)
        task = with_task(flight)
        first, second = flight.join(), flight.join()
        assert flight.readers == 2
        assert first.close()
        assert not first.close(), "only once"
        assert not await cancelled(task)
        assert flight.joinable
        second.close()
        assert await cancelled(task)
        assert not flight.joinable

    run(main())


def test_one_that_comes_back_in_time() -> None:
    async def main() -> None:
        flight = Flight(grace=0.02)
        task = with_task(flight)
        flight.join().close()
        again = flight.join()
        assert not await cancelled(task)
        again.close()
        assert await cancelled(task)

    run(main())


def test_a_call_that_may_finish_alone() -> None:
    async def main() -> None:
        flight = Flight(grace=None)
        task = with_task(flight)
        flight.join().close()
        assert not await cancelled(task)
        task.cancel()

    run(main())


def test_a_finished_call_is_not_cancelled() -> None:
    async def main() -> None:
        flight = Flight(grace=0)
        task = with_task(flight)
        reader: Reader = flight.join()
        say(flight, TextDelta("x"), Finish("stop"))
        flight.end()
        reader.close()
        assert not await cancelled(task), "it is storing the answer"
        task.cancel()

    run(main())


def test_details_are_final_when_nothing_can_change() -> None:
    async def main() -> None:
        flight = Flight()
        assert flight.settled
        flight.has_fallbacks = True
        assert not flight.settled
        say(flight, TextDelta("x"))
        assert flight.settled
        failed = Flight()
        failed.has_fallbacks = True
        failed.fail(NO)
        assert failed.settled

    run(main())


def test_an_error_event_says_what_a_failure_does() -> None:
    """Readers are told of a late failure by the event itself."""

    async def main() -> None:
        flight = Flight()
        say(flight, TextDelta("x"))
        flight.fail(NO)
        assert flight.since(0) == [TextDelta("x"), ErrorEvent(NO)]

    run(main())
