"""Whatever breaks in mid-answer, the client sees one clean end, nothing is stored, all goes on."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest

from .asking import AUTH, ask, ask_stream, body, client, is_stored, joined
from .conftest import Stand
from .http2_client import Http2Client
from .provider import Answer, Provider, Received, sse
from .proxy import Proxy
from .speech import chunk, echo, text_frames

SSE = {"content-type": "text/event-stream"}
SHORT = b"".join(text_frames("Hi"))
OVERLOADED = {"error": {"message": "Overloaded", "type": "server_error", "code": "overloaded"}}


def number_of(request: Received) -> int:
    return int(request.json["messages"][-1]["content"].rpartition(" ")[2])


async def many[T](count: int, one: Callable[[httpx.AsyncClient, int], Any]) -> list[T]:
    """Runs `one` for 0..count-1, some at a time."""
    room = asyncio.Semaphore(16)
    async with httpx.AsyncClient(headers=AUTH, verify=False, timeout=30) as http:

        async def guarded(i: int) -> T:
            async with room:
                return await one(http, i)

        return await asyncio.gather(*[guarded(i) for i in range(count)])


def check_clean_error(answer: httpx.Response) -> None:
    """A status with a JSON error, or a stream that ends well with an error event as its last."""
    if answer.status_code != 200:
        error = answer.json()["error"]
        assert answer.status_code == 502
    else:
        assert answer.text.endswith("\n\n")
        last = answer.text.removesuffix("\n\n").rpartition("\n\n")[2]
        assert last.startswith("data: {"), last
        error = json.loads(last.removeprefix("data: "))["error"]
        assert "[DONE]" not in answer.text
    assert set(error) == {"message", "type", "param", "code"}


# ---------------------------------------------------------------------- the provider leaves


def test_upstream_closed_at_every_byte(proxy: Proxy, provider: Provider, question: str) -> None:
    provider.reply = lambda request: Answer([SHORT[: number_of(request)]], headers=SSE, drop=True)
    url = f"{proxy.base_url}/chat/completions"
    ends = SHORT.index(b"data: [DONE]") + len("data: [DONE]\n")

    async def one(http: httpx.AsyncClient, cut: int) -> None:
        answer = await http.post(url, json=body(f"{question} {cut}", stream=True))
        check_clean_error(answer)
        again = {"cache-control": "only-if-cached"}
        answer = await http.post(url, json=body(f"{question} {cut}"), headers=again)
        assert answer.json()["error"]["code"] == "not_cached"

    asyncio.run(many(ends, one))
    assert len(provider.received) == ends
    assert joined(ask_stream(proxy, f"{question} {len(SHORT)}")[1]) == "Hi", "it was all there"


@pytest.mark.parametrize("frames", [0, 1, 3], ids=["before", "role", "content"])
def test_the_sdk_raises_when_upstream_leaves(
    proxy: Proxy, provider: Provider, question: str, frames: int
) -> None:
    pieces = text_frames("Hello ", "world")[:frames]
    provider.reply = lambda request: Answer(pieces, headers=SSE, drop=True)
    seen = []
    with client(proxy.base_url) as sdk, pytest.raises(openai.APIError) as caught:
        # Not `list(...)`: what came before the error counts.
        for piece in sdk.chat.completions.create(**body(question, stream=True)):
            seen += [piece]
    assert joined(seen) == ("Hello world" if frames == 3 else "")
    if frames < 3:
        assert isinstance(caught.value, openai.InternalServerError)
        assert caught.value.status_code == 502
    assert caught.value.code == "upstream_closed"
    assert not is_stored(proxy, question)


def test_a_json_reader_gets_a_status(proxy: Proxy, provider: Provider, question: str) -> None:
    provider.reply = lambda request: Answer(text_frames("Hel", "lo")[:3], headers=SSE, drop=True)
    with pytest.raises(openai.InternalServerError) as caught:
        ask(proxy, question)
    assert caught.value.status_code == 502
    assert caught.value.code == "upstream_closed"
    assert not is_stored(proxy, question)


def test_a_silent_provider(brisk: Stand, question: str) -> None:
    """In mid-answer and before its first byte, for both kinds of readers."""

    def reply(request: Received) -> Answer:
        silent_from = number_of(request)
        return Answer(text_frames("Hi"), headers=SSE, gate=lambda piece: piece < silent_from)

    brisk.provider.reply = reply
    for silent_from in (-1, 0, 2):
        with pytest.raises(openai.APIError) as caught:
            ask_stream(brisk.proxy, f"{question} {silent_from}")
        assert caught.value.code == "upstream_timeout"
        with pytest.raises(openai.APIStatusError) as whole:
            ask(brisk.proxy, f"{question} again {silent_from}")
        assert (whole.value.status_code, whole.value.code) == (504, "upstream_timeout")
        assert not is_stored(brisk.proxy, f"{question} {silent_from}")


# ---------------------------------------------------------------------- the client leaves


def raw_request(text: str) -> bytes:
    data = json.dumps(body(text, stream=True)).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: proxy\r\nAuthorization: Bearer sk-raw\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


async def read_and_leave(port: int, text: str, count: int, reset: bool) -> int:
    """Read `count` bytes of the answer, then close. Returns how many there were."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw_request(text))
        seen = 0
        while seen < count and (data := await reader.read(count - seen)):
            seen += len(data)
        if reset:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return seen
    finally:
        writer.close()


def test_client_leaves_at_every_byte(proxy: Proxy, provider: Provider, question: str) -> None:
    """The upstream call is given up, nothing is stored, and the next one gets its answer."""
    port = httpx.URL(proxy.base_url).port
    assert port
    frames = text_frames("Hi")
    held = len(frames) - 1
    provider.reply = lambda request: Answer(frames, headers=SSE, gate=lambda piece: piece < held)

    async def length() -> int:
        """Bytes of an answer up to the point where the provider holds."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw_request(f"{question} length"))
        seen = await reader.readuntil(b'"finish_reason":"stop"}]}\n\n')
        writer.close()
        await writer.wait_closed()
        return len(seen)

    async def run() -> int:
        total = await length()
        room = asyncio.Semaphore(16)

        async def one(count: int) -> None:
            async with room:
                seen = await read_and_leave(port, f"{question} {count}", count, count % 2 == 0)
                assert seen == count

        await asyncio.gather(*[one(count) for count in range(total)])
        return total

    total = asyncio.run(run())
    assert total > 300
    wait_until(lambda: not provider.answering)
    # Those that left before the provider was asked need no cancelling.
    assert total * 0.9 < provider.disconnects == len(provider.received)

    provider.reply = echo
    url = f"{proxy.base_url}/chat/completions"
    headers = {"authorization": "Bearer sk-raw"}

    async def again(http: httpx.AsyncClient, count: int) -> None:
        text = f"{question} {count}"
        answer = await http.post(url, json=body(text), headers=headers)
        assert answer.headers["x-reflex-status"] == "miss"
        assert answer.json()["choices"][0]["message"]["content"] == f"You said: {text}"

    asyncio.run(many(total, again))


def test_http2_client_leaves_one_stream(secure: Stand, question: str) -> None:
    """Its upstream call is given up, after any event; the others on its connection go on."""
    frames = text_frames("one ", "two ", "three")
    opened = False
    secure.provider.reply = lambda request: Answer(
        frames, headers=SSE, gate=lambda piece: opened or piece <= number_of(request)
    )
    with Http2Client(secure.proxy) as client:
        staying = client.ask(body(f"{question} 1", stream=True))
        for at, word in enumerate((b"one ", b"two ", b"three", b'"stop"'), start=1):
            leaving = client.ask(body(f"{question} again {at}", stream=True))
            client.read_until(leaving, word)
            client.leave(leaving)
            wait_until(lambda: secure.provider.answering == 1)
        assert secure.provider.disconnects == 4
        opened = True
        text = client.read_to_end(staying)
    assert text.endswith(b"data: [DONE]\n\n")
    assert b"three" in text
    assert not any(is_stored(secure.proxy, f"{question} again {at}") for at in range(1, 5))


def wait_until(done: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ---------------------------------------------------------------------- it says something odd

GARBAGE: dict[str, Answer] = {
    "nothing": Answer([], headers=SSE),
    "html": Answer(
        [b"<html><body>Bad gateway</body></html>"], headers={"content-type": "text/html"}
    ),
    "binary": Answer([bytes(range(256)) * 4], headers=SSE),
    "broken json": Answer(
        [b'data: {"choices": [{"index": 0, "delta": {"content"\n\n'], headers=SSE
    ),
    "broken later": Answer([*text_frames("Hi")[:2], b"data: {nonsense\n\n"], headers=SSE),
    "wrong types": Answer(sse({"choices": 7}, {"choices": [{"delta": [1]}]}), headers=SSE),
    "not gzip": Answer([b"not gzip"], headers={**SSE, "content-encoding": "gzip"}),
    "unknown coding": Answer([b"who knows"], headers={**SSE, "content-encoding": "rot13"}),
    "not http": Answer(raw=b"\x00\x01\x02 what is this?\r\n\r\n"),
    "half a head": Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-ty"),
    "bad chunks": Answer(
        raw=b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        b"transfer-encoding: chunked\r\n\r\nzz\r\nwhat"
    ),
    "redirect": Answer([b""], status=302, headers={"location": "http://127.0.0.1:1/"}),
    "just ends": Answer(raw=b""),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage(proxy: Proxy, provider: Provider, question: str, kind: str) -> None:
    provider.reply = lambda request: GARBAGE[kind]
    with httpx.Client(base_url=proxy.base_url, headers=AUTH, verify=False, timeout=20) as http:
        answer = http.post("/chat/completions", json=body(question, stream=True))
        if answer.status_code == 200:
            check_clean_error(answer)
        else:
            assert answer.status_code in (400, 502)
            assert answer.json()["error"]["message"]
    with pytest.raises(openai.APIStatusError):
        ask(proxy, question + " whole")
    assert not is_stored(proxy, question)
    assert not is_stored(proxy, question + " whole")
    provider.reply = echo
    assert ask(proxy, question)[1].choices[0].message.content == f"You said: {question}"


ERROR_EVENTS: dict[str, bytes] = {
    "data": sse(OVERLOADED, done=False)[0],
    "event": b"event: error\n" + sse(OVERLOADED, done=False)[0],
    "in a chunk": sse({**chunk({"content": ""}, "error"), **OVERLOADED})[0],
}


@pytest.mark.parametrize("form", ERROR_EVENTS)
def test_error_events(proxy: Proxy, provider: Provider, question: str, form: str) -> None:
    """After content as the last event, before any with a status that the SDK acts on."""
    start = text_frames("Hello")[:2]
    provider.reply = lambda request: Answer([*start, ERROR_EVENTS[form]], headers=SSE)
    seen = []
    with client(proxy.base_url) as sdk, pytest.raises(openai.APIError, match="Overloaded") as late:
        # Not `list(...)`: what came before the error counts.
        for piece in sdk.chat.completions.create(**body(question, stream=True)):
            seen += [piece]
    assert joined(seen) == "Hello"
    assert late.value.code == "overloaded"
    provider.reply = lambda request: Answer([start[0], ERROR_EVENTS[form]], headers=SSE)
    with pytest.raises(openai.InternalServerError, match="Overloaded"):
        ask_stream(proxy, question)
    assert not is_stored(proxy, question)
