"""Streams: nothing is held back, whatever the coding and the cuts, and others are never disturbed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import brotli
import httpx
import pytest
import zstandard

from tests.wire import bytewise, cuts

from .asking import (
    AUTH,
    ask,
    ask_stream,
    body,
    client,
    data_of,
    http2_tls,
    is_stored,
    joined,
    text_of,
)
from .conftest import Stand
from .provider import Answer, Provider, Steps, sse
from .proxy import Proxy
from .speech import USAGE, chunk, text_frames

SSE = {"content-type": "text/event-stream"}
WORDS = [f"word{i} " for i in range(6)]
URL = "https://api.openai.com/v1/chat/completions"


def words_of(answer: httpx.Response) -> Iterator[str]:
    """The text of each event that has any, then its finish reason, then "[DONE]"."""
    for line in answer.iter_lines():
        if line == "data: [DONE]":
            yield "[DONE]"
        elif line.startswith("data: "):
            for choice in json.loads(line.removeprefix("data: "))["choices"]:
                if found := choice["delta"].get("content") or choice["finish_reason"]:
                    yield found


def check_each_in_time(http: httpx.Client, url: str, question: str, gate: Steps) -> str:
    """Each word is at the client before the provider may say the next, and the end before the body
    ends. Returns the HTTP version."""
    gate.release(2)  # The role and the first word: before that there is nothing to show.
    request = body(question, stream=True)
    with http.stream("POST", url, json=request, headers=AUTH, timeout=20) as answer:
        seen = words_of(answer)
        for word in WORDS:
            assert next(seen) == word
            gate.release()
        assert next(seen) == "stop"
        gate.release(2)
        assert next(seen) == "[DONE]"
        gate.release()
        return answer.http_version


# ---------------------------------------------------------------------- as soon as it is there


def test_each_event_at_once(proxy: Proxy, provider: Provider, question: str) -> None:
    gate = Steps()
    provider.reply = lambda request: Answer([*text_frames(*WORDS), b""], headers=SSE, gate=gate)
    with httpx.Client(verify=False) as http:
        url = f"{proxy.base_url}/chat/completions"
        assert check_each_in_time(http, url, question, gate) == "HTTP/1.1"
    assert is_stored(proxy, question)


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_each_event_at_once_under_tls(secure: Stand, question: str, version: str) -> None:
    gate = Steps()
    secure.provider.reply = lambda request: Answer(
        [*text_frames(*WORDS), b""], headers=SSE, gate=gate
    )
    tls = http2_tls(secure.proxy)
    if version == "HTTP/1.1":
        tls = httpx.create_ssl_context(verify=False)
    with httpx.Client(proxy=secure.proxy.url, http2=version == "HTTP/2", verify=tls) as http:
        assert check_each_in_time(http, URL, question, gate) == version


def _gzip() -> Callable[[bytes], bytes]:
    packer = zlib.compressobj(wbits=31)
    return lambda data: packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)


def _br() -> Callable[[bytes], bytes]:
    packer = brotli.Compressor()
    return lambda data: packer.process(data) + packer.flush()


def _zstd() -> Callable[[bytes], bytes]:
    packer = zstandard.ZstdCompressor().compressobj()
    return lambda data: packer.compress(data) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


CODINGS = {"gzip": _gzip, "br": _br, "zstd": _zstd}


@pytest.mark.parametrize("coding", CODINGS)
def test_each_event_at_once_when_compressed(
    proxy: Proxy, provider: Provider, question: str, coding: str
) -> None:
    gate, pack = Steps(), CODINGS[coding]()
    pieces = [*[pack(frame) for frame in text_frames(*WORDS)], b""]
    headers = {**SSE, "content-encoding": coding}
    provider.reply = lambda request: Answer(pieces, headers=headers, gate=gate)
    with httpx.Client(verify=False) as http:
        check_each_in_time(http, f"{proxy.base_url}/chat/completions", question, gate)
    assert is_stored(proxy, question)


def test_keepalive_comments_while_the_provider_is_silent(brisk: Stand, question: str) -> None:
    """Also before its first byte; the answer then follows as if nothing had been."""
    opened = False
    brisk.provider.reply = lambda request: Answer(
        text_frames(*WORDS), headers=SSE, gate=lambda piece: opened
    )
    url = f"{brisk.proxy.base_url}/chat/completions"
    with (
        httpx.Client(verify=False) as http,
        http.stream("POST", url, json=body(question, stream=True), headers=AUTH) as answer,
    ):
        lines = answer.iter_lines()
        for _ in range(2):
            assert next(line for line in lines if line.startswith(":")) in (
                ": reflex",
                ": keep-alive",
            )
        opened = True
        text = "\n".join(lines)
    assert text_of(data_of(text)) == "".join(WORDS)


# ---------------------------------------------------------------------- however it comes

AWKWARD = (
    b": a comment first\r\n\r\n"
    b"event: message\r\nid: 1\r\nretry: 5\r\ndata: "
    + json.dumps(chunk({"role": "assistant", "content": "Zü"}), ensure_ascii=False).encode()
    + b"\r\n\r\n"
    b'data: {"id":"chatcmpl-upstream","created":1700000000,"model":"gpt-4o",\n'
    b'data:  "choices":[{"index":0,"delta":{"content":"rich \xe2\x80\xa8\xf0\x9f\x98\x80"},\n'
    b'data:"finish_reason":null}]}\n\n'
    b"data: " + json.dumps(chunk({"content": "\x85end"}), ensure_ascii=False).encode() + b"\r\r"
    b"data: " + json.dumps(chunk({}, "stop")).encode() + b"\n\n"
    b"data: [DONE]"
)
AWKWARD_TEXT = "Zürich \u2028😀\x85end"


@pytest.mark.parametrize("pieces", ["bytes", "seed 1", "seed 2", "whole", "gzip"])
def test_frames_cut_anywhere(proxy: Proxy, provider: Provider, question: str, pieces: str) -> None:
    """CR, LF and both, comments, several data lines, U+2028, no last line end, cut everywhere."""
    headers = dict(SSE)
    if pieces == "bytes":
        cut = list(bytewise(AWKWARD))
    elif pieces == "gzip":
        packed = zlib.compress(AWKWARD, wbits=31)
        cut, headers["content-encoding"] = list(bytewise(packed)), "gzip"
    elif pieces == "whole":
        cut = [AWKWARD]
    else:
        cut = cuts(AWKWARD, int(pieces[-1]))
    provider.reply = lambda request: Answer(cut, headers=headers)
    for expected in ("miss", "hit-l1-exact"):
        headers_seen, chunks = ask_stream(proxy, question)
        assert headers_seen["x-reflex-status"] == expected
        assert joined(chunks) == AWKWARD_TEXT


def test_an_event_of_a_megabyte(proxy: Proxy, provider: Provider, question: str) -> None:
    text = "é" * 2**19 + "end"
    provider.reply = lambda request: Answer(text_frames(text), headers=SSE)
    _, chunks = ask_stream(proxy, question)
    assert joined(chunks) == text


def test_a_body_that_ends_with_the_connection(
    proxy: Proxy, provider: Provider, question: str
) -> None:
    provider.reply = lambda request: Answer(text_frames(*WORDS), headers=SSE, close_delimited=True)
    _, chunks = ask_stream(proxy, question)
    assert joined(chunks) == "".join(WORDS)


def test_upstream_connections_are_used_again(
    proxy: Proxy, provider: Provider, question: str
) -> None:
    """Also by streams, whose end is known before the end of their body."""
    for i in range(10):
        ask_stream(proxy, f"{question} {i}")
        ask(proxy, f"{question} whole {i}", headers={"cache-control": "no-store"})
    assert len(provider.received) == 20
    assert provider.connections <= 2


# ---------------------------------------------------------------------- the contract of chunks


def test_usage_only_for_those_who_ask(proxy: Proxy, provider: Provider, question: str) -> None:
    """The provider is always asked for it, so that every reader can have it later."""
    for _ in range(2):
        _, chunks = ask_stream(proxy, question)
        assert all(c.usage is None and c.choices for c in chunks)
        _, chunks = ask_stream(proxy, question, stream_options={"include_usage": True})
        assert [c.usage.total_tokens for c in chunks if c.usage] == [USAGE["total_tokens"]]
        assert not chunks[-1].choices
    (received,) = provider.received
    assert received.json["stream_options"] == {"include_usage": True}


def test_several_choices(proxy: Proxy, provider: Provider, question: str) -> None:
    """Interleaved as they come, by index, and whole from the store."""

    def piece(index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {
            **chunk({}),
            "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
        }

    values = [piece(i, {"role": "assistant", "content": ""}) for i in (0, 1, 2)]
    values += [piece(i, {"content": f"{word}{i} "}) for word in ("a", "b") for i in (2, 0, 1)]
    values += [piece(i, {}, "stop") for i in (0, 1, 2)]
    provider.reply = lambda request: Answer(sse(*values), headers=SSE)
    with client(proxy.base_url) as sdk:
        for _ in range(2):
            with sdk.chat.completions.stream(
                model="gpt-4o", messages=[{"role": "user", "content": question}], n=3
            ) as stream:
                choices = stream.get_final_completion().choices
            assert [c.message.content for c in choices] == [f"a{i} b{i} " for i in range(3)]
            assert [c.finish_reason for c in choices] == ["stop"] * 3
    assert len(provider.received) == 1
