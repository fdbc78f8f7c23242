"""Captures made by a plain mitmdump, and mitmdump run over captures."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import openai
import trustme
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from .asking import KEY, MODEL
from .conftest import server_tls
from .provider import Answer, Provider, Received
from .proxy import BIN, ROOT, free_port
from .speech import act

GUARD = """
import sys

def watch(event, args):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo"):
        with open({path!r}, "a") as file:
            print(event, args, file=file)

sys.addaudithook(watch)
"""
"""A script that writes down every use of the network."""


def environ() -> dict[str, str]:
    """Without keys and Reflex settings of the machine."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith(("_API_KEY", "_PROXY"))
        and not name.startswith(("REFLEX_", "AWS_"))
    }


def mitmdump(confdir: Path, *args: str, codes: tuple[int, ...] = (0,), **options: object) -> str:
    """Runs it to its end; what it printed. `codes`: how it may end."""
    settings = [part for name, value in options.items() for part in _setting(name, value)]
    done = subprocess.run(
        [str(BIN / "mitmdump"), "--set", f"confdir={confdir}", *settings, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        env=environ(),
        check=False,
    )
    assert done.returncode in codes, done.stdout
    return done.stdout


def _setting(name: str, value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [part for one in values for part in ("--set", f"{name}={one}")]


def replay(confdir: Path, capture: Path, kind: str, *args: str, **options: Any) -> str:
    """`mitmdump -nr CAPTURE` with the addon; what it printed."""
    addon = str(ROOT / "addons" / "reflex.py")
    return mitmdump(confdir, "-nr", str(capture), "-s", addon, *args, reflex_replay=kind, **options)


def flows(path: Path) -> list[HTTPFlow]:
    with path.open("rb") as file:
        return [flow for flow in FlowReader(file).stream() if isinstance(flow, HTTPFlow)]


def notes(path: Path) -> list[Mapping[str, Any]]:
    """What Reflex noted in each flow."""
    return [flow.metadata.get("reflex", {}) for flow in flows(path)]


# ---------------------------------------------------------------------- recording


def zipped(request: Received) -> Answer:
    """`act`, compressed for who asks so, and as an API that is not all chat."""
    if request.path.endswith("/embeddings"):
        return Answer([b'{"object": "list", "data": [{"index": 0, "embedding": [0.5]}]}'])
    text = str(request.json["messages"][-1]["content"])
    if text.startswith("busy"):
        return Answer([b'{"error": {"message": "Slow down."}}'], status=429)
    answer = act(request)
    if "gzip" not in text:
        return answer
    body = gzip.compress(b"".join(answer.pieces))
    half = len(body) // 2
    return replace(
        answer,
        pieces=[body[:half], body[half:]],
        headers={**answer.headers, "content-encoding": "gzip"},
    )


@contextmanager
def recorder(confdir: Path, folder: Path, capture: Path) -> Iterator[tuple[Provider, str]]:
    """A plain mitmdump that plays api.openai.com: (who answers, the forward proxy's URL)."""
    provider = Provider(server_tls(trustme.CA()))
    provider.reply = zipped
    redirect = folder / "redirect.py"
    redirect.write_text(
        f"def server_connect(data):\n    data.server.address = ('127.0.0.1', {provider.port})\n"
    )
    port = free_port()
    process = subprocess.Popen(
        [
            *(str(BIN / "mitmdump"), "-q", "--set", f"confdir={confdir}", "-p", str(port)),
            *("--listen-host", "127.0.0.1", "--set", "ssl_insecure=true"),
            *("--set", "connection_strategy=lazy", "--set", "upstream_cert=false"),
            *("-s", str(redirect), "-w", str(capture)),
        ],
        env=environ(),
    )
    try:
        _wait_for(port)
        yield provider, f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        provider.close()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


def record(confdir: Path, folder: Path) -> Path:
    """A capture without Reflex, made by the openai SDK: see the requests below."""
    capture = folder / "plain.mitm"
    with recorder(confdir, folder, capture) as (_, url):
        http = httpx2.Client(proxy=url, verify=False, trust_env=False, timeout=30)
        with openai.OpenAI(api_key=KEY, http_client=http, max_retries=0) as sdk:
            _converse(sdk)
    return capture


def _converse(sdk: openai.OpenAI) -> None:
    def say(text: str, **more: Any) -> None:
        answer = sdk.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": text}], **more
        )
        if more.get("stream"):
            list(answer)

    say("json")
    say("stream", stream=True)
    say("gzip json")
    say("gzip stream", stream=True, stream_options={"include_usage": True})
    say("json")
    say("weather?", tools=TOOLS)
    say("forbidden", extra_headers={"Cache-Control": "no-store"})
    for call in (lambda: say("busy"), lambda: sdk.embeddings.create(model="e", input="x")):
        try:
            call()
        except openai.APIStatusError:
            pass
    sdk.with_options(base_url="https://elsewhere.example/v1").chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "elsewhere"}]
    )
