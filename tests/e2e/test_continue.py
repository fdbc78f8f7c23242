"""Answers that break off: where the provider can, only the rest is asked for, and nobody sees a seam."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .asking import ask, ask_stream, is_stored, status
from .conftest import Stand, provider_keys, world_toml
from .crowd import Crowd, Gate, Seen, until
from .faults import record
from .provider import Answer, Provider, Received, sse
from .proxy import Proxy

SSE = {"content-type": "text/event-stream"}
CLAUDE, MISTRAL = "anthropic::claude-sonnet-4-5", "mistral::mistral-large-latest"
NO_PREFILL = "anthropic::claude-sonnet-4-6"
WORDS = ["The", " tide", " comes", " in", " twice", " a day,", "\n\n", "and", " goes", " out."]
TEXT = "".join(WORDS)


# ---------------------------------------------------------------------- models that can go on


def frame(type: str, **more: Any) -> bytes:
    return f"event: {type}\ndata: {json.dumps({'type': type, **more})}\n\n".encode()


def claude(words: list[str], call: int) -> list[bytes]:
    """Call n has an id and an input of its own: 100 tokens and n for each."""
    usage = {"input_tokens": 100 + call, "output_tokens": 1}
    message = {"id": f"msg_{call}", "type": "message", "role": "assistant", "usage": usage}
    message |= {"model": "claude", "content": [], "stop_reason": None, "stop_sequence": None}
    deltas = [{"type": "text_delta", "text": word} for word in words]
    done = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        frame("message_start", message=message),
        frame("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        frame("ping"),
        *[frame("content_block_delta", index=0, delta=delta) for delta in deltas],
        frame("content_block_stop", index=0),
        frame("message_delta", delta=done, usage={"output_tokens": len(words)}),
        frame("message_stop"),
    ]


def mistral(words: list[str], call: int) -> list[bytes]:
    head = {"id": f"cmpl-{call}", "object": "chat.completion.chunk", "created": 7, "model": "m"}

    def piece(content: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
        delta = {"role": "assistant", "content": content}
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}

    usage = {"prompt_tokens": 100 + call, "completion_tokens": len(words)}
    usage["total_tokens"] = 100 + call + len(words)
    return sse(piece(""), *[piece(word) for word in words], piece("", "stop", usage=usage))


class Model:
    """Says TEXT, or the rest of it after a prefix. Calls for a question break off as they are told to.

    `breaks[question]` says before which frame each call ends; beyond that they end well. With `echo`
    a prefix is said again first, as Mistral does it.
    """

    def __init__(self, provider: Provider, echo: bool = False) -> None:
        self.breaks: dict[str, list[int]] = {}
        self.calls: dict[str, list[dict[str, Any]]] = {}
        self.gate: Gate | None = None
        self.cut: Callable[[list[bytes]], Answer] = lambda frames: Answer(
            frames, headers=SSE, drop=True
        )
        self._echo = echo
        provider.reply = self.reply

    def reply(self, request: Received) -> Answer:
        question, prefix = self._understand(request)
        calls = self.calls.setdefault(question, [])
        calls.append(request.json)
        words = [*([prefix] if self._echo and prefix else []), *words_after(prefix)]
        speaks = claude if request.path.startswith("/anthropic/") else mistral
        frames = speaks(words, len(calls))
        breaks = self.breaks.get(question, [])
        if len(breaks) >= len(calls):
            return self.cut(frames[: breaks[len(calls) - 1]])
        return Answer(frames, headers=SSE, gate=self.gate)

    def _understand(self, request: Received) -> tuple[str, str]:
        messages = [(m["role"], text_of(m["content"])) for m in request.json["messages"]]
        question, *rest = messages
        assert [role for role, _ in rest] in ([], ["assistant"])
        prefix = rest[0][1] if rest else ""
        assert TEXT.startswith(prefix)
        assert prefix == prefix.rstrip(), "Anthropic refuses white space at the end"
        if rest and request.path.startswith("/mistral/"):
            assert request.json["messages"][-1]["prefix"] is True
        return question[1], prefix


def text_of(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def words_after(prefix: str) -> list[str]:
    """A model goes on with the white space that it was not sent, or without, as the words fall."""
    out, at = [], 0
    for word in WORDS:
        at += len(word)
        if at > len(prefix):
            out.append(word[max(0, len(prefix) - (at - len(word))) :])
    return out


@pytest.fixture(scope="module")
def _fragile(confdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    provider = Provider()
    folder = tmp_path_factory.mktemp("fragile")
    config = folder / "reflex.toml"
    config.write_text(world_toml(provider.url, {}))
    proxy = Proxy(
        confdir,
        folder / "store",
        environ=provider_keys(),
        reflex_config=str(config),
        reflex_disconnect_grace="0s",
        reflex_idle_timeout="2s",
    )
    stand = Stand(proxy, provider)
    asyncio.run(warm(proxy))
    yield stand
    stand.close()


async def warm(proxy: Proxy) -> None:
    """The first look at the numbers takes a second, in which an answer would time out."""
    async with Crowd(proxy) as crowd:
        await crowd.stats()


@pytest.fixture
def fragile(_fragile: Stand) -> Stand:
    """Every provider; no grace for readers that leave, and little patience with silence."""
    return _fragile.fresh()


async def ask_all(proxy: Proxy, questions: list[str], **more: Any) -> list[Seen]:
    more = {"stream_options": {"include_usage": True}, **more}
    async with Crowd(proxy) as crowd:
        return await asyncio.gather(*[crowd.ask(question, **more) for question in questions])


# ---------------------------------------------------------------------- readers notice nothing


@pytest.mark.parametrize(
    ("model", "echo"),
    [(CLAUDE, False), (MISTRAL, True), (MISTRAL, False)],
    ids=["anthropic", "mistral", "mistral-without-echo"],
)
def test_upstream_dropped_at_every_event(
    fragile: Stand, question: str, model: str, echo: bool
) -> None:
    frames = (claude if model == CLAUDE else mistral)(WORDS, 1)
    first_word = next(i for i, data in enumerate(frames) if b"The" in data)
    finish = next(i for i, data in enumerate(frames) if b"end_turn" in data or b'"stop"' in data)
    said = Model(fragile.provider, echo)
    said.breaks = {f"{question} {cut}": [cut] for cut in range(len(frames))}
    seen = asyncio.run(ask_all(fragile.proxy, list(said.breaks), model=model))
    for cut, (text, reader) in enumerate(zip(said.breaks, seen, strict=True)):
        calls = len(said.calls[text])
        if cut <= first_word:
            assert (reader.code, (reader.error or {})["code"]) == (502, "upstream_closed"), cut
            assert calls == 1
            continue
        assert (reader.whole, reader.text, len(reader.ids)) == (True, TEXT, 1), cut
        assert calls == (2 if cut <= finish else 1), cut
        assert reader.usage, cut
        if calls == 2 and model == CLAUDE:
            assert reader.usage["prompt_tokens"] == 101 + 102
            rest = len(words_after("".join(WORDS[: cut - first_word]).rstrip()))
            assert reader.usage["completion_tokens"] == 1 + rest
    stored = [text for text in said.breaks if is_stored(fragile.proxy, text, model=model)]
    assert stored == list(said.breaks)[first_word + 1 :]


def test_all_readers_get_the_rest(fragile: Stand, question: str) -> None:
    """JSON readers too, and those that come while it is mended."""
    said = Model(fragile.provider)
    said.breaks = {question: [7, 5]}
    said.gate = Gate()
    opened = said.gate

    async def run() -> list[Seen]:
        async with Crowd(fragile.proxy) as crowd:
            readers = [crowd.start(question, model=CLAUDE, stream=i > 1) for i in range(5)]
            await until(lambda: len(said.calls.get(question, ())) == 3)
            readers.append(crowd.start(question, model=CLAUDE))
            await crowd.readers(6)
            opened.open()
            return await asyncio.gather(*readers)

    seen = asyncio.run(run())
    assert {reader.text for reader in seen} == {TEXT}
    assert all(reader.whole for reader in seen)
    assert len({id for reader in seen for id in reader.ids}) == 1
    assert len({reader.raw for reader in seen if reader.streamed}) == 1
    assert sorted(reader.status for reader in seen) == ["coalesced"] * 5 + ["miss"]


def silent(frames: list[bytes]) -> Answer:
    count = len(frames)
    return Answer([*frames, b": never\n\n"], headers=SSE, gate=lambda piece: piece < count)


def overloaded(frames: list[bytes]) -> Answer:
    error = {"type": "overloaded_error", "message": "Overloaded"}
    return Answer([*frames, frame("error", error=error)], headers=SSE)


def ended(frames: list[bytes]) -> Answer:
    return Answer(frames, headers=SSE)


def garbled(frames: list[bytes]) -> Answer:
    return Answer([*frames, b"data: {what\n\n"], headers=SSE)


@pytest.mark.parametrize("cut", [silent, overloaded, ended, garbled])
def test_however_it_breaks(
    fragile: Stand, question: str, cut: Callable[[list[bytes]], Answer]
) -> None:
    said = Model(fragile.provider)
    said.breaks, said.cut = {question: [6]}, cut
    (seen,) = asyncio.run(ask_all(fragile.proxy, [question], model=CLAUDE))
    assert (seen.text, seen.whole, len(said.calls[question])) == (TEXT, True, 2)


# ---------------------------------------------------------------------- the next request


def test_too_often_broken(fragile: Stand, question: str) -> None:
    """After two resumptions readers are told. What was said waits for the next equal request, which
    has it at once; the provider is asked for the rest only, and all is added up."""
    said = Model(fragile.provider)
    said.breaks = {question: [5, 4, 4]}
    (seen,) = asyncio.run(ask_all(fragile.proxy, [question], model=CLAUDE))
    assert seen.error
    assert (seen.error["code"], seen.whole, seen.text) == (
        "upstream_closed",
        False,
        TEXT[: len("The tide comes in")],
    )
    assert not is_stored(fragile.proxy, question, model=CLAUDE), "a partial is no answer"
    said.gate = Gate(head=False)
    opened = said.gate

    async def run() -> list[Seen]:
        async with Crowd(fragile.proxy) as crowd:
            more: dict[str, Any] = {"model": CLAUDE, "stream_options": {"include_usage": True}}
            prefix = "The tide comes in"
            first = crowd.start(question, until=lambda seen: seen.text == prefix, **more)
            assert (await first).status == "continued", "while the provider has said nothing yet"
            await crowd.readers(0)
            again = crowd.start(question, **more)
            await crowd.readers(1)
            joined = crowd.start(question, stream=False, **more)
            await crowd.readers(2)
            opened.open()
            return await asyncio.gather(again, joined)

    again, joined = asyncio.run(run())
    assert (again.status, joined.status) == ("continued", "coalesced")
    assert "; fwd=partial" in again.headers["cache-status"]
    assert (again.text, joined.text) == (TEXT, TEXT)
    assert again.ids == joined.ids == seen.ids, "it is still the same answer"
    assert again.usage == joined.usage
    assert again.usage
    assert again.usage["prompt_tokens"] == 101 + 102 + 103 + 105
    headers, answer = ask(fragile.proxy, question, model=CLAUDE)
    assert (status(headers), answer.choices[0].message.content) == ("hit-l1-exact", TEXT)


def test_the_last_reader_left(fragile: Stand, question: str) -> None:
    """What it had been sent is not lost for the next one, whatever form that wants."""
    said = Model(fragile.provider)
    said.gate = Gate()
    said.gate.to_word(4)

    async def run() -> Seen:
        async with Crowd(fragile.proxy) as crowd:
            await crowd.ask(
                question, model=CLAUDE, until=lambda seen: seen.text == "The tide comes"
            )
            await until(lambda: fragile.provider.disconnects == 1)
            assert said.gate
            said.gate.open()
            return await crowd.ask(question, model=CLAUDE, stream=False)

    seen = asyncio.run(run())
    assert seen.text == TEXT
    what = "all leave, and the provider can continue an answer"
    record("Clients", what, "is cancelled", "—", f"`{seen.status}`: only the rest is asked for")
    assert text_of(said.calls[question][1]["messages"][-1]["content"]) == "The tide comes"


def test_partials_of_others_are_not_continued(fragile: Stand, question: str) -> None:
    """Another tenant, a request that wants its own answer, and purged ones start anew."""
    said = Model(fragile.provider)
    said.breaks = {question: [6, 4, 4]}
    asyncio.run(ask_all(fragile.proxy, [question], model=CLAUDE))
    calls = said.calls[question]
    assert status(ask(fragile.proxy, question, key="sk-other", model=CLAUDE)[0]) == "miss"
    apart = {"cache-control": "no-cache, no-store"}
    assert status(ask_stream(fragile.proxy, question, headers=apart, model=CLAUDE)[0]) == "bypass"
    assert [len(call["messages"]) for call in calls] == [1, 2, 2, 1, 1]

    async def purge() -> None:
        async with Crowd(fragile.proxy) as crowd:
            await crowd.purge("model", "no-such-model")

    asyncio.run(purge())
    assert status(ask(fragile.proxy, question, model=CLAUDE)[0]) == "miss"


def test_a_model_that_refuses_to_go_on(fragile: Stand, question: str) -> None:
    """The readers of that one answer are told, and the next request starts anew."""
    said = Model(fragile.provider)
    said.breaks = {question: [6]}
    refusal = {"type": "invalid_request_error", "message": "This model does not support prefill."}

    def reply(request: Received) -> Answer:
        if len(request.json["messages"]) > 1:
            body = json.dumps({"type": "error", "error": refusal}).encode()
            return Answer([body], status=400)
        return said.reply(request)

    fragile.provider.reply = reply
    (seen,) = asyncio.run(ask_all(fragile.proxy, [question], model=CLAUDE))
    assert seen.error
    assert (seen.error["message"], seen.whole) == (refusal["message"], False)
    headers, answer = ask(fragile.proxy, question, model=CLAUDE)
    assert (status(headers), answer.choices[0].message.content) == ("miss", TEXT)


# ---------------------------------------------------------------------- what starts anew

THINKING = [
    frame("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}),
    frame("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm."}),
]
TOOL = [
    frame("content_block_delta", index=0, delta={"type": "text_delta", "text": "Let me see."}),
    frame(
        "content_block_start",
        index=1,
        content_block={"type": "tool_use", "id": "toolu_1", "name": "tides", "input": {}},
    ),
    frame("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": "{"}),
]
OPENING = claude([], 1)[:2]
ANEW: dict[str, tuple[list[bytes], dict[str, Any]]] = {
    "reasoning": ([OPENING[0], *THINKING], {}),
    "a tool call": ([*OPENING, *TOOL], {}),
    "structured output": (
        claude(WORDS, 1)[:6],
        {"response_format": {"type": "json_object"}},
    ),
    "a token limit": (claude(WORDS, 1)[:6], {"max_tokens": 50}),
    "a model without prefill": (claude(WORDS, 1)[:6], {"model": NO_PREFILL}),
    "a provider that cannot": (mistral(WORDS, 1)[:6], {"model": "openai::gpt-4o"}),
}


@pytest.mark.parametrize("kind", ANEW)
def test_starts_anew(fragile: Stand, question: str, kind: str) -> None:
    frames, more = ANEW[kind]
    more = {"model": CLAUDE, **more}
    fragile.provider.reply = lambda request: Answer(frames, headers=SSE, drop=True)
    (seen,) = asyncio.run(ask_all(fragile.proxy, [question], **more))
    assert seen.error
    assert (seen.code, seen.error["code"]) == (200, "upstream_closed")
    assert len(fragile.provider.received) == 1
    (seen,) = asyncio.run(ask_all(fragile.proxy, [question], **more))
    assert seen.status == "miss"
    assert len(fragile.provider.received) == 2
    roles = [m["role"] for m in fragile.provider.received[1].json["messages"]]
    assert roles[-1] == "user"


def test_off_with_one_option(confdir: Path, tmp_path: Path, own_provider: Provider) -> None:
    """Neither live failures are mended nor partials kept."""
    (tmp_path / "reflex.toml").write_text(world_toml(own_provider.url, {}))
    proxy = Proxy(
        confdir,
        tmp_path / "store",
        environ=provider_keys(),
        reflex_config=str(tmp_path / "reflex.toml"),
        reflex_resumptions="0",
    )
    try:
        said = Model(own_provider)
        said.breaks = {"hi": [6]}
        (seen,) = asyncio.run(ask_all(proxy, ["hi"], model=CLAUDE))
        assert seen.error
        headers, answer = ask(proxy, "hi", model=CLAUDE)
        assert (status(headers), answer.choices[0].message.content) == ("miss", TEXT)
        assert [len(call["messages"]) for call in said.calls["hi"]] == [1, 1]
    finally:
        proxy.stop()
