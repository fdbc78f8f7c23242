"""Who is asked, how often, and what happens when that fails: real servers, a real flight."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from reflex_core import codecs, fetch
from reflex_core.attempt import Call
from reflex_core.backends.http_upstream import HttpUpstream
from reflex_core.breaker import Breakers
from reflex_core.catalog_rows import PROVIDERS
from reflex_core.errors import ApiError
from reflex_core.fetch import Fetcher, Persistence, Plan, worth_another_try
from reflex_core.flight import Flight
from reflex_core.inbound import parse
from reflex_core.lookup import Hit
from reflex_core.partial import Partial, Partials
from reflex_core.ports import Entry
from reflex_core.types import Choice, Completion, Keys, Target
from tests.e2e.provider import Answer, Provider, Received, sse
from tests.e2e.speech import chunk, completion, echo, text_frames

SSE = {"content-type": "text/event-stream"}
ANSWER = Completion("kept", 1, "m", (Choice(content="kept", finish_reason="stop"),))
ENTRY = Entry(
    b"key", b"tenant", b"scope", "openai", "m", created=900.0, expires=990.0, completion=b""
)
KEPT = Hit("hit-l1-exact", ENTRY, ANSWER)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_FIRST_PAUSE", 0.001)


@pytest.fixture
def servers() -> Iterator[list[Provider]]:
    made = [Provider(), Provider()]
    for server in made:
        server.reply = echo
    yield made
    for server in made:
        server.close()


Make = Callable[..., Call]


@pytest.fixture
def call(servers: list[Provider]) -> Make:
    """A call to one of the servers; keyword arguments go into the request's body."""

    def make(
        at: int = 0, row: str = "openai", options: dict[str, Any] | None = None, **more: Any
    ) -> Call:
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **more}
        fields: dict[str, Any] = {
            "forward": (),
            "first_byte_timeout": 5,
            "idle_timeout": 5,
            "new_id": lambda: "own",
            "now": lambda: 1000.0,
            **(options or {}),
        }
        return Call(
            request=parse(json.dumps(body).encode()),
            target=Target(PROVIDERS[row], f"model-{at}", servers[at].url, "key"),
            keys=Keys(b"tenant", b"key-%d" % at),
            **fields,
        )

    return make


class Desk:
    """A fetcher, and the flights it fills."""

    def __init__(self, retries: int = 2, resumptions: int = 2, failures: int = 5) -> None:
        self.stored: dict[bytes, Hit] = {}
        self.stale: Hit | None = None
        self.upstream = HttpUpstream(connect_timeout=5)

        async def stored(call: Call) -> Hit | None:
            return self.stored.get(call.keys.exact)

        async def stale(call: Call) -> Hit | None:
            return self.stale

        self.fetcher = Fetcher(
            self.upstream,
            Persistence(retries, resumptions),
            Breakers(failures, 60),
            Partials(60),
            stored,
            stale,
        )

    def fetch(
        self, *calls: Call, readers: int = 1, plan: Plan | None = None
    ) -> tuple[Flight, Plan]:
        """The flight, with the whole answer or the failure."""
        plan = plan or Plan(calls)

        async def run() -> Flight:
            flight = Flight()
            for _ in range(readers):
                flight.join()
            try:
                async with asyncio.timeout(20):
                    await self.fetcher.run(flight, plan)
            finally:
                await self.upstream.close()
            return flight

        return asyncio.run(run()), plan


def text(flight: Flight) -> str | None:
    found = flight.completion()
    return found.choices[0].content if found else None


def failure(flight: Flight) -> ApiError:
    assert flight.done
    assert flight.completion() is None
    assert flight.error is not None
    return flight.error


def refusing(server: Provider, status: int, **headers: str) -> None:
    said = json.dumps({"error": {"message": f"No: {status}", "code": "no"}}).encode()
    server.reply = lambda request: Answer([said], status, headers)


# ---------------------------------------------------------------------- one target


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer(call: Make, servers: list[Provider], stream: bool) -> None:
    desk, asked = Desk(), call(stream=stream)
    flight, plan = desk.fetch(asked)
    assert text(flight) == "You said: Hi"
    assert plan.answered is asked
    assert not plan.from_store
    assert (desk.fetcher.calls, desk.fetcher.retried, desk.fetcher.fell_back) == (1, 0, 0)
    assert servers[0].received[0].json.get("stream") is True, "asked as a stream in any case"


def test_json_where_streams_are_not_wanted(call: Make, servers: list[Provider]) -> None:
    flight, _ = Desk().fetch(call(options={"stream_upstream": False}))
    assert text(flight) == "You said: Hi"
    assert "stream" not in servers[0].received[0].json


def test_a_provider_that_will_not_stream(call: Make, servers: list[Provider]) -> None:
    """It is asked for JSON, then and later; a client that wants a stream is told."""

    def reply(request: Received) -> Answer:
        if request.json.get("stream"):
            said = {"message": "Your organization must be verified to stream.", "param": "stream"}
            return Answer([json.dumps({"error": said}).encode()], 400)
        return Answer([json.dumps(completion({"content": "whole"})).encode()])

    servers[0].reply = reply
    desk = Desk()
    assert [text(desk.fetch(call())[0]) for _ in range(2)] == ["whole", "whole"]
    assert [r.json.get("stream", False) for r in servers[0].received] == [True, False, False]
    assert failure(desk.fetch(call(stream=True))[0]).status == 400


def test_a_request_that_cannot_be_sent(call: Make, servers: list[Provider]) -> None:
    flight, _ = Desk().fetch(call(row="anthropic", temperature="x"), call(1))
    assert (failure(flight).status, failure(flight).param) == (400, "temperature")
    assert not servers[0].received + servers[1].received


def test_a_missing_package(call: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def get(name: str) -> Any:
        raise ImportError("botocore is not there", name="botocore")

    monkeypatch.setattr(codecs, "get", get)
    flight, _ = Desk().fetch(call())
    assert failure(flight).status == 501
    assert "botocore" in failure(flight).message


def test_a_bug_is_an_error_without_details(call: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def get(name: str) -> Any:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(codecs, "get", get)
    flight = Flight()

    async def run() -> None:
        desk = Desk()
        try:
            await desk.fetcher.run(flight, Plan([call()]))
        finally:
            await desk.upstream.close()

    with pytest.raises(ZeroDivisionError):
        asyncio.run(run())
    assert (failure(flight).status, failure(flight).code) == (500, "reflex_internal")
    assert "secret" not in failure(flight).message


# ---------------------------------------------------------------------- retries


def failing_first(server: Provider, times: int, status: int = 500, **headers: str) -> None:
    def reply(request: Received) -> Answer:
        if len(server.received) <= times:
            return Answer([b'{"error": {"message": "No"}}'], status, headers)
        return echo(request)

    server.reply = reply


def test_a_single_client_does_its_own_retries(call: Make, servers: list[Provider]) -> None:
    failing_first(servers[0], 1)
    desk = Desk()
    assert failure(desk.fetch(call())[0]).status == 500
    assert desk.fetcher.calls == 1


def test_several_clients_are_retried_for(call: Make, servers: list[Provider]) -> None:
    failing_first(servers[0], 2, 429, **{"retry-after-ms": "1"})
    desk = Desk()
    assert text(desk.fetch(call(), readers=2)[0]) == "You said: Hi"
    assert (desk.fetcher.calls, desk.fetcher.retried) == (3, 2)
    assert desk.fetcher.errors == {("openai", 429): 2}


@pytest.mark.parametrize(
    ("times", "status", "headers", "calls"),
    [(3, 500, {}, 3), (1, 400, {}, 1), (1, 429, {"retry-after": "31"}, 1)],
    ids=["too often", "in vain", "too long a pause"],
)
def test_retries_have_limits(
    call: Make,
    servers: list[Provider],
    times: int,
    status: int,
    headers: dict[str, str],
    calls: int,
) -> None:
    failing_first(servers[0], times, status, **headers)
    desk = Desk(retries=2)
    assert failure(desk.fetch(call(), readers=2)[0]).status == status
    assert desk.fetcher.calls == calls


# ---------------------------------------------------------------------- fallbacks


@pytest.mark.parametrize("status", [429, 500, 503, 529, 408])
def test_a_fallback_answers(call: Make, servers: list[Provider], status: int) -> None:
    refusing(servers[0], status)
    desk, second = Desk(), call(1, row="groq")
    flight, plan = desk.fetch(call(), second)
    assert text(flight) == "You said: Hi"
    assert plan.answered is second
    assert flight.details["x-reflex-provider"] == "groq"
    assert flight.details["x-reflex-model"] == "model-1"
    assert desk.fetcher.fell_back == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_no_other_would_answer_better(
    call: Make, servers: list[Provider], status: int
) -> None:
    refusing(servers[0], status)
    flight, _ = Desk().fetch(call(), call(1))
    assert failure(flight).status == status
    assert not servers[1].received


def test_when_all_fail_the_last_is_told(call: Make, servers: list[Provider]) -> None:
    refusing(servers[0], 500)
    refusing(servers[1], 503)
    flight, plan = Desk().fetch(call(), call(1))
    assert failure(flight).status == 503
    assert plan.answered is None


def test_a_fallback_that_cannot_is_passed_over(call: Make, servers: list[Provider]) -> None:
    refusing(servers[0], 500)
    flight, _ = Desk().fetch(
        call(0, logit_bias={"1": 1}), call(1, row="anthropic", logit_bias={"1": 1}), call(1)
    )
    assert text(flight) == "You said: Hi"
    assert len(servers[1].received) == 1


def test_no_fallback_after_content(call: Make, servers: list[Provider]) -> None:
    servers[0].reply = lambda request: Answer(text_frames("a", "b")[:2], headers=SSE, drop=True)
    flight, _ = Desk().fetch(call(stream=True), call(1, stream=True))
    assert failure(flight).code == "upstream_closed"
    assert not servers[1].received


def test_a_breaker_passes_over(call: Make, servers: list[Provider]) -> None:
    refusing(servers[0], 500)
    desk = Desk(failures=2)
    for _ in range(4):
        assert text(desk.fetch(call(), call(1, row="groq"))[0]) == "You said: Hi"
    assert len(servers[0].received) == 2
    refusing(servers[1], 500)
    assert failure(desk.fetch(call(), call(1, row="groq"))[0]).status == 500
    assert failure(desk.fetch(call())[0]).status == 500, (
        "without a fallback it is asked all the same"
    )
    assert len(servers[0].received) == 3


def test_being_too_quick_does_not_open_a_breaker(call: Make, servers: list[Provider]) -> None:
    """429 is about one client's key; the provider is fine, and others have keys of their own."""
    refusing(servers[0], 429)
    desk = Desk(failures=2)
    for _ in range(4):
        assert text(desk.fetch(call(), call(1, row="groq"))[0]) == "You said: Hi"
    assert len(servers[0].received) == 4


def test_what_a_fallback_has_stored(call: Make, servers: list[Provider]) -> None:
    refusing(servers[0], 500)
    desk, second = Desk(), call(1)
    desk.stored[second.keys.exact] = KEPT
    flight, plan = desk.fetch(call(), second)
    assert text(flight) == "kept"
    assert (flight.status, plan.from_store) == ("hit-l1-exact", True)
    assert not servers[1].received


def test_a_stale_answer_rather_than_none(call: Make, servers: list[Provider]) -> None:
    refusing(servers[0], 500)
    desk = Desk()
    desk.stale = KEPT
    flight, plan = desk.fetch(call())
    assert text(flight) == "kept"
    assert (flight.status, plan.from_store) == ("stale", True)
    assert flight.kept == (-10.0, 100.0), "seconds since its time was over, and since it was made"
    refusing(servers[0], 400)
    assert failure(desk.fetch(call())[0]).status == 400, "the client's own mistake is told"


# ---------------------------------------------------------------------- broken answers


def prefix(words: Sequence[str], finish: bool = True) -> list[bytes]:
    """As Mistral says it."""
    values = [chunk({"content": word}) for word in words]
    return sse(*values, chunk({}, "stop")) if finish else sse(*values, done=False)


def breaking(server: Provider, *parts: Sequence[str]) -> None:
    """Says one part a call; all but the last break off."""

    def reply(request: Received) -> Answer:
        at = min(len(server.received), len(parts))
        last = at == len(parts)
        return Answer(prefix(parts[at - 1], last), headers=SSE, drop=not last)

    server.reply = reply


def test_a_broken_answer_is_continued(call: Make, servers: list[Provider]) -> None:
    breaking(servers[0], ["The ", "sky "], ["is ", "so"], [" blue."])
    desk = Desk()
    flight, _ = desk.fetch(call(row="mistral"))
    assert text(flight) == "The sky is so blue."
    assert (desk.fetcher.calls, desk.fetcher.resumed) == (3, 2)
    sent = [r.json["messages"][-1] for r in servers[0].received[1:]]
    assert [(m["role"], m["content"], m["prefix"]) for m in sent] == [
        ("assistant", "The sky", True),
        ("assistant", "The sky is so", True),
    ]


def test_what_broke_too_often_is_kept_and_continued_by_the_next(
    call: Make, servers: list[Provider]
) -> None:
    breaking(servers[0], ["The "], ["sky "], ["is "], ["blue."])
    desk, asked = Desk(resumptions=2), call(row="mistral")
    flight, _ = desk.fetch(asked)
    assert failure(flight).code == "upstream_closed"
    partial = desk.fetcher.partials.take(asked.keys.exact, 1000.0)
    assert partial is not None
    assert partial.text == "The sky is "
    flight, _ = desk.fetch(plan=Plan([asked], partial))
    assert text(flight) == "The sky is blue."


def test_those_that_cannot_continue(call: Make, servers: list[Provider]) -> None:
    breaking(servers[0], ["The "], ["sky."])
    desk, asked = Desk(), call(stream=True)
    assert failure(desk.fetch(asked)[0]).code == "upstream_closed"
    assert desk.fetcher.calls == 1
    assert len(desk.fetcher.partials) == 0


def test_cancelling_closes_the_connection_and_keeps_the_text(
    call: Make, servers: list[Provider]
) -> None:
    frames = prefix(["The ", "sky "])
    servers[0].reply = lambda request: Answer(frames, headers=SSE, gate=lambda piece: piece < 2)
    desk, asked, flight = Desk(), call(row="mistral"), Flight()

    async def run() -> None:
        task = asyncio.create_task(desk.fetcher.run(flight, Plan([asked])))
        async with asyncio.timeout(20):
            while not flight.started:  # noqa: ASYNC110  a flight tells its readers only
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not servers[0].disconnects:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await desk.upstream.close()

    asyncio.run(run())
    assert (failure(flight).status, failure(flight).code) == (503, "stopping")
    assert len(desk.fetcher.partials) == 1


def test_another_models_text_is_not_kept(call: Make, servers: list[Provider]) -> None:
    """The fallback is of the same provider, but its words are not the first model's."""
    refusing(servers[0], 500)
    desk = Desk(resumptions=1)
    servers[1].reply = lambda request: Answer(prefix(["The "], False), headers=SSE, drop=True)
    flight, _ = desk.fetch(call(row="mistral"), call(1, row="mistral"))
    assert failure(flight).code == "upstream_closed"
    assert len(desk.fetcher.partials) == 0


def test_a_partial_is_of_no_use_while_its_provider_is_passed_over(
    call: Make, servers: list[Provider]
) -> None:
    refusing(servers[0], 500)
    desk, asked = Desk(failures=1), call(row="mistral")
    desk.fetch(asked, call(1))
    partial = Partial("The ", None, "id", 1, "m", expires=2000.0)
    flight, _ = desk.fetch(plan=Plan([asked, call(1)], partial))
    assert text(flight) == "You said: Hi"
    assert flight.status == "miss", "not `continued`"


def test_only_shared_answers_are_kept(call: Make, servers: list[Provider]) -> None:
    breaking(servers[0], ["The "], ["sky "], ["is"])
    desk = Desk(resumptions=1)
    desk.fetch(replace(call(row="mistral"), may_share=False))
    assert len(desk.fetcher.partials) == 0


@pytest.mark.parametrize(
    ("status", "worth"),
    [(400, False), (401, False), (408, True), (429, True), (502, True), (599, True)],
)
def test_worth_another_try(status: int, worth: bool) -> None:
    assert worth_another_try(ApiError(status, "x")) == worth
