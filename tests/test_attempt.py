"""One request to one provider: a real server on one side, a flight on the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from reflex_core.attempt import Call, attempt, refuses_streams, streamed
from reflex_core.backends.http_upstream import HttpUpstream
from reflex_core.catalog_rows import PROVIDERS
from reflex_core.errors import ApiError, BadRequest, UpstreamError
from reflex_core.fetch import worth_another_try
from reflex_core.flight import Flight
from reflex_core.inbound import parse
from reflex_core.types import Completion, Finish, Keys, Target, TextDelta
from tests.e2e.provider import Answer, Provider, Received, Steps, sse
from tests.e2e.speech import chunk, completion, echo, text_frames

SSE = {"content-type": "text/event-stream"}
NOW = 1_700_000_123


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    server.reply = echo
    yield server
    server.close()


Make = Callable[..., Call]


@pytest.fixture
def make(provider: Provider) -> Make:
    """Makes calls to `provider`; keyword arguments go into the request's body."""

    def call(
        name: str = "openai",
        *,
        call: dict[str, Any] | None = None,
        key: str = "sk-test",
        **more: Any,
    ) -> Call:
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **more}
        return Call(
            request=parse(json.dumps(body).encode()),
            target=Target(PROVIDERS[name], "m-large", provider.url, key or None),
            keys=Keys(b"tenant", b"key"),
            **{
                "forward": (),
                "first_byte_timeout": 5,
                "idle_timeout": 5,
                "new_id": lambda: "chatcmpl-own",
                "now": lambda: NOW,
                **(call or {}),
            },
        )

    return call


def run(call: Call, flight: Flight | None = None) -> Flight:
    """One attempt. The flight, on which the answer has been published."""
    flight = flight or Flight()

    async def attempt_it() -> None:
        upstream = HttpUpstream(connect_timeout=5)
        try:
            await attempt(flight, call, upstream)
        finally:
            await upstream.close()

    asyncio.run(attempt_it())
    return flight


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110  a server in another thread tells nobody
            await asyncio.sleep(0.005)


def failure(call: Call, flight: Flight | None = None) -> ApiError:
    with pytest.raises(UpstreamError) as caught:
        run(call, flight)
    return caught.value.error


def answer(flight: Flight) -> Completion:
    flight.end()
    found = flight.completion()
    assert found is not None
    return found


# ---------------------------------------------------------------------- answers


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer(make: Make, stream: bool) -> None:
    flight = run(make(stream=stream))
    found = answer(flight)
    assert found.choices[0].content == "You said: Hi"
    assert (found.id, found.created) == ("chatcmpl-upstream", 1_700_000_000)
    assert flight.details == {"x-reflex-provider": "openai", "x-reflex-model": "m-large"}


def test_own_identity_where_the_provider_gives_none(make: Make, provider: Provider) -> None:
    bare = [
        {k: v for k, v in chunk(d, f).items() if k == "choices"}
        for d, f in [({"content": "Hi"}, None), ({}, "stop")]
    ]
    provider.reply = lambda request: Answer(sse(*bare), headers=SSE)
    found = answer(run(make(stream=True)))
    assert (found.id, found.created, found.model) == ("chatcmpl-own", NOW, "m-large")


def test_events_are_published_as_they_come(make: Make, provider: Provider) -> None:
    gate, flight = Steps(), Flight()
    provider.reply = lambda request: Answer(text_frames("one", "two"), headers=SSE, gate=gate)

    def said() -> list[str]:
        return [event.text for event in flight.since(0) or [] if isinstance(event, TextDelta)]

    async def watch() -> None:
        upstream = HttpUpstream(connect_timeout=5)
        task = asyncio.create_task(attempt(flight, make(stream=True), upstream))
        for seen in (["one"], ["one", "two"]):
            gate.release(2 if len(seen) == 1 else 1)
            await until(lambda: said() == seen)  # noqa: B023
        assert not task.done()
        gate.release(9)
        await task
        await upstream.close()

    asyncio.run(watch())
    assert isinstance((flight.since(0) or [])[-2], Finish)


def test_headers(make: Make, provider: Provider) -> None:
    """The client's own never replace the codec's."""
    run(make(call={"forward": (("openai-beta", "x"), ("Authorization", "Bearer other"))}))
    (received,) = provider.received
    assert received.headers["openai-beta"] == "x"
    assert received.headers["authorization"] == "Bearer sk-test"


def test_dropped_parameters_are_named(make: Make) -> None:
    call = make("mistral", user="me")
    assert run(call).details["x-reflex-dropped"] == "user"
    flight = Flight()
    run(call, flight)
    run(make(), flight)
    assert "x-reflex-dropped" not in flight.details, "the second provider dropped nothing"


def test_a_second_attempt_starts_clean(make: Make, provider: Provider) -> None:
    """What a failed one said of itself, and its usage, are not those of the answer."""
    first = {
        **chunk({"role": "assistant", "content": ""}),
        "id": "old",
        "system_fingerprint": "old",
    }
    first["usage"] = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    provider.reply = lambda request: Answer(sse(first, done=False), headers=SSE, drop=True)
    flight = Flight()
    assert failure(make(stream=True), flight).code == "upstream_closed"
    assert flight.exchange is not None
    assert not flight.exchange.content_seen
    provider.reply = lambda request: Answer(
        [*text_frames("Hi")[:-2], b"data: [DONE]\n\n"], headers=SSE
    )
    run(make(stream=True), flight)
    found = answer(flight)
    assert (found.id, found.system_fingerprint, found.usage) == ("chatcmpl-upstream", None, None)


# ---------------------------------------------------------------------- failures

REFUSALS = {
    400: {"message": "Bad.", "type": "invalid_request_error", "param": "x", "code": None},
    401: {"message": "No.", "type": "authentication_error", "param": None, "code": "bad_key"},
    429: {"message": "Slow.", "type": "rate_limit_error", "param": None, "code": "rate"},
    503: {"message": "Full.", "type": "server_error", "param": None, "code": "overloaded"},
}


@pytest.mark.parametrize("status", REFUSALS)
def test_refusals(make: Make, provider: Provider, status: int) -> None:
    body = json.dumps({"error": REFUSALS[status]}).encode()
    headers = {"retry-after": "7"} if status == 429 else {}
    provider.reply = lambda request: Answer([body], status=status, headers=headers)
    flight = Flight()
    error = failure(make(stream=True), flight)
    assert (error.status, error.to_dict()["error"]) == (status, REFUSALS[status])
    assert error.retry_after == (7 if status == 429 else None)
    assert flight.exchange is None, "no answer has begun"


def silent_from(piece: int) -> Callable[[int], bool]:
    return lambda at: at < piece


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("piece", [-1, 0, 2])
def test_silence(make: Make, provider: Provider, piece: int, stream: bool) -> None:
    def reply(request: Received) -> Answer:
        frames = text_frames("Hi") if stream else [b'{"id": ', b'"x"', b"}"]
        return Answer(frames, headers=SSE, gate=silent_from(piece))

    provider.reply = reply
    error = failure(make(stream=stream, call={"first_byte_timeout": 0.2, "idle_timeout": 0.2}))
    assert (error.status, error.code) == (504, "upstream_timeout")


def test_silence_before_a_refusals_body(make: Make, provider: Provider) -> None:
    provider.reply = lambda request: Answer([b"{}"], status=503, gate=silent_from(0))
    error = failure(make(call={"idle_timeout": 0.2}))
    assert (error.status, error.code) == (504, "upstream_timeout")


def test_pings_are_not_silence(make: Make, provider: Provider) -> None:
    """A provider that sends comments while it thinks is alive, however long it takes."""
    gate = Steps()
    frames = [b": thinking\n\n"] * 6 + text_frames("Hi")
    provider.reply = lambda request: Answer(frames, headers=SSE, gate=gate)

    async def watch() -> None:
        upstream = HttpUpstream(connect_timeout=5)
        call = make(stream=True, call={"idle_timeout": 0.4})
        task = asyncio.create_task(attempt(flight, call, upstream))
        for _ in range(6):
            await asyncio.sleep(0.1)
            gate.release()
        gate.release(9)
        await task
        await upstream.close()

    flight = Flight()
    asyncio.run(watch())
    assert answer(flight).choices[0].content == "Hi"


@pytest.mark.parametrize("frames", [0, 1, 2, 4])
def test_a_stream_that_is_cut(make: Make, provider: Provider, frames: int) -> None:
    provider.reply = lambda request: Answer(text_frames("a", "b")[:frames], headers=SSE, drop=True)
    flight = Flight()
    error = failure(make(stream=True), flight)
    assert (error.status, error.code) == (502, "upstream_closed")
    seen = flight.exchange is not None and flight.exchange.content_seen
    assert seen == (frames > 1)


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_without_an_end(make: Make, provider: Provider, stream: bool) -> None:
    """The body ends well, but the answer in it does not."""
    if stream:
        provider.reply = lambda request: Answer(text_frames("a")[:2], headers=SSE)
    else:
        value = {**completion({"content": "a"}), "choices": []}
        provider.reply = lambda request: Answer([json.dumps(value).encode()])
    assert failure(make(stream=stream)).status == 502


def test_an_error_event(make: Make, provider: Provider) -> None:
    frames = [*text_frames("Hi")[:2], *sse({"error": REFUSALS[503]})]
    provider.reply = lambda request: Answer(frames, headers=SSE)
    flight = Flight()
    error = failure(make(stream=True), flight)
    assert (error.message, error.code) == ("Full.", "overloaded")
    assert flight.exchange is not None
    assert flight.exchange.content_seen


def test_a_stream_without_end(
    make: Make, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends when there is too much of it, and nobody tries again."""
    monkeypatch.setattr("reflex_core.attempt.MAX_ANSWER", 100_000)
    frames = [frame for _ in range(2000) for frame in text_frames("on and on ")[1:2]]
    provider.reply = lambda request: Answer(frames, headers=SSE)
    error = failure(make(stream=True))
    assert (error.status, error.code) == (413, "upstream_too_large")
    assert not worth_another_try(error)


def test_a_missing_key(make: Make, provider: Provider) -> None:
    error = failure(make("anthropic", key=""))
    assert (error.status, error.code) == (401, "missing_api_key")
    assert "ANTHROPIC_API_KEY" in error.message
    assert not provider.received


def test_what_cannot_be_translated(make: Make, provider: Provider) -> None:
    with pytest.raises(BadRequest):
        run(make("anthropic", messages=[{"role": "wizard", "content": "Hi"}]))
    assert not provider.received


def test_a_cancelled_attempt_hangs_up(make: Make, provider: Provider) -> None:
    provider.reply = lambda request: Answer(text_frames("Hi"), headers=SSE, gate=silent_from(2))

    async def cancel() -> None:
        upstream, flight = HttpUpstream(connect_timeout=5), Flight()
        task = asyncio.create_task(attempt(flight, make(stream=True), upstream))
        await until(lambda: flight.started)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: provider.disconnects == 1)
        await upstream.close()

    asyncio.run(cancel())


# ---------------------------------------------------------------------- streams for JSON readers


def test_streamed(make: Make) -> None:
    request = make(temperature=0.5).request
    as_stream = streamed(request)
    assert as_stream.stream
    assert json.loads(as_stream.raw) == as_stream.body == {**request.body, "stream": True}
    assert not request.body.get("stream"), "the client's own is left alone"
    assert streamed(as_stream) is as_stream


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ApiError(400, "Your organization must be verified to stream this model."), True),
        (ApiError(400, "Unsupported value.", param="stream"), True),
        (ApiError(422, "streaming is not supported"), True),
        (ApiError(400, "Downstream mistake."), False),
        (ApiError(400, "Unknown parameter.", param="stream_options"), False),
        (ApiError(500, "The stream broke."), False),
        (ApiError(401, "No stream for you."), False),
    ],
    ids=lambda value: value.message if isinstance(value, ApiError) else None,
)
def test_refuses_streams(error: ApiError, expected: bool) -> None:
    assert refuses_streams(error) is expected


def test_calls_hide_the_clients_headers(make: Make) -> None:
    call = replace(make(), forward=(("x-client-request-id", "secret"),))
    assert "secret" not in repr(call)
    assert "sk-test" not in repr(call)
