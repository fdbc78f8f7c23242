"""Calls that no client waits for: one whole answer, paid for, or an error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from reflex_core import config as configuration
from reflex_core.backends.http_upstream import HttpUpstream
from reflex_core.breaker import Breakers
from reflex_core.catalog_rows import PROVIDERS
from reflex_core.errands import Errands
from reflex_core.errors import UpstreamError
from reflex_core.fetch import Fetcher, Persistence
from reflex_core.inbound import parse
from reflex_core.partial import Partials
from reflex_core.types import Completion, Target

from .e2e.provider import Answer, Provider
from .e2e.speech import USAGE, echo, text_frames

SSE = {"content-type": "text/event-stream"}


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    server.reply = echo
    yield server
    server.close()


def ask(provider: Provider, key: str | None = "key", **more: Any) -> tuple[Completion, list[Any]]:
    """The answer, and what was paid."""
    paid: list[Any] = []
    request = parse(
        json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **more}).encode()
    )

    async def nothing(call: object) -> None:
        pytest.fail("nothing is looked up for an errand")

    async def run() -> Completion:
        upstream = HttpUpstream(connect_timeout=5)
        fetcher = Fetcher(
            upstream, Persistence(2, 2), Breakers(5, 60), Partials(60), nothing, _nothing_stale
        )
        errands = Errands(
            fetcher,
            configuration.build({"first_byte_timeout": 5}, {}),
            lambda *account: paid.append(account),
            lambda: "own",
            lambda: 1000.0,
        )
        target = Target(PROVIDERS["openai"], "m-1", provider.url, key)
        try:
            return await errands.ask(request, target, [("user-agent", "me")])
        finally:
            await upstream.close()

    return asyncio.run(run()), paid


async def _nothing_stale(call: object) -> None:
    return None


@pytest.mark.parametrize("stream", [False, True])
def test_one_answer(provider: Provider, stream: bool) -> None:
    completion, paid = ask(provider, stream=stream)
    assert completion.choices[0].content == "You said: Hi"
    assert paid == [("openai", "m-1", USAGE)]
    (received,) = provider.received
    assert received.headers["user-agent"] == "me"
    assert received.json.get("stream", False) is stream


def test_a_json_request_is_not_made_a_stream(provider: Provider) -> None:
    ask(provider)
    assert "stream" not in provider.received[0].json


def test_it_is_tried_once(provider: Provider) -> None:
    provider.reply = lambda request: Answer([b'{"error": {"message": "busy"}}'], status=503)
    with pytest.raises(UpstreamError) as caught:
        ask(provider)
    assert caught.value.error.status == 503
    assert len(provider.received) == 1


def test_without_a_key(provider: Provider) -> None:
    with pytest.raises(UpstreamError) as caught:
        ask(provider, key=None)
    assert caught.value.error.code == "missing_api_key"
    assert provider.received == []


def test_a_cut_answer_is_no_answer(provider: Provider) -> None:
    frames = text_frames("Hello")[:2]
    provider.reply = lambda request: Answer(frames, headers=SSE, drop=True)
    with pytest.raises(UpstreamError):
        ask(provider, stream=True)
