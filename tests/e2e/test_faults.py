"""The fault matrix: what clients see when a provider, or the way to it, fails."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from .conftest import Stand
from .crowd import Crowd, Gate, Seen
from .faults import GOOD, PAGE, SSE, TABLES, TEXT, good, never, record, refused
from .provider import Answer, Provider, Received, sse
from .proxy import Proxy
from .speech import chunk

ERROR = {"type": "overloaded_error", "message": "Overloaded", "param": None, "code": "overloaded"}
OVERLOADED = {"type": "error", "error": ERROR}
BUSY = {"error": {"message": "Busy.", "type": "server_error", "param": None, "code": "overloaded"}}
FAULTS: dict[str, Answer] = {
    "the provider says 400": refused(400, "bad_parameter"),
    "the provider says 401": refused(401, "bad_key"),
    "the provider says 404": refused(404, "no_such_model"),
    "the provider says 408": refused(408, "timeout"),
    "the provider says 429": refused(429, "rate_limit", **{"retry-after-ms": "200"}),
    "the provider says 500": refused(500, "oops"),
    "the provider says 503": refused(503, "unavailable"),
    "the provider says 529 (Anthropic: overloaded)": Answer(
        [json.dumps(OVERLOADED).encode()], status=529
    ),
    "the provider never answers": Answer(gate=never),
    "the provider sends a status and then nothing": Answer(
        GOOD, headers=SSE, gate=lambda piece: piece < 1
    ),
    "the provider closes the connection without an answer": Answer(raw=b""),
    "the provider ends the stream without a word": Answer([], headers=SSE),
    "the provider answers with a page of HTML": Answer(
        [b"<html>Bad gateway</html>"], headers={"content-type": "text/html"}
    ),
    "the stream starts with an error": Answer(
        [*sse(chunk({"role": "assistant"}), BUSY, done=False)], headers=SSE
    ),
}
"""What a provider may do instead of answering."""
CONNECTIONS = {
    "nobody listens at the provider": "refused",
    "the provider does not take the connection": "full",
    "the provider's host name is not known": "nodns",
    "the provider's certificate is not trusted": "stranger",
}
"""What may be wrong on the way; provider rows of their own."""


LATE: dict[str, Callable[[list[bytes]], Answer]] = {
    "the connection breaks": lambda frames: Answer(frames, headers=SSE, drop=True),
    "the stream just ends": lambda frames: Answer(frames, headers=SSE),
    "the provider falls silent": lambda frames: Answer(
        [*frames, b": never"], headers=SSE, gate=lambda piece: piece < len(frames)
    ),
    "the provider sends an error": lambda frames: Answer(
        [*frames, b"event: error\n" + sse(OVERLOADED, done=False)[0]], headers=SSE
    ),
    "the provider sends nonsense": lambda frames: Answer(
        [*frames, b"data: {what\n\n"], headers=SSE
    ),
}
"""How an answer may end after its first words."""


def row_of(fault: str) -> str:
    """The provider row that fails in this way."""
    return CONNECTIONS.get(fault) or f"row{list(FAULTS).index(fault)}"


def codec_of(fault: str) -> str:
    return "anthropic-messages" if "Anthropic" in fault else "openai-chat"


@dataclass
class Faulty:
    """A proxy with a provider row for each fault. All work until `broken` is set."""

    stand: Stand
    broken: bool = False
    gate: Gate = field(default_factory=Gate)
    seen: set[str] = field(default_factory=set[str])

    def reply(self, request: Received) -> Answer:
        row = request.path.split("/")[1]
        if row in ("late", "mends"):
            return self.late(request)
        if row == "spare" or not self.broken:
            return good(request)
        fault = list(FAULTS)[int(row.removeprefix("row"))]
        answer = FAULTS[fault]
        if answer.gate is None and request.json["model"] == "several":
            answer = replace(answer, gate=self.gate)
        return answer

    def late(self, request: Received) -> Answer:
        """The first call for a question breaks off, the next ones are answered, or what is left."""
        question = request.json["messages"][0]["content"]
        asked = question if isinstance(question, str) else question[0]["text"]
        answer = good(request)
        if asked in self.seen:
            return answer if len(request.json["messages"]) == 1 else good(request, rest=True)
        self.seen.add(asked)
        first = next(i for i, frame in enumerate(answer.pieces) if b'"It "' in frame)
        fault = next(fault for fault in LATE if fault in asked)
        return LATE[fault](list(answer.pieces[: first + 1]))

    def calls(self, fault: str, model: str) -> int:
        received = self.stand.provider.received
        start = f"/{row_of(fault)}/"
        return sum(r.path.startswith(start) and r.json["model"] == model for r in received)


def toml(urls: dict[str, str]) -> str:
    """A provider row for each fault, and a fallback for the models called `spared`."""
    names = {row_of(fault): codec_of(fault) for fault in [*FAULTS, *CONNECTIONS]}
    fallbacks = [f"{name}::spared=spare::good" for name in names]
    rows = [
        f'[providers.{name}]\ncodec = "{codec}"\nbase_url = "{urls.get(name, urls["*"] + name)}"\n'
        "key_required = false\n"
        for name, codec in {**names, "spare": "openai-chat", "late": "openai-chat"}.items()
    ]
    rows.append(
        f'[providers.mends]\ncodec = "anthropic-messages"\nbase_url = "{urls["*"]}mends"\n'
        'key_required = false\nquirks = { continues = "prefill" }\n'
    )
    return f"fallbacks = {json.dumps(fallbacks)}\n" + "\n".join(rows)


@pytest.fixture(scope="module")
def faulty(
    confdir: Path, tmp_path_factory: pytest.TempPathFactory, dead_ends: dict[str, str]
) -> Iterator[Faulty]:
    """Each model `kept` has been answered once, longer ago than the TTL, before all breaks."""
    provider, mortal = Provider(), Provider()
    folder = tmp_path_factory.mktemp("faulty")
    urls = {**dead_ends, "*": f"{provider.url}/", "refused": f"{mortal.url}/refused"}
    (folder / "reflex.toml").write_text(toml(urls))
    proxy = Proxy(
        confdir,
        folder / "store",
        reflex_config=str(folder / "reflex.toml"),
        reflex_retries="1",
        reflex_first_byte_timeout="1s",
        reflex_connect_timeout="300ms",
        reflex_idle_timeout="1s",
        reflex_breaker_failures="1000",
        reflex_ttl="1s",
        reflex_stale_if_error="1h",
    )
    faulty = Faulty(Stand(proxy, provider))
    provider.reply = mortal.reply = faulty.reply
    asyncio.run(keep(faulty))
    time.sleep(1.1)
    faulty.broken = True
    mortal.close()
    yield faulty
    faulty.stand.close()


KEEPING = [fault for fault in [*FAULTS, *CONNECTIONS] if row_of(fault).startswith(("row", "ref"))]


async def keep(faulty: Faulty) -> None:
    async with Crowd(faulty.stand.proxy) as crowd:
        models = [f"{row_of(fault)}::kept" for fault in KEEPING]
        seen = await asyncio.gather(*[crowd.ask("Is it?", model=model) for model in models])
        await crowd.stats()  # the first time takes a second, in which others would time out
    assert [each.text for each in seen] == [TEXT] * len(models)


@pytest.mark.parametrize("fault", [*FAULTS, *CONNECTIONS])
def test_before_the_first_token(faulty: Faulty, question: str, fault: str) -> None:
    """All at once: a client alone, several, one with a fallback, one with an expired answer."""
    row = row_of(fault)
    faulty.gate = Gate(head=False)

    async def run() -> tuple[Seen, Seen, list[Seen], Seen, Seen | None]:
        async with Crowd(faulty.stand.proxy) as crowd:
            group = [crowd.start(question, model=f"{row}::several", stream=i > 0) for i in range(3)]
            await crowd.readers(3) if row.startswith("row") else None
            faulty.gate.open()
            alone, whole, spared = await asyncio.gather(
                crowd.ask(question, model=f"{row}::alone"),
                crowd.ask(question + " as JSON", model=f"{row}::alone", stream=False),
                crowd.ask(question, model=f"{row}::spared"),
            )
            kept = await crowd.ask("Is it?", model=f"{row}::kept") if fault in KEEPING else None
            return alone, whole, await asyncio.gather(*group), spared, kept

    alone, whole, group, spared, kept = asyncio.run(run())
    assert alone.code >= 400
    assert (alone.code, alone.error) == (whole.code, whole.error)
    assert {each.outcome for each in group} == {alone.outcome}
    if row.startswith("row"):
        calls = faulty.calls(fault, "several")
        several = f"the same, after {calls} call{'s' * (calls > 1)}"
        assert faulty.calls(fault, "alone") == 2, "one for the stream, one for the JSON"
    else:
        several = "the same"
    record(
        "Before the first token",
        fault,
        alone.outcome + (" with Retry-After" if "retry-after" in alone.headers else ""),
        several,
        answered_by(spared),
        "—" if kept is None else f"`{kept.status}`" if kept.whole else kept.outcome,
    )
    if spared.whole:
        assert spared.headers["x-reflex-provider"] == "spare"
    if kept is not None and kept.whole:
        assert kept.text == TEXT
        assert int(kept.headers["age"]) >= 1
        assert "; hit; ttl=-" in kept.headers["cache-status"]


def answered_by(seen: Seen) -> str:
    if not seen.whole:
        return "the same"
    assert seen.text == TEXT
    return f"answered by `{seen.headers['x-reflex-provider']}::{seen.headers['x-reflex-model']}`"


@pytest.mark.parametrize("fault", LATE)
def test_after_the_first_token(faulty: Faulty, question: str, fault: str) -> None:
    async def run() -> list[Seen]:
        async with Crowd(faulty.stand.proxy) as crowd:

            async def twice(text: str) -> list[Seen]:
                return [await crowd.ask(text, model="late::m") for _ in range(2)]

            (streamed, again), whole, mended = await asyncio.gather(
                twice(f"{question} {fault}"),
                crowd.ask(f"{question} {fault} JSON", model="late::m", stream=False),
                crowd.ask(f"{question} {fault} mended", model="mends::m"),
            )
            return [streamed, again, whole, mended]

    streamed, again, whole, mended = asyncio.run(run())
    assert streamed.text == "It "
    assert (again.text, mended.text) == (TEXT, TEXT)
    assert whole.error == streamed.error
    record(
        "After the first token",
        fault,
        streamed.outcome,
        whole.outcome,
        f"asked anew (`{again.status}`)",
        mended.outcome,
    )


def test_the_page_has_no_rows_of_the_past() -> None:
    """Each row's fault is one that a test here sees."""
    sources = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    heads = {columns[0] for columns in TABLES.values()} | {"---"}
    names = {row.removeprefix("| ").partition(" | ")[0] for row in rows} - heads
    assert len(names) > 20
    assert [name for name in names if name not in sources] == []
