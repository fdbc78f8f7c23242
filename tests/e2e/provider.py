"""A provider for tests: a real HTTP(S) server that says exactly the bytes it is told to."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Received:
    """One request the provider got. `headers` names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """What to answer. Each piece is written on its own.

    Piece i waits until `gate(i)` says True, the head for `gate(-1)`; a client that leaves meanwhile is
    noticed.
    """

    pieces: Sequence[bytes] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    gate: Callable[[int], bool] | None = None
    drop: bool = False
    """Cut the connection instead of ending the body."""
    close_delimited: bool = False
    """No length and no chunks: the body ends with the connection."""
    raw: bytes | None = None
    """Sent instead of all the above, when the gate lets the head pass."""


def sse(*values: Any, done: bool = True) -> list[bytes]:
    """OpenAI-style frames, one a piece."""
    frames = [b"data: " + json.dumps(value).encode() + b"\n\n" for value in values]
    return frames + ([b"data: [DONE]\n\n"] if done else [])


class Steps:
    """A gate that lets one piece pass for each `release`; the head needs none."""

    def __init__(self) -> None:
        self._steps = threading.Semaphore(0)

    def __call__(self, piece: int) -> bool:
        return piece < 0 or self._steps.acquire(blocking=False)

    def release(self, pieces: int = 1) -> None:
        self._steps.release(pieces)


class Provider:
    """Runs in a thread of its own. `reply` decides; `received` is what came in."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.disconnects = 0
        """Clients that left before their answer's end."""
        self.answering = 0
        self.reply: Callable[[Received], Answer] = lambda request: Answer([b"{}"])
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def reset(self) -> None:
        """Forget what was received."""
        self.received = []
        self.connections = self.disconnects = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}"

    def close(self) -> None:
        async def stop() -> None:
            self._server.close()
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()

        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)

        async def start() -> None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
            self.port = self._server.sockets[0].getsockname()[1]
            self._ready.set()

        self._loop.run_until_complete(start())
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.strip().split("\r\n")
        method, path, _ = line.split(" ")
        headers = {k.lower(): v.strip() for k, _, v in (item.partition(":") for item in rest)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Received(method, path, headers, body)
        self.received.append(request)
        answer = self.reply(request)
        if answer.raw is not None:
            await _wait(reader, answer.gate, -1)
            writer.write(answer.raw)
            await writer.drain()
            return False
        self.answering += 1
        try:
            return await self._write(reader, writer, answer)
        except OSError:
            self.disconnects += 1
            raise
        finally:
            self.answering -= 1

    async def _write(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer
    ) -> bool:
        chunked = not answer.close_delimited
        headers = {"content-type": "application/json", **answer.headers}
        if chunked:
            headers["transfer-encoding"] = "chunked"
        await _wait(reader, answer.gate, -1)
        head = f"HTTP/1.1 {answer.status} X\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(head.encode("latin-1") + b"\r\n")
        await writer.drain()
        for i, piece in enumerate(answer.pieces):
            await _wait(reader, answer.gate, i)
            if piece:
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
        if answer.drop:
            writer.transport.abort()
            return False
        if not chunked:
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


async def _wait(
    reader: asyncio.StreamReader, gate: Callable[[int], bool] | None, piece: int
) -> None:
    """Until the gate opens. Raises ConnectionResetError when the client leaves before."""
    while gate is not None and not gate(piece):
        await asyncio.sleep(0.003)
        if reader.at_eof() or reader.exception() is not None:
            raise ConnectionResetError
