"""The way to providers: real servers, real failures, connections used again."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
import zlib
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
import trustme

from reflex_core.backends import http_upstream
from reflex_core.backends.http_upstream import HttpUpstream
from reflex_core.errors import ApiError, UpstreamError
from reflex_core.types import ProviderRequest
from tests.e2e.provider import Answer, Provider, Received, Steps


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    yield server
    server.close()


def request(url: str, body: bytes = b"{}", **headers: str) -> ProviderRequest:
    return ProviderRequest("POST", url, tuple(headers.items()), body)


async def guarded[T](work: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(20):
        return await work


def fetch(url: str, times: int = 1, timeout: float = 5, **options: Any) -> list[bytes]:
    """The bodies of so many requests, one after the other."""

    async def run() -> list[bytes]:
        upstream = HttpUpstream(**{"connect_timeout": 5, **options})
        try:
            bodies = []
            for _ in range(times):
                answer = await upstream.open(request(url), timeout)
                try:
                    bodies.append(await answer.read_all())
                finally:
                    answer.close()
            return bodies
        finally:
            await upstream.close()

    return asyncio.run(guarded(run()))


def failure(url: str, **options: Any) -> ApiError:
    with pytest.raises(UpstreamError) as caught:
        fetch(url, **options)
    assert caught.value.error.type == "server_error"
    return caught.value.error


# ---------------------------------------------------------------------- answers


def test_what_is_sent_and_what_comes_back(provider: Provider) -> None:
    provider.reply = lambda request: Answer([b"a", b"b"], 418, {"X-Some": "Header"})

    async def run() -> None:
        upstream = HttpUpstream(connect_timeout=5)
        sent = request(provider.url + "/a%2Fb?c=%20", b"body", **{"x-own": "1"})
        answer = await upstream.open(sent, 5)
        assert (answer.status, answer.headers["x-some"]) == (418, "Header")
        assert await answer.read_all() == b"ab"
        assert await answer.read_chunk() == b""
        answer.close()
        await upstream.close()

    asyncio.run(guarded(run()))
    (received,) = provider.received
    assert (received.method, received.path, received.body) == ("POST", "/a%2Fb?c=%20", b"body")
    assert received.headers["x-own"] == "1"
    assert received.headers["accept-encoding"] == "identity"
    assert not {"user-agent", "cookie", "content-type"} & received.headers.keys()


def test_chunks_come_as_they_are_sent(provider: Provider) -> None:
    gate = Steps()
    provider.reply = lambda request: Answer([b"a", b"b", b"c"], gate=gate)

    async def run() -> None:
        upstream = HttpUpstream(connect_timeout=5)
        answer = await upstream.open(request(provider.url), 5)
        for expected in (b"a", b"b", b"c"):
            gate.release()
            assert await answer.read_chunk() == expected
        assert await answer.read_chunk() == b""
        answer.close()
        await upstream.close()

    asyncio.run(guarded(run()))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_content_codings(provider: Provider, coding: str) -> None:
    packer = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    packed = packer.compress(b"hello " * 1000) + packer.flush()
    provider.reply = lambda request: Answer([packed], headers={"content-encoding": coding})
    assert fetch(provider.url) == [b"hello " * 1000]


def test_redirects_and_cookies_are_not_followed(provider: Provider) -> None:
    provider.reply = lambda request: Answer(
        [b"moved"], 302, {"location": "/elsewhere", "set-cookie": "a=b"}
    )
    assert fetch(provider.url, times=2) == [b"moved"] * 2
    assert [r.path for r in provider.received] == ["/", "/"]
    assert "cookie" not in provider.received[1].headers


# ---------------------------------------------------------------------- connections


def test_connections_are_used_again(provider: Provider) -> None:
    provider.reply = lambda request: Answer([b"a"])
    fetch(provider.url, times=5)
    assert provider.connections == 1


def test_a_complete_answer_lingers_for_the_end_of_its_body(provider: Provider) -> None:
    gate = Steps()
    provider.reply = lambda request: Answer([b"all", b""], gate=gate)

    async def run() -> None:
        upstream = HttpUpstream(connect_timeout=5)
        for _ in range(3):
            gate.release()
            answer = await upstream.open(request(provider.url), 5)
            assert await answer.read_chunk() == b"all"
            answer.close(complete=True)
            gate.release()
            while provider.answering:  # noqa: ASYNC110  a server in another thread tells nobody
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
        await upstream.close()

    asyncio.run(guarded(run()))
    assert provider.connections == 1
    assert not provider.disconnects


@pytest.mark.parametrize("complete", [True, False])
def test_an_answer_without_an_end_is_cut(
    provider: Provider, complete: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_upstream, "LINGER", 0.05)
    provider.reply = lambda request: Answer([b"a", b"b"], gate=lambda piece: piece < 1)

    async def run() -> None:
        upstream = HttpUpstream(connect_timeout=5)
        answer = await upstream.open(request(provider.url), 5)
        assert await answer.read_chunk() == b"a"
        answer.close(complete=complete)
        while not provider.disconnects:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await upstream.close()

    asyncio.run(guarded(run()))


def test_closing_ends_what_lingers(provider: Provider) -> None:
    provider.reply = lambda request: Answer([b"a", b"b"], gate=lambda piece: piece < 1)

    async def run() -> None:
        upstream = HttpUpstream(connect_timeout=5)
        answer = await upstream.open(request(provider.url), 5)
        await answer.read_chunk()
        answer.close(complete=True)
        await upstream.close()
        while not provider.disconnects:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    asyncio.run(guarded(run()))


# ---------------------------------------------------------------------- failures


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_no_connection() -> None:
    error = failure(f"http://127.0.0.1:{closed_port()}/secret?key=secret")
    assert (error.status, error.code) == (502, "upstream_connect")
    assert "127.0.0.1" in error.message
    assert "secret" not in error.message


def test_no_such_host() -> None:
    error = failure("http://there-is-no-such-host.invalid/")
    assert (error.status, error.code) == (502, "upstream_dns")


def test_no_address_at_all() -> None:
    assert failure("http:///nowhere").status == 502


def test_a_connection_that_takes_too_long() -> None:
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for other in (one, two):
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        error = failure(f"http://127.0.0.1:{full.getsockname()[1]}", connect_timeout=0.1)
    assert (error.status, error.code) == (504, "upstream_timeout")


def test_a_name_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking up the host is part of connecting."""

    def slow(*args: object, **more: object) -> list[Any]:
        time.sleep(0.5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    error = failure("http://slow.example", connect_timeout=0.1)
    assert (error.status, error.code) == (504, "upstream_timeout")


def tls(ca: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(name).configure_cert(context)
    return context


def trusting(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


def test_tls() -> None:
    ca = trustme.CA()
    server = Provider(tls(ca))
    server.reply = lambda request: Answer([b"safe"])
    stranger = Provider(tls(ca, "elsewhere"))
    try:
        assert fetch(server.url, ssl_context=trusting(ca)) == [b"safe"]
        for error in (
            failure(server.url),
            failure(stranger.url, ssl_context=trusting(ca)),
            failure(server.url.replace("https", "http")),
        ):
            assert error.status == 502
        assert failure(server.url).code == "upstream_tls"
    finally:
        server.close()
        stranger.close()


def test_no_answer_in_time(provider: Provider) -> None:
    provider.reply = lambda request: Answer([b"a"], gate=lambda piece: False)
    error = failure(provider.url, timeout=0.1)
    assert (error.status, error.code) == (504, "upstream_timeout")


BROKEN = {
    "nothing": (Answer(raw=b""), "upstream_closed"),
    "no http": (Answer(raw=b"\x00\x01\r\n\r\n"), "upstream_failed"),
    "cut": (Answer([b"abc"], drop=True), "upstream_closed"),
    "short": (Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"), "upstream_closed"),
    "no gzip": (Answer([b"abc"], headers={"content-encoding": "gzip"}), "upstream_closed"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_answers(provider: Provider, kind: str) -> None:
    answer, code = BROKEN[kind]
    provider.reply = lambda request: answer
    error = failure(provider.url)
    assert (error.status, error.code) == (502, code)
    assert ("encoding" in error.message) == (kind == "no gzip")


def test_an_answer_that_is_too_large(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_upstream, "MAX_WHOLE", 10)
    provider.reply = lambda request: Answer([b"x" * 6, b"y" * 6])
    assert "too large" in failure(provider.url).message


# ---------------------------------------------------------------------- through another proxy


def test_an_upstream_proxy(provider: Provider) -> None:
    """It gets plain requests whole, and refuses connections with a status of its own."""

    def reply(received: Received) -> Answer:
        if received.method == "CONNECT":
            return Answer(raw=b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        return Answer([b"by way of it"])

    provider.reply = reply
    assert fetch("http://somewhere.invalid/x", proxy=provider.url) == [b"by way of it"]
    assert provider.received[0].path == "http://somewhere.invalid/x"
    error = failure("https://somewhere.invalid/x", proxy=provider.url)
    assert (error.status, error.code) == (502, "upstream_proxy")
    assert "403" in error.message


def test_no_proxy_is_honoured(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost,intra.example")
    provider.reply = lambda received: Answer([b"straight"])
    nobody = "http://127.0.0.1:9"
    assert fetch(provider.url + "/x", proxy=nobody) == [b"straight"]
    assert failure("http://elsewhere.example/x", proxy=nobody).code == "upstream_connect"
