"""Clients that are not Python's SDK: Node, curl; HTTP/2, many requests and many connections."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from .asking import AUTH, body, data_of, http2_tls, text_of
from .conftest import Stand, Way
from .speech import WEATHER, act

NODE = Path(__file__).parent / "node"
needs_node = pytest.mark.skipif(
    not (NODE / "node_modules").is_dir() or shutil.which("node") is None,
    reason="needs Node and `npm ci` in tests/e2e/node",
)
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
CURL_FEATURES = (
    subprocess.run(["curl", "--version"], check=False, capture_output=True, text=True).stdout
    if shutil.which("curl")
    else ""
)


# ---------------------------------------------------------------------- Node


@needs_node
def test_node(way: Way, question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    way.stand.provider.reply = act
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(way.stand.proxy.ca))
    run = subprocess.run(
        ["node", "client.js", question],
        check=False,
        cwd=NODE,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    said = f"You said: {question}"
    assert seen["json"] == seen["stream"] == seen["again"] == said
    assert seen["statuses"] == ["miss", "hit-l1-exact"]
    assert json.loads(seen["tool"]) == WEATHER
    assert seen["error"] == {"name": "AuthenticationError", "status": 401, "code": "bad_key"}


# ---------------------------------------------------------------------- curl


def curl(way: Way, *args: str, **fields: Any) -> str:
    done = subprocess.run(
        [
            *(
                "curl",
                "--silent",
                "--show-error",
                "--max-time",
                "30",
                f"{way.base_url}/chat/completions",
            ),
            *(
                "-H",
                f"Authorization: {AUTH['authorization']}",
                "-H",
                "Content-Type: application/json",
            ),
            *("--data-binary", "@-", *args),
        ],
        check=False,
        input=json.dumps(fields),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def _curl_ca(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURL_CA_BUNDLE", str(way.stand.proxy.ca))


@needs_curl
@pytest.mark.usefixtures("_curl_ca")
def test_curl(way: Way, question: str) -> None:
    for expected in ("miss", "hit-l1-exact"):
        out = curl(way, "-i", **body(question))
        head, _, text = out.rpartition("\n\n")
        assert f"x-reflex-status: {expected}" in head.lower()
        assert json.loads(text)["choices"][0]["message"]["content"] == f"You said: {question}"
    chunks = data_of(curl(way, "-N", **body(question, stream=True)))
    assert text_of(chunks) == f"You said: {question}"
    assert len(way.stand.provider.received) == 1


@needs_curl
@pytest.mark.skipif("HTTP2" not in CURL_FEATURES, reason="this curl has no HTTP/2")
@pytest.mark.usefixtures("_curl_ca")
def test_curl_http2(way: Way, question: str) -> None:
    # Without TLS curl asks for an upgrade, which mitmproxy does not do.
    spoken = "2" if way.name == "forward" else "1.1"
    for _ in range(2):
        out = curl(
            way, "--http2", "-N", "-w", "version %{http_version}", **body(question, stream=True)
        )
        text, _, version = out.rpartition("version ")
        assert version == spoken
        assert text_of(data_of(text)) == f"You said: {question}"
    assert len(way.stand.provider.received) == 1


# ---------------------------------------------------------------------- connections


def test_http2_streams_at_once(secure: Stand, question: str) -> None:
    """One connection through CONNECT, many requests on it at the same time."""

    async def run() -> list[str]:
        async with httpx.AsyncClient(
            http2=True, proxy=secure.proxy.url, verify=http2_tls(secure.proxy), timeout=30
        ) as client:

            async def ask(i: int) -> str:
                # Every question twice, streamed and whole: joins, hits and misses side by side.
                fields = body(f"{question} {i // 2}", stream=i % 4 < 2)
                url = "https://api.openai.com/v1/chat/completions"
                answer = await client.post(url, json=fields, headers=AUTH)
                assert answer.http_version == "HTTP/2"
                assert answer.status_code == 200
                if fields["stream"]:
                    return text_of(data_of(answer.text))
                return answer.json()["choices"][0]["message"]["content"]

            first = await ask(0)  # Later requests find its connection, and share it.
            return [first, *await asyncio.gather(*[ask(i) for i in range(1, 80)])]

    assert asyncio.run(run()) == [f"You said: {question} {i // 2}" for i in range(80)]
    assert len(secure.provider.received) == 40


def test_many_requests_on_one_connection(secure: Stand, question: str) -> None:
    ports = set()
    with httpx.Client(base_url=secure.proxy.base_url, headers=AUTH, timeout=30) as client:
        for i in range(60):
            # Misses, hits, streams, errors and other paths may not disturb each other.
            fields = body(f"{question} {i // 3}", stream=i % 2 == 0)
            answer = client.post("/chat/completions", json=fields)
            assert answer.status_code == 200
            ports.add(answer.extensions["network_stream"].get_extra_info("client_addr")[1])
            assert client.get(f"{secure.proxy.root}/nowhere").status_code == 404
    assert len(ports) == 1
    assert len(secure.provider.received) == 20


def test_many_connections_at_once(secure: Stand, question: str) -> None:
    async def ask(i: int) -> str:
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(
            headers=AUTH, limits=limits, verify=False, timeout=60
        ) as client:
            url = f"{secure.proxy.base_url}/chat/completions"
            answer = await client.post(url, json=body(f"{question} {i}"))
            return answer.json()["choices"][0]["message"]["content"]

    async def run() -> list[str]:
        return await asyncio.gather(*[ask(i) for i in range(100)])

    assert asyncio.run(run()) == [f"You said: {question} {i}" for i in range(100)]
