"""The layer under the hooks: answers that come over time, hits before any hook, failures in words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.test import taddons

from addons import live
from addons.intake import Intake

from .wire import Wire

POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
CHAT = Intake("chat", "/chat/completions")
HOOKS = ["requestheaders", "request"]


class Stage:
    """A wire, and the answers that an addon would have registered."""

    def __init__(self) -> None:
        self.there = True
        self.answers = live.LiveAnswers(lambda client_id: self.wire if self.there else None)  # type: ignore[arg-type,return-value]
        live.install(self.answers)
        context = taddons.context(Proxyserver())
        self.wire = Wire(context.options)
        self.closed = 0

    def answer(self, *messages: Any, endless: bool = False) -> None:
        """In the request hook: answer with these, one after the other. Awaitables are waited for."""

        async def run(send: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
            for message in messages:
                if isinstance(message, asyncio.Event):
                    await message.wait()
                elif isinstance(message, Exception):
                    raise message
                else:
                    await send(message)

        def close() -> None:
            self.closed += 1

        self.wire.on["request"] = lambda flow: self.answers.register(
            flow, live.LiveAnswer(run, close, endless=endless)
        )


def head(**headers: str) -> live.Head:
    return live.Head(http.Response.make(200, b"", {"transfer-encoding": "chunked", **headers}))


@pytest.fixture
def stage() -> Callable[[Callable[[Stage], Coroutine[Any, Any, None]]], None]:
    """Runs a test inside a loop."""

    def run(test: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with asyncio.timeout(10):
                await test(Stage())

        asyncio.run(main())

    return run


Run = Callable[[Callable[[Stage], Coroutine[Any, Any, None]]], None]


async def settle() -> None:
    """Lets all tasks take their next steps."""
    for _ in range(10):
        await asyncio.sleep(0)


# ---------------------------------------------------------------------- answers over time


def test_pieces_go_out_as_they_come(stage: Run) -> None:
    async def test(stage: Stage) -> None:
        wire, gate = stage.wire, asyncio.Event()
        stage.answer(head(), b"one", gate, b"two", None)
        wire.receive(POST)
        assert wire.hooks == HOOKS
        await settle()
        assert wire.sent.endswith(b"\r\n\r\n3\r\none\r\n")
        assert wire.hooks == [*HOOKS, "responseheaders"]
        gate.set()
        await settle()
        assert wire.sent.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        assert wire.hooks == [*HOOKS, "responseheaders", "response"]
        assert wire.flow is not None
        assert wire.flow.response is not None
        assert wire.flow.response.content == b"onetwo", "for those who save flows"
        assert stage.closed == 1
        assert not wire.opened, "nothing upstream"
        stage.answer(head(), b"three", None)
        wire.receive(POST)
        await settle()
        assert wire.sent.endswith(b"5\r\nthree\r\n0\r\n\r\n"), "the connection serves on"

    stage(test)


def test_a_client_that_leaves_ends_it(stage: Run) -> None:
    async def test(stage: Stage) -> None:
        stage.answer(head(), b"one", asyncio.Event(), b"two", None)
        stage.wire.receive(POST)
        await settle()
        stage.wire.leave()
        await settle()
        assert stage.closed == 1
        assert stage.wire.hooks[-1] == "error"
        assert stage.wire.flow is not None
        assert stage.wire.flow.error is not None
        assert stage.wire.flow.response is not None
        assert stage.wire.flow.response.content == b"one"

    stage(test)


def test_a_client_that_leaves_before_it_starts(stage: Run) -> None:
    async def test(stage: Stage) -> None:
        stage.answer(head(), asyncio.Event())
        stage.wire.receive(POST)
        stage.wire.leave()  # the task has not taken its first step
        await settle()
        assert stage.closed == 1

    stage(test)


def test_a_client_that_left_during_the_hook(stage: Run) -> None:
    async def test(stage: Stage) -> None:
        stage.answer(head(), b"one", None)
        stage.there = False
        stage.wire.receive(POST)
        await settle()
        assert stage.closed == 1

    stage(test)


@pytest.mark.parametrize("how", ["response", "kill"])
def test_another_addon_decides_otherwise(stage: Run, how: str) -> None:
    async def test(stage: Stage) -> None:
        stage.answer(head(), None)
        register = stage.wire.on["request"]

        def request(flow: http.HTTPFlow) -> None:
            register(flow)
            if how == "kill":
                flow.kill()
            else:
                flow.response = http.Response.make(418)

        stage.wire.on.update(
            request=request, response=stage.answers.abandon, error=stage.answers.abandon
        )
        stage.wire.receive(POST)
        await settle()
        assert stage.closed == 1
        assert (b"418" in stage.wire.sent) == (how == "response")

    stage(test)


def test_an_answer_that_fails(stage: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def test(stage: Stage) -> None:
        stage.answer(RuntimeError("no luck"))
        stage.wire.receive(POST)
        await settle()
        assert stage.wire.sent.startswith(b"HTTP/1.1 502 ")
        assert stage.closed == 1
        assert "no luck" in caplog.text

    stage(test)


def test_an_answer_that_fails_later(stage: Run) -> None:
    async def test(stage: Stage) -> None:
        stage.answer(head(), b"one", RuntimeError())
        stage.wire.receive(POST)
        await settle()
        assert stage.wire.sent.endswith(b"3\r\none\r\n0\r\n\r\n")

    stage(test)


@pytest.mark.parametrize(
    ("keep", "endless", "kept"), [(True, False, True), (False, False, False), (True, True, False)]
)
def test_what_is_kept_of_a_large_answer(stage: Run, keep: bool, endless: bool, kept: bool) -> None:
    async def test(stage: Stage) -> None:
        stage.answers.keep_bodies = keep
        stage.answer(head(), b"x" * live.MAX_KEPT, b"y", None, endless=endless)
        stage.wire.receive(POST)
        await settle()
        assert stage.wire.flow is not None
        assert stage.wire.flow.response is not None
        assert bool(stage.wire.flow.response.raw_content) == kept

    stage(test)


# ---------------------------------------------------------------------- before the hooks


def fast(stage: Stage, response: http.Response | None) -> list[bytes]:
    """Answers chats before the hooks; the bodies it was asked for."""
    asked: list[bytes] = []

    def answer(flow: http.HTTPFlow, intake: Intake, body: bytes) -> http.Response | None:
        assert intake is CHAT
        asked.append(body)
        return response

    stage.answers.fast = answer
    stage.answers.wants_fast = lambda flow: CHAT if flow.request.method == "POST" else None
    return asked


@pytest.mark.parametrize("body", [b"hit", b""])
def test_a_hit_runs_no_hook(stage: Run, body: bytes) -> None:
    async def test(stage: Stage) -> None:
        asked = fast(stage, http.Response.make(200, body))
        for count in (1, 2):
            stage.wire.receive(POST[:-2])
            assert stage.wire.sent.count(b"HTTP/1.1 200") == count - 1, "the body is not whole"
            stage.wire.receive(POST[-2:])
            assert stage.wire.sent.count(b"HTTP/1.1 200") == count
            assert stage.wire.sent.endswith(b"\r\n\r\n" + body)
        assert asked == [b"body", b"body"]
        assert stage.wire.hooks == []

    stage(test)


def test_a_miss_runs_the_hooks_after_all(stage: Run) -> None:
    async def test(stage: Stage) -> None:
        asked = fast(stage, None)
        stage.answer(head(), b"one", None)
        stage.wire.receive(POST)
        await settle()
        assert asked == [b"body"]
        assert stage.wire.hooks == [*HOOKS, "responseheaders", "response"]
        assert stage.wire.flow is not None
        assert stage.wire.flow.request.content == b"body"

    stage(test)


def test_others_are_not_held(stage: Run) -> None:
    async def test(stage: Stage) -> None:
        asked = fast(stage, http.Response.make(200))
        stage.wire.on["request"] = lambda flow: setattr(flow, "response", http.Response.make(204))
        stage.wire.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not asked
        assert stage.wire.hooks[:2] == HOOKS
        assert b"204" in stage.wire.sent

    stage(test)


def test_a_flow_killed_in_its_held_hook(stage: Run) -> None:
    async def test(stage: Stage) -> None:
        fast(stage, None)
        stage.wire.on["requestheaders"] = lambda flow: flow.kill()
        stage.wire.receive(POST)
        assert stage.wire.hooks == ["requestheaders", "error"]
        assert b"200" not in stage.wire.sent

    stage(test)


def test_a_client_that_leaves_while_it_is_held(stage: Run) -> None:
    async def test(stage: Stage) -> None:
        asked = fast(stage, http.Response.make(200))
        stage.wire.receive(POST[:-2])
        stage.wire.leave()
        assert not asked
        assert stage.wire.sent == b""

    stage(test)


# ---------------------------------------------------------------------- failures in words


def test_a_failed_connection_is_worded(stage: Run) -> None:
    async def test(stage: Stage) -> None:
        stage.answers.failure = lambda flow, text: http.Response.make(502, f"because {text}")
        stage.wire.receive(POST)
        assert stage.wire.opened == 1
        assert stage.wire.sent.startswith(b"HTTP/1.1 502 ")
        assert stage.wire.sent.endswith(b"because refused")
        assert stage.wire.hooks[-1] == "response"

    stage(test)


def test_flows_that_are_none_of_ours_fail_as_ever(stage: Run) -> None:
    async def test(stage: Stage) -> None:
        stage.wire.receive(POST)
        assert b"<html>" in stage.wire.sent
        assert stage.wire.hooks[-1] == "error"

    stage(test)


def test_installing_again_changes_the_answers_only() -> None:
    first, second = live.LiveAnswers(lambda i: None), live.LiveAnswers(lambda i: None)
    live.install(first)
    layer, handler = http_layers.HttpStream, http_layers.HttpLayer._handle_event
    live.install(second)
    assert (http_layers.HttpStream, http_layers.HttpLayer._handle_event) == (layer, handler)
    assert layer is live.LiveStream
