"""What sharing one upstream answer costs and saves, against the same load with sharing off.

python scripts/bench_sharing.py            everything, writes docs/bench_sharing.md
python scripts/bench_sharing.py --quick    a tenth of it, prints only
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import resource
import statistics
import time
from dataclasses import dataclass, field

import bench_lib as lib

REFLEX = lib.ROOT / "addons" / "reflex.py"
OFF = "Cache-Control: no-store\r\n"
"""Such a request neither joins nor is joined; everything else is the same."""
MODES = {"shared": "", "sharing off": OFF}
STAMP = re.compile(rb'"content":" (\d{6,})"')


def proxy(provider: lib.StreamingProvider) -> lib.Mitmdump:
    return lib.Mitmdump(
        "http://127.0.0.1:9",
        REFLEX,
        reflex_upstream=provider.url + "/v1",
        reflex_semantic="false",
        reflex_disconnect_grace="0s",
    )


def question(text: str, mode: str) -> bytes:
    data = lib.request_bytes(lib.chat(text, stream=True))
    return data.replace(b"Content-Type", MODES[mode].encode() + b"Content-Type", 1)


@dataclass
class Reader:
    """One streaming client. `delays`: seconds from a word being said to its arrival here."""

    first: float = 0.0
    delays: list[float] = field(default_factory=list)

    async def read(self, port: int, request: bytes, *, words: int | None = None) -> Reader:
        """To the end, or until `words` have come."""
        return await self.ask(*await asyncio.open_connection("127.0.0.1", port), request, words)

    async def ask(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        request: bytes,
        words: int | None = None,
    ) -> Reader:
        try:
            started = time.monotonic_ns()
            writer.write(request)
            tail = b""
            while data := await reader.read(2**16):
                now = time.monotonic_ns()
                stamps = [int(stamp) for stamp in STAMP.findall(data)]
                if stamps and not self.first:
                    self.first = (now - started) / 1e9
                self.delays += [(now - stamp) / 1e9 for stamp in stamps if stamp > started]
                tail = tail[-20:] + data
                if b"data: [DONE]" in tail or (words and len(stamps) >= words):
                    return self
            raise SystemExit("the proxy closed the connection")
        finally:
            writer.close()


# ---------------------------------------------------------------------------- joining


async def _first_words(port: int, count: int, mode: str) -> list[float]:
    """Of clients that come, one after another, while an equal request is being answered."""
    times: list[float] = []
    while len(times) < count:
        text = f"{mode} {len(times)}"
        running = asyncio.create_task(Reader().read(port, question(text, mode)))
        await asyncio.sleep(0.7)
        while not running.done() and len(times) < count:
            joiner = await Reader().read(port, question(text, mode), words=1)
            times.append(joiner.first)
        running.cancel()
    return times


def joining(count: int) -> list[list[object]]:
    rows = []
    with lib.StreamingProvider(400, 0.01, first=0.3, stamped=True) as provider:
        for mode in MODES:
            with proxy(provider) as subject:
                asyncio.run(_first_words(subject.port, 5, mode))
                times = asyncio.run(_first_words(subject.port, count, mode))
                p50, p95 = statistics.median(times), statistics.quantiles(times, n=20)[18]
                rows.append([mode, f"{p50 * 1000:.1f}", f"{p95 * 1000:.1f}"])
    return rows


# ---------------------------------------------------------------------------- a thousand at once


async def _together(port: int, count: int, mode: str) -> float:
    """Seconds until all have the whole answer. All are connected before the first one asks."""
    room = asyncio.Semaphore(20)  # mitmproxy's listener queues 100

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with room:
            return await asyncio.open_connection("127.0.0.1", port)

    connections = await asyncio.gather(*[connect() for _ in range(count)])
    started = time.perf_counter()
    request = question("together", mode)
    await asyncio.gather(*[Reader().ask(*streams, request) for streams in connections])
    return time.perf_counter() - started


def together(count: int) -> list[list[object]]:
    rows = []
    for mode in MODES:
        with lib.StreamingProvider(20, 0.05, stamped=True) as provider, proxy(provider) as subject:
            took = asyncio.run(_together(subject.port, count, mode))
            rows.append([mode, count, provider.calls(), f"{took:.1f}"])
    return rows


# ---------------------------------------------------------------------------- each chunk


async def _delays(port: int, readers: int, mode: str) -> list[float]:
    text = f"{mode} {readers}"
    tasks = [Reader().read(port, question(text, mode)) for _ in range(readers)]
    return [delay for reader in await asyncio.gather(*tasks) for delay in reader.delays]


def chunks(words: int) -> list[list[object]]:
    rows = []
    with lib.StreamingProvider(words, 0.02, first=0.5, stamped=True) as provider:
        for mode in MODES:
            with proxy(provider) as subject:
                asyncio.run(_delays(subject.port, 2, mode))
                for readers in (1, 10, 100):
                    found = sorted(asyncio.run(_delays(subject.port, readers, mode)))
                    p50, p95 = found[len(found) // 2], found[int(len(found) * 0.95)]
                    rows.append([mode, readers, f"{p50 * 1000:.2f}", f"{p95 * 1000:.2f}"])
    return rows


# ---------------------------------------------------------------------------- memory


async def _memory(subject: lib.Mitmdump, readers: int, mode: str, seconds: float) -> float:
    """Bytes a reader while all are in the middle of an answer."""
    before = subject.rss()
    tasks = [
        asyncio.create_task(Reader().read(subject.port, question("memory", mode)))
        for _ in range(readers)
    ]
    await asyncio.sleep(seconds)
    grown = subject.rss() - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return grown / readers


def memory(readers: int) -> list[list[object]]:
    rows = []
    with lib.StreamingProvider(400, 0.02, stamped=True) as provider:
        for mode in MODES:
            with proxy(provider) as subject:
                asyncio.run(_together(subject.port, 5, mode))
                each = asyncio.run(_memory(subject, readers, mode, 5))
                rows.append([mode, readers, f"{each / 1024:.0f}"])
    return rows


PAGE = """# Benchmark: one upstream answer, many readers

`python scripts/bench_sharing.py` on {environment}, load average {load} when it began
(the client, the provider and the proxy share these cores). "Sharing off" is the same load with `Cache-Control: no-store`
on each request. Times are in milliseconds and include a client written in Python.

## Joining an answer under way

From the request to the first words, for a client that comes while an equal request is being answered.
The provider takes 300 ms to its first word, which is what a call of one's own must wait for.

{joining}
## Equal requests at the same time

{together}
## From the provider to each reader

Time from a word being said to its arrival, with a word every 20 ms. Readers of one answer all get it at
the same moment, so that the last of them waits for the others; answers of their own are spread out.

{chunks}
## Memory

Resident memory of the proxy per reader, in the middle of an answer.

{memory}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    scale = 10 if parser.parse_args().quick else 1
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 16_384), most))
    load = f"{os.getloadavg()[0]:.1f}"
    page = PAGE.format(
        environment=lib.environment(),
        load=load,
        joining=lib.table(["", "p50 ms", "p95 ms"], joining(200 // scale)),
        together=lib.table(
            ["", "requests", "upstream calls", "seconds until all have all"],
            together(1000 // scale),
        ),
        chunks=lib.table(["", "readers", "p50 ms", "p95 ms"], chunks(200 // scale)),
        memory=lib.table(["", "readers", "KiB a reader"], memory(100)),
    )
    if scale == 1:
        lib.write_page("bench_sharing.md", page)
    else:
        print(page)


if __name__ == "__main__":
    main()
