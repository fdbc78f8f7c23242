"""Shared by the benchmarks: a load generator, a streaming provider, proxies in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
QUIET = ("--set", "flow_detail=0", "--set", "termlog_verbosity=warn")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment() -> str:
    """What the numbers were measured on."""
    import mitmproxy.version

    cpu = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    python = ".".join(map(str, sys.version_info[:3]))
    return (
        f"{os.cpu_count()} cores ({cpu}), CPython {python}, mitmproxy {mitmproxy.version.VERSION}"
    )


class Mitmdump:
    """A quiet mitmdump in reverse mode. Use as a context manager."""

    def __init__(self, upstream: str, script: str | Path | None, **options: object) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._log = Path(self._folder.name) / "log"
        self.port = free_port()
        options = {"confdir": f"{self._folder.name}/conf", **options}
        if script is not None and Path(script).name == "reflex.py":
            options.setdefault("reflex_storage_path", f"{self._folder.name}/store")
        settings = [part for name, v in options.items() for part in ("--set", f"{name}={v}")]
        scripts = ["-s", str(script)] if script else []
        mode = ["--listen-host", "127.0.0.1", "--mode", f"reverse:{upstream}@{self.port}"]
        self.process = subprocess.Popen(
            [str(BIN / "mitmdump"), *mode, *QUIET, *settings, *scripts],
            stdout=self._log.open("wb"),
            stderr=subprocess.STDOUT,
        )
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    time.sleep(1)  # what an addon does in `running` comes after the listener
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit("mitmdump did not start:\n" + self.log)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def rss(self) -> int:
        """Resident bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def __enter__(self) -> Mitmdump:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._folder.cleanup()


# ---------------------------------------------------------------------------- load


def request_bytes(body: dict, key: str = "sk-bench", path: str = "/v1/chat/completions") -> bytes:
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: api.openai.com\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def chat(text: str, **more: object) -> dict:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}


async def read_response(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """(head, body) of one answer, by length or chunks."""
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        body = b""
        while True:
            size = int(await reader.readline(), 16)
            piece = await reader.readexactly(size + 2)
            if size == 0:
                return head, body
            body += piece[:-2]
    length = int(re.search(rb"content-length: (\d+)", lower)[1])
    return head, await reader.readexactly(length)


@dataclass
class Load:
    """Seconds for each request, and requests a second over the whole run."""

    times: list[float]
    rate: float

    @property
    def p50(self) -> float:
        return statistics.median(self.times)

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.times, n=20)[18] if len(self.times) > 1 else self.times[0]


async def _load(
    port: int, connections: int, count: int, make: Callable[[int], bytes], expect: bytes
) -> Load:
    times: list[float] = []
    numbers = iter(range(count))

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            data = make(number)
            started = time.perf_counter()
            writer.write(data)
            head, body = await read_response(reader)
            times.append(time.perf_counter() - started)
            if expect not in head + body:
                raise SystemExit(f"unexpected answer: {head!r} {body[:300]!r}")
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*[worker() for _ in range(connections)])
    return Load(times, count / (time.perf_counter() - started))


def load(
    port: int, connections: int, count: int, make: Callable[[int], bytes], expect: bytes = b"200"
) -> Load:
    """`count` requests over `connections` kept-alive connections; request i is `make(i)`."""
    return asyncio.run(_load(port, connections, count, make, expect))


# ---------------------------------------------------------------------------- a provider

_PROVIDER = """
import asyncio, json, re, sys, time
PORT, WORDS, DELAY, FIRST, STAMPED = (json.loads(arg) for arg in sys.argv[1:])
HEAD = {"id": "chatcmpl-b", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
def frame(delta, reason=None):
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    data = b"data: " + json.dumps({**HEAD, "choices": [choice]}).encode() + b"\\n\\n"
    return b"%x\\r\\n%s\\r\\n" % (len(data), data)
ROLE = frame({"role": "assistant", "content": ""})
READY = [frame({"content": " word%d" % i}) for i in range(WORDS)]
END = [frame({}, "stop"), b"e\\r\\ndata: [DONE]\\n\\n\\r\\n0\\r\\n\\r\\n"]
def word(i):
    return frame({"content": " %d" % time.monotonic_ns()}) if STAMPED else READY[i]
START = (b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\n"
         b"transfer-encoding: chunked\\r\\n\\r\\n")
calls = 0
async def serve(reader, writer):
    global calls
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            length = re.search(rb"content-length: (\\d+)", head.lower())
            await reader.readexactly(int(length[1]) if length else 0)
            if head.startswith(b"GET /calls"):
                body = str(calls).encode()
                writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: %d\\r\\n\\r\\n%s" % (len(body), body))
                continue
            calls += 1
            writer.write(START + ROLE)
            await asyncio.sleep(FIRST)
            for i in range(WORDS):
                writer.write(word(i))
                if DELAY:
                    await writer.drain()
                    await asyncio.sleep(DELAY)
            writer.writelines(END)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT, backlog=4096)
    await server.serve_forever()
asyncio.run(main())
"""


class StreamingProvider:
    """Answers every POST with a stream of `words`, `delay` seconds apart, the first after `first`.

    With `stamped` each word is the time.monotonic_ns() at which it was said.
    """

    def __init__(
        self, words: int, delay: float, *, first: float = 0.0, stamped: bool = False
    ) -> None:
        self.port = free_port()
        arguments = [self.port, words, delay, first, stamped]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROVIDER, *map(json.dumps, arguments)]
        )
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise SystemExit("the provider did not start")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def calls(self) -> int:
        import urllib.request

        with urllib.request.urlopen(self.url + "/calls") as answer:
            return int(answer.read())

    def __enter__(self) -> StreamingProvider:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


# ---------------------------------------------------------------------------- results


def table(headers: list[str], rows: list[list[object]]) -> str:
    """A Markdown table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def write_page(name: str, text: str) -> None:
    path = ROOT / "docs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(text)
