"""The product in a few requests: a real mitmdump, the openai SDK with HTTPS_PROXY, a local provider."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import openai
from demo_provider import start

ROOT = Path(__file__).resolve().parents[1]
MODEL = "gpt-4o"


class Proxy(NamedTuple):
    process: subprocess.Popen[str]
    url: str
    root: str
    """Of the reverse listener."""
    ca: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_proxy(folder: Path, upstream: str) -> Proxy:
    """mitmdump with Reflex in front of the local provider, on free ports."""
    options = {
        "confdir": folder / "mitmproxy",
        "flow_detail": 0,
        "reflex_provider": "anthropic",
        "reflex_upstream": upstream,
        "reflex_models": f"{MODEL}=anthropic::claude-sonnet-4-5",
        "reflex_storage_path": folder / "store",
    }
    settings = [part for name, value in options.items() for part in ("--set", f"{name}={value}")]
    forward, reverse = free_port(), free_port()
    modes = ["--mode", f"regular@{forward}", "--mode", f"reverse:https://api.openai.com@{reverse}"]
    mitmdump, script = Path(sys.executable).parent / "mitmdump", ROOT / "addons" / "reflex.py"
    log = folder / "log"
    process = subprocess.Popen(
        [mitmdump, "--listen-host", "127.0.0.1", *modes, "-s", script, *settings],
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "ANTHROPIC_API_KEY": "demo", "PYTHONUNBUFFERED": "1"},
    )
    ca = folder / "mitmproxy" / "mitmproxy-ca-cert.pem"
    proxy = Proxy(process, f"http://127.0.0.1:{forward}", f"http://127.0.0.1:{reverse}", ca)
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"{proxy.root}/ready", timeout=5):
                return proxy
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    process.kill()
    raise SystemExit("the proxy did not start:\n" + log.read_text())


class Answer(NamedTuple):
    headers: httpx.Headers
    first: float | None
    """When the first words came, by `time.perf_counter`."""
    text: str


def show(title: str, ask: Callable[[], Answer]) -> None:
    started = time.perf_counter()
    headers, first, text = ask()
    total = (time.perf_counter() - started) * 1000
    first_ms = f"{(first - started) * 1000:7.1f}" if first else "      -"
    words = re.sub(r"\s+", " ", text)[:40]
    status = headers["x-reflex-status"]
    print(f"{title:36} {status:16} {first_ms} {total:8.1f}   {words}...", flush=True)


def json_answer(client: openai.OpenAI, question: str) -> Answer:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": question}]
    )
    return Answer(raw.headers, None, raw.parse().choices[0].message.content or "")


def streamed(
    client: openai.OpenAI, question: str, seen: Callable[[str], None] = lambda piece: None
) -> Answer:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": question}], stream=True
    )
    first, text = None, []
    for chunk in raw.parse():
        if chunk.choices and (piece := chunk.choices[0].delta.content):
            first = first or time.perf_counter()
            text.append(piece)
            seen(piece)
    return Answer(raw.headers, first, "".join(text))


def cache(client: openai.OpenAI) -> None:
    refund = "How do I get a refund for a damaged item?"
    reworded = "What's the way to get my money back for an item that arrived damaged?"
    trap = "Why can't I get a refund for a damaged item?"
    haiku = "Write a haiku about a caching proxy."
    print(f"{'request':36} {'X-Reflex-Status':16} {'1st ms':>7} {'total ms':>8}   answer")
    show("JSON, first time", lambda: json_answer(client, refund))
    show("JSON, again", lambda: json_answer(client, refund))
    show("streamed, first time", lambda: streamed(client, haiku))
    show("streamed, again", lambda: streamed(client, haiku))
    show("JSON read of the streamed answer", lambda: json_answer(client, haiku))
    time.sleep(1)  # until the index has the new answers
    show("the same, reworded", lambda: json_answer(client, reworded))
    show("nearly the same, another meaning", lambda: json_answer(client, trap))


def share(client: openai.OpenAI) -> None:
    """Two clients, one upstream stream: the second joins 0.8 s later and catches up at once."""
    question = "Tell me how a caching proxy shares one stream between two clients."
    started = time.perf_counter()
    rows: list[tuple[float, int, str]] = []
    statuses = ["", ""]

    def read(number: int) -> None:
        time.sleep(number * 0.8)
        answer = streamed(
            client,
            question,
            lambda piece: rows.append((time.perf_counter() - started, number, piece)),
        )
        statuses[number] = answer.headers["x-reflex-status"]

    threads = [threading.Thread(target=read, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"\n{'seconds':>8}  {'first client':24} second client, 0.8 s later")
    for at, number, piece in sorted(rows):
        cells = [piece.strip() if number == column else "" for column in (0, 1)]
        print(f"{at:8.3f}  {cells[0]:24} {cells[1]}")
    print(f"{'status':>8}  {statuses[0]:24} {statuses[1]}")


def savings(root: str) -> str:
    with urllib.request.urlopen(f"{root}/reflex/stats", timeout=10) as answer:
        stats = json.load(answer)
    saved, total = stats["saved"], stats["requests"]["total"]
    tokens = saved["prompt_tokens"] + saved["completion_tokens"]
    return (
        f"Saved: {saved['calls']} of {total} requests made no call;"
        f" {tokens} tokens, ${saved['usd']:.4f}, {saved['seconds']:.1f} s."
    )


def main() -> None:
    upstream, provider = start()
    with tempfile.TemporaryDirectory() as name:
        proxy = start_proxy(Path(name), upstream)
        try:
            # An unchanged OpenAI client: it believes that it talks to api.openai.com.
            os.environ |= {"HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": str(proxy.ca)}
            client = openai.OpenAI(api_key="sk-demo")
            cache(client)
            share(client)
            calls = provider.calls
            print(
                f"\nThe provider, an Anthropic API behind an OpenAI client, was asked {calls} times."
            )
            print(savings(proxy.root))
            print(f"The dashboard of a running proxy is at its {proxy.root}/reflex/.")
        finally:
            proxy.process.terminate()
            proxy.process.wait(15)


if __name__ == "__main__":
    main()
