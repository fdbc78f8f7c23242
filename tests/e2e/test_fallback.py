"""When a call fails before its first token: who is asked next, and under whose name it is stored."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest

from .asking import ask, ask_stream, joined, status
from .conftest import Stand
from .crowd import Crowd, Seen
from .faults import GOOD, SSE, TEXT, good, never, refused
from .provider import Answer, Provider, Received
from .proxy import Proxy

CHAINS = {
    "order": ("order2", "order3"),
    "keyless": ("nokey", "keyless2"),
    "store": ("store2",),
    "late": ("late2",),
    "breaker": ("breaker2",),
    "lonely": (),
    "slow": ("slow2",),
}
"""Provider: its fallbacks. Each test has its own, as circuit breakers remember."""


@dataclass
class Chain:
    """Rows in `failing` say 503, the others answer."""

    stand: Stand
    failing: set[str] = field(default_factory=set)

    def reply(self, request: Received) -> Answer:
        row = request.path.split("/")[1]
        return refused(503, f"{row}_is_down") if row in self.failing else good(request)

    @property
    def asked(self) -> list[str]:
        """The rows that were called, in order, since this was last looked at."""
        received, self.stand.provider.received = self.stand.provider.received, []
        return [request.path.split("/")[1] for request in received]


@pytest.fixture(scope="module")
def _chain(confdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    provider = Provider()
    folder = tmp_path_factory.mktemp("chain")
    fallbacks = [f"{one}::m={other}::m" for one, others in CHAINS.items() for other in others]
    rows = [
        f'[providers.{name}]\ncodec = "openai-chat"\nbase_url = "{provider.url}/{name}"\n'
        + ('key_env = "NOKEY_API_KEY"\n' if name == "nokey" else "key_required = false\n")
        for name in {*CHAINS, *(other for others in CHAINS.values() for other in others)}
    ]
    config = folder / "reflex.toml"
    config.write_text(f"fallbacks = {json.dumps(fallbacks)}\n" + "\n".join(rows))
    proxy = Proxy(
        confdir,
        folder / "store",
        reflex_config=str(config),
        reflex_breaker_failures="2",
        reflex_breaker_reset="1s",
        reflex_keepalive="100ms",
        reflex_first_byte_timeout="500ms",
        reflex_ttl="1s",
    )
    stand = Stand(proxy, provider)
    yield stand
    stand.close()


@pytest.fixture
def chain(_chain: Stand) -> Chain:
    chain = Chain(_chain.fresh())
    _chain.provider.reply = chain.reply
    return chain


def by(headers: Any) -> str:
    return headers["x-reflex-provider"]


def failure(chain: Chain, question: str, model: str) -> str | None:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(chain.stand.proxy, question, model=model)
    return caught.value.code


def test_fallbacks_in_their_order(chain: Chain, question: str) -> None:
    chain.failing = {"order", "order2"}
    headers, answer = ask(chain.stand.proxy, question, model="order::m")
    assert (by(headers), status(headers)) == ("order3", "miss")
    assert answer.choices[0].message.content == TEXT
    assert chain.asked == ["order", "order2", "order3"]
    chain.failing = {"order", "order2", "order3"}
    assert failure(chain, question + " again", "order::m") == "order3_is_down"


def test_a_fallback_that_cannot_be_asked(chain: Chain, question: str) -> None:
    """It is passed over; the log names it, and the client never hears of the proxy's own settings."""
    chain.failing = {"keyless"}
    headers, _ = ask(chain.stand.proxy, question, model="keyless::m")
    assert by(headers) == "keyless2"
    assert (
        "fallback nokey cannot answer (No API key for provider 'nokey': set"
        in chain.stand.proxy.log
    )
    chain.failing = {"keyless", "keyless2"}
    assert failure(chain, question + " again", "keyless::m") == "keyless2_is_down"
    assert "nokey" not in chain.asked


def test_stored_as_the_model_that_answered(chain: Chain, question: str) -> None:
    """A repeat asks the first provider again, and the fallback's answer is not paid for twice."""
    chain.failing = {"store"}
    assert by(ask(chain.stand.proxy, question, model="store::m")[0]) == "store2"
    assert chain.asked == ["store", "store2"]
    headers, _ = ask(chain.stand.proxy, question, model="store2::m")
    assert (status(headers), chain.asked) == ("hit-l1-exact", [])
    headers, chunks = ask_stream(chain.stand.proxy, question, model="store::m")
    assert (status(headers), by(headers), joined(chunks)) == ("hit-l1-exact", "store2", TEXT)
    assert "age" in headers
    assert chain.asked == ["store"]
    time.sleep(1.1)  # the TTL, and the circuit breaker
    chain.failing = set()
    headers, _ = ask(chain.stand.proxy, question, model="store::m")
    assert (status(headers), by(headers)) == ("miss", "store")


def test_an_expired_answer_is_not_served_by_itself(chain: Chain, question: str) -> None:
    ask(chain.stand.proxy, question, model="lonely::m")
    time.sleep(1.1)
    chain.failing = {"lonely"}
    assert failure(chain, question, "lonely::m") == "lonely_is_down"


def test_no_fallback_after_the_first_token(chain: Chain, question: str) -> None:
    """Another model's words would not go with those that are out."""

    def reply(request: Received) -> Answer:
        return Answer(GOOD[:2], headers=SSE, drop=True)

    chain.stand.provider.reply = reply

    async def run() -> Seen:
        async with Crowd(chain.stand.proxy) as crowd:
            return await crowd.ask(question, model="late::m")

    seen = asyncio.run(run())
    assert (seen.text, (seen.error or {})["code"]) == ("It ", "upstream_closed")
    assert chain.asked == ["late"]


def test_what_is_not_known_is_not_said(chain: Chain, question: str) -> None:
    """Keep-alives have gone out before it was clear who would answer."""

    def reply(request: Received) -> Answer:
        return Answer(gate=never) if request.path.startswith("/slow/") else good(request)

    chain.stand.provider.reply = reply

    async def run() -> Seen:
        async with Crowd(chain.stand.proxy) as crowd:
            return await crowd.ask(question, model="slow::m")

    seen = asyncio.run(run())
    assert seen.text == TEXT
    assert seen.raw.count(b": keep-alive\n\n") >= 2
    assert "x-reflex-provider" not in seen.headers


def test_a_circuit_breaker(chain: Chain, question: str) -> None:
    """After two failures the provider is passed over; after a second one call tries it again."""

    def asked(number: int) -> list[str]:
        ask(chain.stand.proxy, f"{question} {number}", model="breaker::m")
        return chain.asked

    chain.failing = {"breaker"}
    assert asked(0) == asked(1) == ["breaker", "breaker2"]
    assert asked(2) == asked(3) == ["breaker2"], "open"
    time.sleep(1.1)
    assert asked(4) == ["breaker", "breaker2"], "half open: one trial"
    assert asked(5) == ["breaker2"], "which failed"
    time.sleep(1.1)
    chain.failing = set()
    assert asked(6) == asked(7) == ["breaker"], "closed"
    chain.failing = {"breaker", "breaker2"}
    for number in (8, 9):
        failure(chain, f"{question} {number}", "breaker::m")
    assert chain.asked == ["breaker", "breaker2"] * 2
    assert failure(chain, question, "breaker::m") == "breaker2_is_down"
    assert chain.asked == ["breaker2"], "the last one is asked, however often it has failed"


def test_without_a_fallback_there_is_no_circuit(chain: Chain, question: str) -> None:
    chain.failing = {"lonely"}
    for number in range(4):
        assert failure(chain, f"{question} {number}", "lonely::m") == "lonely_is_down"
    assert chain.asked == ["lonely"] * 4
