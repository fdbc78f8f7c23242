"""Clients that do not read hold nobody up, and cost little."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

import httpx

from .asking import AUTH, body
from .conftest import Stand
from .crowd import Crowd, Seen, gated
from .faults import record
from .http2_client import Http2Client
from .provider import Provider, Steps
from .proxy import Proxy

BIG = 6 * 2**20
PIECE = "x" * 2**15


def big_answer(gate: Steps) -> Any:
    gate.release(2)
    return gated(gate, *[PIECE] * (BIG // len(PIECE)))


class Stuck:
    """A client that asks and does not read, with as little room for bytes as the system allows."""

    def __init__(self, proxy: Proxy, text: str) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(20)
        url = httpx.URL(proxy.base_url)
        self._socket.connect((url.host, url.port))
        data = json.dumps(body(text, stream=True)).encode()
        head = [
            "POST /v1/chat/completions HTTP/1.1",
            "Host: proxy",
            *[f"{name}: {value}" for name, value in AUTH.items()],
            "Content-Type: application/json",
            f"Content-Length: {len(data)}",
        ]
        self._socket.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + data)

    def read(self) -> bytes:
        """All of it, after all."""
        parts = []
        while not (parts and parts[-1].endswith(b"0\r\n\r\n")):
            data = self._socket.recv(2**20)
            assert data, "the proxy closed the connection"
            parts.append(data)
        return b"".join(parts)

    def close(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


def resident(proxy: Proxy) -> int:
    """Bytes of memory the proxy uses."""
    with open(f"/proc/{proxy.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_readers_that_do_not_read(proxy: Proxy, provider: Provider, question: str) -> None:
    """They hold nobody up, and what waits for them is kept once, not for each."""
    warm, gate = Steps(), Steps()
    count = 24

    async def run() -> None:
        async with Crowd(proxy) as crowd:
            warm.release(999)
            provider.reply = big_answer(warm)
            assert len((await crowd.ask(question + " warm")).text) == BIG
            provider.reply = big_answer(gate)
            before = resident(proxy)
            stuck = [Stuck(proxy, question) for _ in range(count)]
            try:
                reader = crowd.start(question)
                await crowd.readers(count + 1)
                gate.release(999)
                seen = await reader
                assert len(seen.text) == BIG
                what = "one does not read, or slowly"
                record("Clients", what, "goes on", seen.outcome, "as if nothing were")
                grown = resident(proxy) - before
                assert grown < count * BIG / 2, f"{grown / 2**20:.0f} MiB more"
                raw = await asyncio.to_thread(stuck[0].read)
                assert raw.count(PIECE.encode()) == BIG // len(PIECE)
            finally:
                for each in stuck:
                    each.close()
            await crowd.readers(0)

    asyncio.run(run())
    assert len(provider.received) == 2


def test_http2_reader_that_does_not_read(secure: Stand, question: str) -> None:
    """Its flow-control window stays closed; another stream of its connection, and others, go on."""
    gate = Steps()
    secure.provider.reply = big_answer(gate)
    with Http2Client(secure.proxy) as slow:
        held = slow.ask(body(question, stream=True))
        slow.hold(held)
        slow.read_until(held, b"xxx")
        other = slow.ask(body(question, stream=True))

        async def run() -> Seen:
            async with Crowd(secure.proxy) as crowd:
                reader = crowd.start(question)
                await crowd.readers(3)
                gate.release(999)
                return await reader

        assert len(asyncio.run(run()).text) == BIG
        assert slow.read_to_end(other).endswith(b"data: [DONE]\n\n")
        assert len(slow.received[held]) < 2**17
        slow.let_go(held)
        assert slow.read_to_end(held).count(PIECE.encode()) == BIG // len(PIECE)
    assert len(secure.provider.received) == 1
