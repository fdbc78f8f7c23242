"""Semantic hits through the real proxy, beside exact hits and bare mitmproxy in the same run."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter

import bench_lib as lib

REFLEX = lib.ROOT / "addons" / "reflex.py"
CANNED = lib.ROOT / "scripts" / "bench_canned.py"
CONNECTIONS = (1, 8, 64)
SEEDS = (
    "How do I reset my password?",
    "How can I export my data as a spreadsheet?",
    "What is the best way to learn the guitar?",
    "How do I change the language of the app?",
    "Why does my phone get hot while charging?",
)
BEFORE = ("", "Hi! ", "Hello, ", "Quick question: ", "Hey there, ", "Good morning. ")
AFTER = ("", " Thanks!", " Thank you.", " Please help.", " Cheers", " Many thanks in advance.")
FRAMES = ("{}", "{} ", "({})", "{}?", "{}!", "- {}", '"{}"')
_INDEXED = 2.0
"""Seconds until what was stored can be found."""


def paraphrases() -> list[str]:
    """Harmless rewordings; those that the verifier does not take are left out of the measurement."""
    mixed = itertools.product(FRAMES, BEFORE, AFTER, (str.lower, str.title, str), SEEDS)
    return list(
        dict.fromkeys(
            frame.format(before + case(seed) + after) for frame, before, after, case, seed in mixed
        )
    )


class Measured(lib.Load):
    """With the number of answers by their X-Reflex-Status."""

    statuses: Counter[str]


def ask(port: int, connections: int, texts: list[str]) -> Measured:
    """Every text once, over `connections` kept-alive connections."""

    async def run() -> Measured:
        times: list[float] = []
        statuses: Counter[str] = Counter()
        left = iter(texts)

        async def worker() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for text in left:
                started = time.perf_counter()
                writer.write(lib.request_bytes(lib.chat(text)))
                head, _ = await lib.read_response(reader)
                times.append(time.perf_counter() - started)
                status = head.lower().partition(b"x-reflex-status:")[2].split(b"\r\n")[0]
                statuses[status.decode().strip()] += 1
            writer.close()

        started = time.perf_counter()
        await asyncio.gather(*[worker() for _ in range(connections)])
        out = Measured(times, len(texts) / (time.perf_counter() - started))
        out.statuses = statuses
        return out

    return asyncio.run(run())


def _reflex() -> lib.Mitmdump:
    return lib.Mitmdump("http://127.0.0.1:9", REFLEX, reflex_provider="mock")


def _seed(proxy: lib.Mitmdump) -> None:
    ask(proxy.port, 1, list(SEEDS))
    time.sleep(_INDEXED)


def _served() -> list[str]:
    """Rewordings that are semantic hits, found out with a proxy of their own."""
    with _reflex() as proxy:
        _seed(proxy)
        texts = [text for text in paraphrases() if text not in SEEDS]
        return [text for text in texts if ask(proxy.port, 1, [text]).statuses["hit-l3-verified"]]


def rows(count: int) -> list[list[object]]:
    served = _served()
    known, new = served[:8], served[8:]
    if not new:
        raise SystemExit("no rewording was served from the store")
    out: list[list[object]] = []
    bare = lib.Mitmdump("http://127.0.0.1:9", CANNED, connection_strategy="lazy")
    with bare, _reflex() as reflex:
        _seed(reflex)
        ask(bare.port, 1, [SEEDS[0]] * 200)
        ask(reflex.port, 1, known * 10)
        share = min(count, len(new) // len(CONNECTIONS))
        for at, connections in enumerate(CONNECTIONS):
            base = ask(bare.port, connections, [SEEDS[0]] * count)
            out.append(_row("bare mitmproxy, canned answer", connections, base, base))
            subjects = {
                "exact hit": [SEEDS[0]] * count,
                "semantic hit, reworded as before": (known * count)[:count],
                "semantic hit, reworded anew": new[at * share : (at + 1) * share],
            }
            for name, texts in subjects.items():
                measured = ask(reflex.port, connections, texts)
                out.append(_row(name, connections, measured, base))
    return out


def _row(name: str, connections: int, load: Measured, base: Measured) -> list[object]:
    hits = sum(n for status, n in load.statuses.items() if status.startswith("hit-"))
    return [
        name,
        connections,
        f"{load.p50 * 1000:.2f} / {load.p95 * 1000:.2f}",
        f"{load.rate:.0f}",
        f"{load.p50 / base.p50:.2f}x",
        f"{load.rate / base.rate:.2f}x",
        "-" if name.startswith("bare") else f"{hits / len(load.times):.0%}",
    ]


def section(rows: list[list[object]]) -> str:
    return (
        "\n## Through the proxy\n\n"
        "The load comes from a process on the same machine; ratios are against bare mitmproxy in the"
        " same run. A question reworded as before finds its embedding in the cache; one that is"
        " reworded anew is embedded.\n\n"
        + lib.table(
            ["what", "connections", "ms", "requests/s", "p50 ratio", "rate ratio", "served"], rows
        )
    )
