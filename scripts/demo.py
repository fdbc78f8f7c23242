"""The product in five requests: a real mitmdump, the openai SDK with HTTPS_PROXY, a local provider."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import openai
from demo_provider import start

ROOT = Path(__file__).resolve().parents[1]
MODEL = "gpt-4o"


def start_proxy(folder: Path, upstream: str) -> tuple[subprocess.Popen[str], str, Path]:
    """mitmdump with Reflex in front of the local provider, on a free port."""
    options = {
        "confdir": folder / "mitmproxy",
        "reflex_provider": "anthropic",
        "reflex_upstream": upstream,
        "reflex_models": f"{MODEL}=anthropic::claude-sonnet-4-5",
        "reflex_storage_path": folder / "store",
    }
    settings = [part for name, value in options.items() for part in ("--set", f"{name}={value}")]
    process = subprocess.Popen(
        [Path(sys.executable).parent / "mitmdump", "--listen-host", "127.0.0.1", "-p", "0"]
        + ["-s", ROOT / "addons" / "reflex.py", *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "ANTHROPIC_API_KEY": "demo", "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout
    seen = []
    for line in process.stdout:
        seen.append(line)
        if match := re.search(r"HTTPS_PROXY=(\S+)", line):
            return process, match[1], folder / "mitmproxy" / "mitmproxy-ca-cert.pem"
    raise SystemExit("the proxy did not start:\n" + "".join(seen))


def show(title: str, ask: Callable[[], tuple[httpx.Headers, float | None, str]]) -> None:
    started = time.perf_counter()
    headers, first, text = ask()
    total = (time.perf_counter() - started) * 1000
    first_ms = f"{(first - started) * 1000:7.1f}" if first else "      -"
    words = re.sub(r"\s+", " ", text)[:48]
    status = headers["x-reflex-status"]
    print(f"{title:38} {status:14} {first_ms} {total:8.1f}   {words}...", flush=True)


def main() -> None:
    upstream, provider = start()
    with tempfile.TemporaryDirectory() as name:
        process, proxy, ca = start_proxy(Path(name), upstream)
        try:
            run(proxy, ca)
        finally:
            process.terminate()
            process.wait(15)
    print(
        f"\nThe provider (an Anthropic API, behind an OpenAI client) was called {provider.calls} times."
    )


def run(proxy: str, ca: Path) -> None:
    # An unchanged OpenAI client: it believes that it talks to api.openai.com.
    os.environ |= {"HTTPS_PROXY": proxy, "SSL_CERT_FILE": str(ca)}
    client = openai.OpenAI(api_key="sk-demo")

    def json_answer(question: str) -> tuple[httpx.Headers, float | None, str]:
        raw = client.chat.completions.with_raw_response.create(
            model=MODEL, messages=[{"role": "user", "content": question}]
        )
        return raw.headers, None, raw.parse().choices[0].message.content or ""

    def streamed(question: str) -> tuple[httpx.Headers, float | None, str]:
        raw = client.chat.completions.with_raw_response.create(
            model=MODEL, messages=[{"role": "user", "content": question}], stream=True
        )
        first, text = None, []
        for chunk in raw.parse():
            if chunk.choices and chunk.choices[0].delta.content:
                first = first or time.perf_counter()
                text.append(chunk.choices[0].delta.content)
        return raw.headers, first, "".join(text)

    refund, haiku = "How do I get a refund?", "Write a haiku about a caching proxy."
    print(f"{'request':38} {'X-Reflex-Status':14} {'1st ms':>7} {'total ms':>8}   answer")
    show("JSON, first time", lambda: json_answer(refund))
    show("JSON, again", lambda: json_answer(refund))
    show("streamed, first time", lambda: streamed(haiku))
    show("streamed, again", lambda: streamed(haiku))
    show("JSON read of the streamed answer", lambda: json_answer(haiku))


if __name__ == "__main__":
    main()
