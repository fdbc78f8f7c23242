"""The core put together: a real provider on one side, whole requests on the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from reflex_core.app import App
from reflex_core.passthrough import Passthrough
from reflex_core.prepared import Prepared
from reflex_core.reply import Pending, Reply
from tests.e2e.provider import Answer, Provider, Received, Steps
from tests.e2e.speech import completion, echo, text_frames, tool_frames

from .running import body_of, settled
from .settings import settings

SSE = {"content-type": "text/event-stream"}
AUTH = {"authorization": "Bearer sk-a"}


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    server.reply = echo
    yield server
    server.close()


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Start = Callable[..., Any]


@pytest.fixture
def start(provider: Provider, tmp_path: Path, clock: Clock) -> Start:
    """Starts an App in front of `provider`; options as a user would set them."""

    @asynccontextmanager
    async def started(**options: Any) -> AsyncIterator[App]:
        values = {"upstream": provider.url, "disconnect_grace": 0, "shutdown_grace": 0, **options}
        app = App(settings(tmp_path / "store", **values), clock=clock)
        await app.start()
        try:
            yield app
        finally:
            await app.stop()

    return started


def run[T](main: Coroutine[Any, Any, T]) -> T:
    async def guarded() -> T:
        async with asyncio.timeout(20):
            return await main

    return asyncio.run(guarded())


def prepare(app: App, body: Any, headers: Mapping[str, str] = AUTH) -> Prepared:
    prepared = app.prepare(orjson.dumps(body), headers)
    assert isinstance(prepared, Prepared)
    return prepared


async def begin(app: App, text: str = "Hi", headers: Mapping[str, str] = {}, **more: Any) -> Any:
    """A Reply, or a Pending that must be closed."""
    return await app.chat(prepare(app, body_of(text, **more), {**AUTH, **headers}))


async def finish(outcome: Reply | Pending) -> Reply:
    if isinstance(outcome, Reply):
        return outcome
    try:
        return await outcome.whole()
    finally:
        outcome.close()


async def ask(app: App, text: str = "Hi", headers: Mapping[str, str] = {}, **more: Any) -> Reply:
    """The whole reply; what may be stored is by then."""
    reply = await finish(await begin(app, text, headers, **more))
    await settled(app)
    return reply


def headers_of(reply: Reply) -> dict[str, str]:
    return {name.lower(): value for name, value in reply.headers}


def status(reply: Reply) -> str:
    return headers_of(reply)["x-reflex-status"]


def said(reply: Reply) -> str:
    return json.loads(reply.body)["choices"][0]["message"]["content"]


def error(reply: Reply | None) -> tuple[int, str]:
    assert isinstance(reply, Reply)
    return reply.status, json.loads(reply.body)["error"]["code"]


# ---------------------------------------------------------------------- misses and hits


def test_a_miss_then_hits(start: Start, provider: Provider) -> None:
    async def main() -> None:
        async with start() as app:
            first = await ask(app)
            assert (status(first), said(first)) == ("miss", "You said: Hi")
            assert headers_of(first)["x-reflex-provider"] == "openai"
            again = await ask(app)
            assert (status(again), again.body) == ("hit-l1-exact", first.body)
            stream = await ask(app, stream=True)
            assert status(stream) == "hit-l1-exact"
            assert stream.body.endswith(b"data: [DONE]\n\n")
            fast = app.fast_hit(prepare(app, body_of("Hi")))
            assert fast is not None
            assert fast.body == first.body
            assert app.fast_hit(prepare(app, body_of("Ho"))) is None
        async with start() as app:
            assert status(await ask(app)) == "hit-l1-exact", "after a restart"

    run(main())
    assert len(provider.received) == 1


def test_what_divides(start: Start, provider: Provider) -> None:
    async def main() -> None:
        async with start(shared_namespaces="team") as app:
            await ask(app)
            for headers, more in (
                ({"authorization": "Bearer sk-b"}, {}),
                ({"x-reflex-namespace": "mine"}, {}),
                ({}, {"model": "gpt-5"}),
                ({}, {"temperature": 0.5}),
                ({}, {"model": "groq::gpt-4o"}),
            ):
                reply = await ask(app, headers=headers, **more)
                assert status(reply) == "miss", (headers, more)
            for headers, more in (
                ({}, {"user": "somebody", "metadata": {"a": "b"}}),
                ({}, {"stream_options": {"include_usage": True}}),
            ):
                assert status(await ask(app, headers=headers, **more)) == "hit-l1-exact"
            team = {"x-reflex-namespace": "team"}
            assert status(await ask(app, headers=team)) == "miss"
            team["authorization"] = "Bearer sk-b"
            assert status(await ask(app, headers=team)) == "hit-l1-exact"

    run(main())


def test_wishes(start: Start, provider: Provider) -> None:
    async def main() -> None:
        async with start() as app:
            reply = await ask(app, headers={"cache-control": "only-if-cached"})
            assert error(reply) == (504, "not_cached")
            assert headers_of(reply)["x-should-retry"] == "false"
            assert status(await ask(app, headers={"cache-control": "no-store"})) == "miss"
            assert status(await ask(app)) == "miss", "it was not stored"
            assert status(await ask(app, headers={"cache-control": "no-cache"})) == "bypass"
            assert (
                app.fast_hit(prepare(app, body_of("Hi"), {**AUTH, "cache-control": "no-cache"}))
                is None
            )
            assert (
                status(await ask(app, headers={"cache-control": "only-if-cached"}))
                == "hit-l1-exact"
            )

    run(main())
    assert len(provider.received) == 3


def test_ages(start: Start, clock: Clock) -> None:
    async def main() -> None:
        async with start(ttl="100s", stale_if_error="1h") as app:
            await ask(app)
            clock.now += 50
            young, old = {"cache-control": "max-age=60"}, {"cache-control": "max-age=40"}
            hit = await ask(app, headers=young)
            assert (status(hit), headers_of(hit)["age"]) == ("hit-l1-exact", "50")
            assert "ttl=50" in headers_of(hit)["cache-status"]
            assert status(await ask(app, headers=old)) == "miss"
            clock.now += 101
            assert status(await ask(app)) == "miss"

    run(main())


def test_a_stale_answer_when_everything_fails(
    start: Start, provider: Provider, clock: Clock
) -> None:
    async def main() -> None:
        async with start(ttl="100s", stale_if_error="1h") as app:
            await ask(app)
            provider.reply = lambda request: Answer([b"{}"], status=500)
            clock.now += 200
            stale = await ask(app)
            assert (status(stale), said(stale)) == ("stale", "You said: Hi")
            clock.now += 3600
            assert (await ask(app)).status == 500

    run(main())


def test_without_a_cache(start: Start, provider: Provider) -> None:
    async def main() -> None:
        async with start(cache=False) as app:
            for _ in range(2):
                reply = await ask(app)
                assert status(reply) == "bypass"
                assert "cache-off" in headers_of(reply)["cache-status"]
            assert app.fast_hit(prepare(app, body_of("Hi"))) is None

    run(main())
    assert len(provider.received) == 2


@pytest.mark.parametrize(
    ("frames", "stored", "reason"),
    [
        (tool_frames("f", "{}"), True, None),
        (text_frames("x"), True, None),
        (text_frames("x" * 5000), False, "too-large"),
        (
            [frame.replace(b'"stop"', b'"content_filter"') for frame in text_frames("x")],
            False,
            "content-filter",
        ),
        (text_frames("x")[:2], False, None),
    ],
    ids=["tools", "text", "large", "filtered", "cut"],
)
def test_what_is_stored(
    start: Start, provider: Provider, frames: list[bytes], stored: bool, reason: str | None
) -> None:
    provider.reply = lambda request: Answer(frames, headers=SSE)

    async def main() -> None:
        async with start(max_answer=2048) as app:
            await ask(app)
            await ask(app)
            assert len(provider.received) == (1 if stored else 2)
            assert app.stats.not_stored == ({reason: 2} if reason else {})

    run(main())


def test_a_fallbacks_answer_is_stored_as_its_own(
    start: Start, provider: Provider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "reflex.toml"
    config.write_text(f'[providers.other]\nbase_url = "{provider.url}/other"\n')
    provider.reply = lambda request: (
        echo(request) if request.path.startswith("/other") else Answer([b"{}"], status=503)
    )

    async def main() -> None:
        async with start(config=str(config), fallbacks="gpt-4o=other::big") as app:
            first = await ask(app)
            assert headers_of(first)["x-reflex-provider"] == "other"
            assert provider.received[-1].json["model"] == "big"
            again = await ask(app)
            assert len(provider.received) == 3, "the first is asked again"
            assert status(again) == "hit-l1-exact", "but the fallback's stored answer is used"
            assert status(await ask(app, model="other::big")) == "hit-l1-exact"
            assert (await ask(app, model="gpt-5")).status == 503

    run(main())


# ---------------------------------------------------------------------- requests on their way


def test_equal_requests_share_one_call(start: Start, provider: Provider) -> None:
    gate = Steps()
    provider.reply = lambda request: Answer(text_frames("Hi"), headers=SSE, gate=gate)

    async def main() -> None:
        async with start() as app:
            first = await begin(app, stream=True)
            second = await begin(app)
            alone = await begin(app, headers={"cache-control": "no-store"})
            gate.release(100)
            replies = [await finish(each) for each in (first, second, alone)]
            assert [status(each) for each in replies] == ["miss", "coalesced", "miss"]
            assert said(replies[1]) == "Hi"
            assert len(provider.received) == 2
            assert app.stats_json()["readers"] == 0

    run(main())


def test_when_all_have_left_the_call_is_given_up(start: Start, provider: Provider) -> None:
    provider.reply = lambda request: Answer(
        text_frames("Hi"), headers=SSE, gate=lambda piece: piece < 2
    )

    async def main() -> None:
        async with start() as app:
            pendings = [await begin(app, stream=True), await begin(app)]
            async with asyncio.timeout(10):
                while not provider.received:  # noqa: ASYNC110  the server runs in another thread
                    await asyncio.sleep(0.01)
            for pending in pendings:
                pending.close()
            await settled(app)
            while not provider.disconnects:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert app.stats.cancelled == 1
            assert app.stats.codes[499] == 2

    run(main())


def test_a_call_may_finish_for_the_cache(start: Start, provider: Provider) -> None:
    gate = Steps()
    provider.reply = lambda request: Answer(text_frames("Hi"), headers=SSE, gate=gate)

    async def main() -> None:
        async with start(on_disconnect="finish") as app:
            (await begin(app, stream=True)).close()
            gate.release(100)
            await settled(app)
            assert status(await ask(app)) == "hit-l1-exact"

    run(main())


def test_stopping(start: Start, provider: Provider) -> None:
    """Open answers may end; hits are still served, misses are sent away."""
    gate = Steps()

    def reply(request: Received) -> Answer:
        held = gate if "slow" in request.body.decode() else None
        return Answer(text_frames("Hi"), headers=SSE, gate=held)

    provider.reply = reply

    async def main() -> None:
        async with start(shutdown_grace="10s") as app:
            await ask(app, "known")
            slow = asyncio.create_task(ask(app, "slow"))
            async with asyncio.timeout(10):
                while len(provider.received) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            stop = asyncio.create_task(app.stop())
            await asyncio.sleep(0.01)
            assert status(await finish(await begin(app, "known"))) == "hit-l1-exact"
            refused = await finish(await begin(app, "new"))
            assert error(refused) == (503, "stopping")
            gate.release(100)
            assert said(await slow) == "Hi"
            await stop

    run(main())


def test_in_a_hurry_open_answers_are_cut(start: Start, provider: Provider) -> None:
    provider.reply = lambda request: Answer([], gate=lambda piece: False)

    async def main() -> None:
        async with start(shutdown_grace="1h") as app:
            pending = await begin(app)
            hurry = asyncio.Event()
            stop = asyncio.create_task(app.stop(hurry))
            await asyncio.sleep(0.01)
            hurry.set()
            await stop
            assert error(await finish(pending)) == (503, "stopping")

    run(main())


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize("raw", [b"", b"{", b'{"model": 7}', b"[]"])
def test_who_judges_a_body_that_cannot_be_read(start: Start, raw: bytes) -> None:
    async def main() -> None:
        for options, judged_here in (
            ({}, False),
            ({"provider": "groq"}, False),
            ({"provider": "anthropic"}, True),
            ({"provider": "mock"}, True),
            ({"offline": True}, True),
        ):
            async with start(**options) as app:
                found = app.prepare(raw, AUTH)
                if judged_here:
                    assert isinstance(found, Reply)
                    assert found.status == 400
                    assert app.stats.codes[400] == 1
                else:
                    assert found is None

    run(main())


def test_unknown_providers_and_missing_keys(
    start: Start, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)

    async def main() -> None:
        async with start() as app:
            unknown = app.prepare(orjson.dumps(body_of("Hi", model="nobody::x")), AUTH)
            assert error(unknown) == (404, "model_not_found")  # type: ignore[arg-type]
            assert error(await ask(app, model="claude-sonnet-4-5")) == (401, "missing_api_key")

    run(main())
    assert not provider.received


def test_offline(start: Start, provider: Provider) -> None:
    async def main() -> None:
        async with start() as app:
            await ask(app)
        async with start(offline=True) as app:
            assert status(await ask(app)) == "hit-l1-exact"
            assert (await ask(app, "else")).status >= 400
            refused = app.passthrough("/files", AUTH, None)
            assert isinstance(refused, Reply)

    run(main())
    assert len(provider.received) == 1


# ---------------------------------------------------------------------- everything else


def test_other_paths_and_small_replies(start: Start) -> None:
    async def main() -> None:
        async with start() as app:
            assert isinstance(app.passthrough("/files", AUTH, None), Passthrough)
            assert error(app.no_websocket()) == (501, "websocket_not_supported")
            assert error(app.unknown_path("/x?key=secret")) == (404, "unknown_url")
            assert b"secret" not in app.unknown_path("/x?key=secret").body
            assert json.loads(app.health().body) == {"status": "ok"}
            ready = await app.ready()
            assert ready.status == 200
            assert json.loads(ready.body)["components"]["storage"] == "ready"

    run(main())


def test_stats_lookup_and_purge(start: Start) -> None:
    async def main() -> None:
        async with start() as app:
            first = await ask(app)
            await ask(app)
            lines = app.stats_lines()
            assert {"requests: 2", "requests hit-l1-exact: 1", "hit rate: 50.0%"} <= set(lines)
            digits = headers_of(first)["cache-status"].partition('key="')[2].partition('"')[0]
            assert "model: gpt-4o" in app.lookup_lines(digits)
            assert await asyncio.to_thread(app.purge, "key", digits) == 1
            assert app.lookup_lines(digits) == ["nothing is stored under this key"]
            assert status(await ask(app)) == "miss"
            with pytest.raises(ValueError):
                app.purge("something", "")

    run(main())


def test_spoken_answers_are_not_asked_for_as_streams(start: Start, provider: Provider) -> None:
    provider.reply = lambda request: Answer([orjson.dumps(completion({"content": "x"}))])

    async def main() -> None:
        async with start() as app:
            await ask(app, audio={"voice": "alloy"}, modalities=["text", "audio"])
            assert "stream" not in provider.received[0].json

    run(main())
