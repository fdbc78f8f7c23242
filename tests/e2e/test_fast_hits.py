"""Exact hits before the hooks: nothing is different but the time; who wants to see flows sees them."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest
from mitmproxy import io as flows
from mitmproxy.http import HTTPFlow

from .admin import admin
from .asking import AUTH, KEY, ask, ask_stream, body, client, is_stored, joined, status
from .conftest import Stand, Start
from .crowd import Crowd, Seen
from .http2_client import Http2Client
from .provider import Answer, Provider
from .proxy import Proxy, free_port
from .speech import USAGE, tool_frames

TTL = 600
SHOWN = "POST https://api.openai.com/v1/chat/completions"
"""mitmdump prints it for every flow that comes through the hooks."""


@pytest.fixture(scope="module")
def _stands(
    confdir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Stand]]:
    started: dict[str, Stand] = {}

    def stand(fast_hits: str) -> Stand:
        if fast_hits not in started:
            provider = Provider()
            proxy = Proxy(
                confdir,
                tmp_path_factory.mktemp(f"fast-{fast_hits}") / "store",
                reflex_upstream=provider.url + "/v1",
                reflex_shared_namespaces="team",
                reflex_fast_hits=fast_hits,
                reflex_ttl=f"{TTL}s",
            )
            started[fast_hits] = Stand(proxy, provider)
        return started[fast_hits]

    yield stand
    for each in started.values():
        each.close()


@pytest.fixture(params=["off", "auto"], ids=["hooks", "before-the-hooks"])
def path(request: pytest.FixtureRequest, _stands: Callable[[str], Stand]) -> Stand:
    """A proxy that answers exact hits through the hooks, and one that does it before them."""
    return _stands(request.param).fresh()


@pytest.fixture
def fast(request: pytest.FixtureRequest, path: Stand) -> bool:
    return "before" in request.node.callspec.id


# ---------------------------------------------------------------------- the same on both paths


def test_which_path_it_is(path: Stand, question: str, fast: bool) -> None:
    """Else the rest of this file would test one path twice."""
    ask(path.proxy, question)
    time.sleep(0.3)  # for the last line to be read
    before = path.proxy.log.count(SHOWN)
    assert status(ask(path.proxy, question)[0]) == "hit-l1-exact"
    time.sleep(0.3)
    assert path.proxy.log.count(SHOWN) - before == (0 if fast else 1)


def test_the_answer(path: Stand, question: str) -> None:
    _, first = ask(path.proxy, question)
    headers, again = ask(path.proxy, question)
    assert again == first
    headers_of_stream, chunks = ask_stream(
        path.proxy, question, stream_options={"include_usage": True}
    )
    assert joined(chunks) == f"You said: {question}"
    assert chunks[-1].usage
    assert chunks[-1].usage.total_tokens == USAGE["total_tokens"]
    assert all(c.usage is None for c in ask_stream(path.proxy, question)[1])
    assert len(path.provider.received) == 1
    for seen in (headers, headers_of_stream):
        assert status(seen) == "hit-l1-exact"
        assert seen["cache-status"].startswith("reflex; hit; ttl=")
        assert '; key="' in seen["cache-status"]
        assert 0 <= int(seen["age"]) <= TTL
        assert seen["x-reflex-id"]
        assert int(seen["content-length"]) > 0
    assert headers["content-type"] == "application/json"
    assert headers_of_stream["content-type"] == "text/event-stream; charset=utf-8"
    assert headers_of_stream["x-accel-buffering"] == "no"


def test_legacy_functions(path: Stand, question: str) -> None:
    """The form of the answer is the request's, on both paths."""
    frames = tool_frames("weather", '{"city": "Paris"}')
    path.provider.reply = lambda request: Answer(
        frames, headers={"content-type": "text/event-stream"}
    )
    functions = [{"name": "weather", "parameters": {}}]
    first, again = [ask(path.proxy, question, functions=functions)[1].choices[0] for _ in range(2)]
    assert first == again
    assert again.finish_reason == "function_call"
    assert again.message.function_call
    assert again.message.function_call.arguments == '{"city": "Paris"}'
    assert len(path.provider.received) == 1


def test_tenants(path: Stand, question: str) -> None:
    own, team = {"X-Reflex-Namespace": "mine"}, {"X-Reflex-Namespace": "team"}
    ask(path.proxy, question, key="sk-a")
    assert status(ask(path.proxy, question, key="sk-a")[0]) == "hit-l1-exact"
    assert not is_stored(path.proxy, question, key="sk-b")
    assert status(ask(path.proxy, question, key="sk-a", headers=own)[0]) == "miss"
    assert status(ask(path.proxy, question, key="sk-b", headers=own)[0]) == "miss"
    assert status(ask(path.proxy, question, key="sk-a", headers=team)[0]) == "miss"
    assert status(ask(path.proxy, question, key="sk-b", headers=team)[0]) == "hit-l1-exact"
    with httpx.Client(verify=False) as http:
        url = f"{path.proxy.base_url}/chat/completions"
        nobody = http.post(url, json=body(question), headers={"cache-control": "only-if-cached"})
        assert nobody.status_code == 504, "no credential is a tenant of its own"
        azure = http.post(
            url, json=body(question), headers={"api-key": "sk-a", "cache-control": "only-if-cached"}
        )
        assert azure.headers["x-reflex-status"] == "hit-l1-exact"


def test_controls(path: Stand, question: str) -> None:
    def asked(**headers: str) -> str:
        return status(ask(path.proxy, question, headers={"Cache-Control": headers["wish"]})[0])

    assert asked(wish="max-age=60") == "miss"
    assert asked(wish="max-age=60") == "hit-l1-exact"
    assert asked(wish="only-if-cached") == "hit-l1-exact"
    assert asked(wish="no-store") == "hit-l1-exact", "it forbids keeping, not reading"
    assert asked(wish="no-cache") == "bypass"
    time.sleep(1.1)
    assert asked(wish="max-age=1") == "miss"
    assert len(path.provider.received) == 3


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "identity"}], ids=["before", "hooks"])
def test_the_time_to_live(brisk: Stand, question: str, headers: dict[str, str]) -> None:
    """A body with a coding, even with none, is left to the hooks."""
    for _ in range(2):
        assert status(ask(brisk.proxy, question, headers=headers)[0]) == "miss"
        time.sleep(1.1)
    assert len(brisk.provider.received) == 2


def test_purge(path: Stand, question: str) -> None:
    """Of everything, of a key, of a model."""
    headers, _ = ask(path.proxy, question)
    key = headers["cache-status"].partition('key="')[2][:16]
    for what, value in (("all", ""), ("key", key), ("model", "gpt-4o")):
        assert status(ask(path.proxy, question)[0]) == "hit-l1-exact"
        answer = admin(path.proxy, "POST", "/reflex/purge", {"what": what, "value": value})
        assert answer.json["deleted"] >= 1
        assert status(ask(path.proxy, question)[0]) == "miss"


def test_numbers_and_log(path: Stand, question: str) -> None:
    ask(path.proxy, question)
    before = admin(path.proxy, "GET", "/reflex/stats").json
    log = path.proxy.log
    for _ in range(3):
        ask(path.proxy, question)
    after = admin(path.proxy, "GET", "/reflex/stats").json
    hits = [stats["requests"]["by_status"].get("hit-l1-exact", 0) for stats in (before, after)]
    assert hits[1] - hits[0] == 3
    assert after["saved"]["calls"] - before["saved"]["calls"] == 3
    tokens = [stats["saved"]["prompt_tokens"] for stats in (before, after)]
    assert tokens[1] - tokens[0] == 3 * USAGE["prompt_tokens"]
    metrics = admin(path.proxy, "GET", "/metrics").body.decode()
    assert 'status="hit-l1-exact"' in metrics
    path.proxy.wait_for("hit-l1-exact openai gpt-4o")
    lines = [line for line in path.proxy.log.removeprefix(log).splitlines() if "hit-l1" in line]
    assert len(lines) == 3
    assert all("reflex: 200 hit-l1-exact openai gpt-4o" in line for line in lines)
    assert KEY not in path.proxy.log


def test_connections_are_kept(path: Stand, question: str) -> None:
    """Hits, misses and admin requests on one connection, in any order."""
    url = urlsplit(path.proxy.root)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
    connection.connect()
    sock = connection.sock
    seen = []
    for text in (question, question, question + " 2", question, question + " 2"):
        data = json.dumps(body(text)).encode()
        connection.request(
            "POST", "/v1/chat/completions", data, {**AUTH, "content-type": "application/json"}
        )
        response = connection.getresponse()
        assert text in response.read().decode()
        seen.append(response.headers["x-reflex-status"])
        connection.request("GET", "/reflex/stats")
        assert connection.getresponse().read()
    assert connection.sock is sock
    connection.close()
    assert seen == ["miss", "hit-l1-exact", "miss", "hit-l1-exact", "hit-l1-exact"]


def test_many_at_once(path: Stand, question: str) -> None:
    async def run() -> list[Seen]:
        async with Crowd(path.proxy) as crowd:
            first = await crowd.ask(question)
            assert first.status == "miss"
            return await asyncio.gather(*[crowd.ask(question, stream=i % 2 > 0) for i in range(60)])

    seen = asyncio.run(run())
    assert {each.status for each in seen} == {"hit-l1-exact"}
    assert {each.text for each in seen} == {f"You said: {question}"}


def raw(path: Stand, head: list[str], *pieces: bytes) -> bytes:
    """An HTTP/1 request, its body in pieces; the whole answer, after which the connection is closed."""
    url = urlsplit(path.proxy.root)
    with socket.create_connection((url.hostname, url.port), timeout=20) as sock:
        lines = [*head, "Host: proxy", "Connection: close", *[f"{n}: {v}" for n, v in AUTH.items()]]
        sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        for piece in pieces:
            time.sleep(0.02)
            sock.sendall(piece)
        answer = b""
        while data := sock.recv(65536):
            answer += data
        return answer


@pytest.mark.parametrize("form", ["pieces", "chunked", "expect", "HTTP/1.0", "gzip"])
def test_forms_of_requests(path: Stand, question: str, form: str) -> None:
    data = json.dumps(body(question)).encode()
    ask(path.proxy, question)
    start = "POST /v1/chat/completions HTTP/1.1"
    length = f"Content-Length: {len(data)}"
    match form:
        case "pieces":
            answer = raw(
                path, [start, length], *[data[i : i + 40] for i in range(0, len(data), 40)]
            )
        case "chunked":
            chunks = [b"%x\r\n%s\r\n" % (len(p), p) for p in (data[:9], data[9:])]
            answer = raw(path, [start, "Transfer-Encoding: chunked"], *chunks, b"0\r\n\r\n")
        case "expect":
            answer = raw(path, [start, length, "Expect: 100-continue"], data)
            assert answer.startswith(b"HTTP/1.1 100")
        case "HTTP/1.0":
            answer = raw(path, [start.replace("1.1", "1.0"), length], data)
        case _:
            packed = gzip.compress(data)
            more = ["Content-Encoding: gzip", f"Content-Length: {len(packed)}"]
            answer = raw(path, [start, *more], packed)
    assert b" 200 OK\r\n" in answer
    assert b"X-Reflex-Status: hit-l1-exact" in answer
    assert answer.endswith(b"}")
    assert len(path.provider.received) == 1


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"model": 7}', b'{"messages": []}', b"\xff"])
def test_what_is_no_request(path: Stand, data: bytes) -> None:
    """An OpenAI-compatible provider judges it by itself."""
    path.provider.reply = lambda request: Answer([b'{"error": {"message": "Bad."}}'], status=400)
    with httpx.Client(verify=False, headers=AUTH) as http:
        answer = http.post(f"{path.proxy.base_url}/chat/completions", content=data)
    assert answer.status_code == 400
    assert [request.body for request in path.provider.received] == [data]


def test_through_connect_and_http2(path: Stand, question: str) -> None:
    """Under TLS, several streams on one connection; each gets its own form."""
    ask(path.proxy, question)
    with Http2Client(path.proxy) as modern:
        streams = [modern.ask(body(question, stream=i % 2 > 0)) for i in range(6)]
        answers = [modern.read_to_end(stream) for stream in streams]
    for i, answer in enumerate(answers):
        assert answer.endswith(b"data: [DONE]\n\n" if i % 2 else b"}")
    assert len(path.provider.received) == 1


def test_no_provider_is_needed(path: Stand, question: str) -> None:
    ask(path.proxy, question)
    path.provider.reply = lambda request: Answer(raw=b"")
    with client(path.proxy.base_url) as sdk:
        assert sdk.chat.completions.create(**body(question)).choices[0].message.content
    with pytest.raises(openai.InternalServerError):
        ask(path.proxy, question + " other")


# ---------------------------------------------------------------------- who wants to see flows


def twice(proxy: Proxy) -> None:
    assert status(ask(proxy, "hi")[0]) == "miss"
    headers, answer = ask(proxy, "hi")
    assert (status(headers), answer.choices[0].message.content) == ("hit-l1-exact", "You said: hi")


def saved(path: Path) -> list[HTTPFlow]:
    with path.open("rb") as file:
        return [flow for flow in flows.FlowReader(file).stream() if isinstance(flow, HTTPFlow)]


@pytest.mark.parametrize(("fast_hits", "seen"), [("auto", 2), ("on", 1)])
def test_saving_flows(
    own_provider: Provider, start: Start, tmp_path: Path, fast_hits: str, seen: int
) -> None:
    """`-w` switches the shortcut off, unless it is forced."""
    path = tmp_path / "flows"
    options = {"reflex_upstream": own_provider.url + "/v1", "reflex_fast_hits": fast_hits}
    proxy = start("-w", str(path), **options)
    twice(proxy)
    proxy.stop()
    found = saved(path)
    assert len(found) == seen
    for flow in found:
        assert flow.response
        assert b"You said: hi" in (flow.response.content or b"")


SCRIPT = """
from pathlib import Path

def response(flow):
    with Path({path!r}).open("a") as file:
        file.write(flow.response.headers.get("x-reflex-status", "-") + "\\n")
"""


def test_another_script(own_provider: Provider, start: Start, tmp_path: Path) -> None:
    seen, script = tmp_path / "seen", tmp_path / "script.py"
    script.write_text(SCRIPT.format(path=str(seen)))
    proxy = start("-s", str(script), reflex_upstream=own_provider.url + "/v1")
    twice(proxy)
    assert seen.read_text().split() == ["miss", "hit-l1-exact"]


def test_mitmweb(own_provider: Provider, start: Start) -> None:
    port = free_port()
    options = {"web_port": str(port), "web_password": "secret", "web_open_browser": "false"}
    proxy = start(program="mitmweb", reflex_upstream=own_provider.url + "/v1", **options)
    twice(proxy)
    url = f"http://127.0.0.1:{port}/flows"
    found: Any = httpx.get(url, headers={"authorization": "Bearer secret"}, trust_env=False).json()
    assert len(found) == 2
    assert all(flow["response"]["contentLength"] > 0 for flow in found)
