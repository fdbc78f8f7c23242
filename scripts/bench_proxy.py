"""What Reflex costs and saves, as ratios against bare mitmproxy in the same run.

python scripts/bench_proxy.py            everything, writes docs/bench_proxy.md and its plot
python scripts/bench_proxy.py --quick    a tenth of the requests, prints only
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from pathlib import Path

import bench_lib as lib

REFLEX = lib.ROOT / "addons" / "reflex.py"
CANNED = lib.ROOT / "scripts" / "bench_canned.py"
CONNECTIONS = (1, 8, 64)
ROUNDS = 3
HIT = lib.request_bytes(lib.chat("the question"))


# ---------------------------------------------------------------------------- exact hits


def hits(count: int) -> dict[str, dict[int, lib.Load]]:
    """Rounds in turn, so that a drifting machine hits all alike; the median round counts."""
    runs: dict[str, dict[int, list[lib.Load]]] = {}
    for _ in range(ROUNDS):
        for name, make in SUBJECTS.items():
            with make() as proxy:
                lib.load(proxy.port, 1, 200, lambda _: HIT)
                for connections in CONNECTIONS:
                    measured = lib.load(proxy.port, connections, count, lambda _: HIT)
                    runs.setdefault(name, {}).setdefault(connections, []).append(measured)
    return {
        name: {c: sorted(loads, key=lambda x: x.rate)[ROUNDS // 2] for c, loads in by_count.items()}
        for name, by_count in runs.items()
    }


SUBJECTS = {
    "bare addon, canned answer": lambda: lib.Mitmdump(
        "http://127.0.0.1:9", CANNED, connection_strategy="lazy"
    ),
    "exact hit through the hooks": lambda: lib.Mitmdump(
        "http://127.0.0.1:9", REFLEX, reflex_provider="mock", reflex_fast_hits="off"
    ),
    "exact hit before the hooks": lambda: lib.Mitmdump(
        "http://127.0.0.1:9", REFLEX, reflex_provider="mock", reflex_fast_hits="on"
    ),
}


def hit_rows(results: dict[str, dict[int, lib.Load]]) -> list[list[object]]:
    base = results["bare addon, canned answer"]
    return [
        [
            name,
            connections,
            f"{load.p50 * 1000:.2f}",
            f"{load.p95 * 1000:.2f}",
            f"{load.rate:.0f}",
            f"{load.p50 / base[connections].p50:.2f}x",
            f"{load.rate / base[connections].rate:.2f}x",
        ]
        for name, by_count in results.items()
        for connections, load in by_count.items()
    ]


# ---------------------------------------------------------------------------- misses, streamed


async def _first_tokens(port: int, count: int, prefix: str) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**26)
    times = []
    for number in range(count):
        body = lib.chat(f"{prefix} {number}", stream=True)
        started = time.perf_counter()
        writer.write(lib.request_bytes(body))
        await reader.readuntil(b"word0")
        times.append(time.perf_counter() - started)
        await reader.readuntil(b"0\r\n\r\n")
    writer.close()
    return times


async def _whole_streams(port: int, count: int, prefix: str) -> float:
    """Median seconds for a whole stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**26)
    times = []
    for number in range(count):
        started = time.perf_counter()
        writer.write(lib.request_bytes(lib.chat(f"{prefix} {number}", stream=True)))
        await reader.readuntil(b"[DONE]\n\n")
        await reader.readuntil(b"0\r\n\r\n")
        times.append(time.perf_counter() - started)
    writer.close()
    return statistics.median(times)


def misses(count: int, semantic: bool) -> tuple[list[float], list[float]]:
    """(bare, Reflex): seconds to the first token, in turns over the same provider."""
    bare_times: list[float] = []
    reflex_times: list[float] = []
    with lib.StreamingProvider(20, 0.002) as provider:
        bare = lib.Mitmdump(provider.url, None, stream_large_bodies="1")
        reflex = _reflex(provider, semantic)
        with bare, reflex:
            for round in range(5):
                for port, times in ((bare.port, bare_times), (reflex.port, reflex_times)):
                    times += asyncio.run(_first_tokens(port, count // 5, f"round {round}"))
    return bare_times, reflex_times


def _reflex(provider: lib.StreamingProvider, semantic: bool) -> lib.Mitmdump:
    switch = {} if semantic else {"reflex_semantic": "false"}
    return lib.Mitmdump(provider.url, REFLEX, reflex_upstream=provider.url + "/v1", **switch)


def chunks(pieces: int) -> tuple[float, float]:
    """(bare, Reflex): microseconds a chunk for a stream that comes as fast as it can."""
    with lib.StreamingProvider(pieces, 0) as provider:
        bare = lib.Mitmdump(provider.url, None, stream_large_bodies="1")
        with bare, _reflex(provider, semantic=False) as reflex:
            out = [asyncio.run(_whole_streams(p.port, 5, "w")) for p in (bare, reflex)]
    return out[0] / pieces * 1e6, out[1] / pieces * 1e6


def rewriting() -> dict[str, float]:
    """Median microseconds in our own code for one chunk: decode, fold, render."""
    from reflex_core.exchange import Exchange
    from reflex_core.render import ChunkRenderer

    out = {}
    for name, (decoder, frames) in _samples().items():
        exchange = Exchange("chatcmpl-b", 1, "m")
        exchange.attach(decoder)
        renderer = ChunkRenderer("chatcmpl-b", 1, "m", True)
        times = []
        for frame in frames:
            started = time.perf_counter_ns()
            for event in exchange.feed(frame):
                renderer.feed(event)
            times.append(time.perf_counter_ns() - started)
        out[name] = statistics.median(times) / 1000
    return out


def _samples() -> dict:
    import json

    from reflex_core import catalog, codecs
    from reflex_core.types import ChatRequest, Target

    def decoder(name: str):
        provider = catalog.PROVIDERS[name]
        target = Target(provider, "m", provider.base_url, "k")
        request = ChatRequest(b"{}", {"messages": []}, "m", True)
        return codecs.get(provider.codec).decoder(request, target)

    def sse(value: dict, event: str = "") -> bytes:
        head = f"event: {event}\n" if event else ""
        return (head + "data: " + json.dumps(value) + "\n\n").encode()

    openai = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    gemini = {
        "candidates": [{"content": {"parts": [{"text": " word"}], "role": "model"}, "index": 0}]
    }
    ollama = {"model": "m", "message": {"role": "assistant", "content": " word"}, "done": False}
    start = {"type": "message_start", "message": {"id": "m", "model": "m", "usage": {}}}
    block = {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": ""},
    }
    delta = {"type": "text_delta", "text": " word"}
    piece = {"type": "content_block_delta", "index": 0, "delta": delta}
    choice = {"index": 0, "delta": {"content": " word"}, "finish_reason": None}
    return {
        "openai": (decoder("openai"), [sse({**openai, "choices": [choice]})] * 3000),
        "anthropic": (
            decoder("anthropic"),
            [sse(start, "message_start"), sse(block, "content_block_start")]
            + [sse(piece, "content_block_delta")] * 3000,
        ),
        "gemini": (decoder("gemini"), [sse(gemini)] * 3000),
        "ollama": (decoder("ollama"), [(json.dumps(ollama) + "\n").encode()] * 3000),
    }


# ---------------------------------------------------------------------------- memory


def memory(total: int) -> list[tuple[int, int]]:
    """(requests, resident bytes): nine hits to one miss, with a small memory tier that fills up early."""
    options = {"reflex_provider": "mock", "reflex_l1_capacity": 500, "reflex_semantic": "false"}
    samples = []
    with lib.Mitmdump("http://127.0.0.1:9", REFLEX, **options) as proxy:
        step = total // 20
        for done in range(0, total, step):
            lib.load(
                proxy.port,
                8,
                step,
                lambda i, done=done: (
                    lib.request_bytes(lib.chat(f"new {done + i}")) if i % 10 == 0 else HIT
                ),
            )
            samples.append((done + step, proxy.rss()))
    return samples


# ---------------------------------------------------------------------------- all


def plot(results: dict, samples: list[tuple[int, int]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
    for at, (name, by_count) in enumerate(results.items()):
        places = [i + (at - 1) * 0.27 for i in range(len(CONNECTIONS))]
        left.bar(places, [by_count[c].rate for c in CONNECTIONS], 0.25, label=name)
    left.set_xticks(range(len(CONNECTIONS)), [str(c) for c in CONNECTIONS])
    left.set(xlabel="connections", ylabel="requests/s", title="Exact hits")
    left.legend(fontsize=7)
    right.plot([n for n, _ in samples], [b / 2**20 for _, b in samples], marker=".")
    right.set(xlabel="requests", ylabel="MiB resident", title="Memory", ylim=(0, None))
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests, print only")
    quick = parser.parse_args().quick
    scale = 10 if quick else 1
    results = hits(2000 // scale)
    bare, reflex = misses(200 // scale, semantic=False)
    bare2, with_semantic = misses(150 // scale, semantic=True)
    bare_chunk, reflex_chunk = chunks(3000 // scale)
    rewrite = rewriting()
    samples = memory(100_000 // scale)
    first = [
        ["without the semantic tier", *_added(bare, reflex)],
        ["with the semantic tier", *_added(bare2, with_semantic)],
    ]
    text = (
        "# Benchmark: the proxy\n\n"
        f"Made by `python scripts/bench_proxy.py{' --quick' if quick else ''}` on {lib.environment()}."
        " The load comes from a process on the same machine. Ratios are against the bare addon, or"
        " bare mitmproxy, in the same run.\n\n## Exact hits\n\n"
        + lib.table(
            ["what", "connections", "p50 ms", "p95 ms", "requests/s", "p50 ratio", "rate ratio"],
            hit_rows(results),
        )
        + "\n![](pictures/bench_proxy.png)\n\n## Misses: time to the first token\n\n"
        + lib.table(["what", "bare p50 ms", "Reflex p50 ms", "added ms"], first)
        + "\n## A streamed chunk\n\n"
        + lib.table(
            ["what", "µs a chunk"],
            [
                ["bare mitmproxy, whole way", f"{bare_chunk:.1f}"],
                ["Reflex, whole way", f"{reflex_chunk:.1f}"],
                *[[f"rewriting only: {n}", f"{us:.1f}"] for n, us in rewrite.items()],
            ],
        )
        + f"\n## Memory over {samples[-1][0]:,} requests\n\nNine hits to one miss; at most 500 answers in"
        " the memory tier.\n\n"
        + lib.table(
            ["requests", "MiB resident"],
            [[f"{n:,}", f"{b / 2**20:.0f}"] for n, b in samples[:: max(1, len(samples) // 5)]]
            + [[f"{samples[-1][0]:,}", f"{samples[-1][1] / 2**20:.0f}"]],
        )
    )
    if quick:
        print(text)
    else:
        plot(results, samples, lib.ROOT / "docs" / "pictures" / "bench_proxy.png")
        lib.write_page("bench_proxy.md", text)


def _added(bare: list[float], reflex: list[float]) -> list[str]:
    a, b = statistics.median(bare) * 1000, statistics.median(reflex) * 1000
    return [f"{a:.2f}", f"{b:.2f}", f"{b - a:+.2f}"]


if __name__ == "__main__":
    main()
