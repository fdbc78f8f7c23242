"""What is decrypted and answered, what is passed on as it is, and what is none of our business."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest
import trustme

from .asking import AUTH, KEY, ask, ask_stream, body, client, joined
from .conftest import Stand, Start, Way, server_tls
from .provider import Answer, Provider, Steps
from .proxy import Proxy
from .speech import echo


@pytest.fixture
def http() -> Any:
    with httpx.Client(verify=False, headers=AUTH, timeout=20) as http:
        yield http


# ---------------------------------------------------------------------- none of our business


def test_other_tls_is_passed_through_undecrypted(
    proxy: Proxy, upstream_ca: trustme.CA, upstream_ca_file: Path
) -> None:
    """The client sees the certificate of the server itself, and the proxy's CA is not needed."""
    bank = Provider(server_tls(upstream_ca))
    bank.reply = lambda request: Answer([b"your balance"], headers={"content-type": "text/plain"})
    try:
        tls = ssl.create_default_context(cafile=str(upstream_ca_file))
        with httpx.Client(proxy=proxy.url, verify=tls) as http:
            for path in ("/", "/v1/chat/completions"):
                answer = http.post(bank.url + path, content=b"secret")
                assert answer.text == "your balance"
                tls_object = answer.extensions["network_stream"].get_extra_info("ssl_object")
                issuer = dict(item[0] for item in tls_object.getpeercert()["issuer"])
                assert "mitmproxy" not in str(issuer)
        assert [r.body for r in bank.received] == [b"secret", b"secret"]
    finally:
        bank.close()


def test_other_plain_http_is_untouched(proxy: Proxy, own_provider: Provider) -> None:
    """Even a chat completion for another host is not ours: it is neither changed nor stored."""
    with httpx.Client(proxy=proxy.url, headers=AUTH) as http:
        for _ in range(2):
            answer = http.post(f"{own_provider.url}/v1/chat/completions", json=body("hi"))
            assert answer.json()["choices"][0]["message"]["content"] == "You said: hi"
            assert "x-reflex-status" not in answer.headers
    assert len(own_provider.received) == 2
    assert own_provider.received[0].headers["authorization"] == AUTH["authorization"]


# ---------------------------------------------------------------------- other paths of the API


def test_other_paths_reach_openai_as_they_are(way: Way) -> None:
    """With the client's key, its query and its body, as the SDK sends them."""
    provider = way.stand.provider
    provider.reply = lambda request: Answer([b'{"id": "file-1", "object": "file", "bytes": 9}'])
    with openai.OpenAI() as sdk:
        upload = sdk.files.create(file=("a.jsonl", b'{"a": 1}\n' * 1000), purpose="batch")
        assert upload.id == "file-1"
        sdk.files.retrieve("file-1", extra_query={"x": "ü &"})
    for request in provider.received:
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["host"] == f"localhost:{provider.port}"
        assert not [name for name in request.headers if name.startswith("x-reflex-")]
    assert [r.path for r in provider.received] == ["/v1/files", "/v1/files/file-1?x=%C3%BC+%26"]
    assert provider.received[0].body.count(b'{"a": 1}\n') == 1000


def test_other_paths_are_streamed(proxy: Proxy, provider: Provider, http: httpx.Client) -> None:
    gate = Steps()
    pieces = [b"first ", b"second ", b"third"]
    provider.reply = lambda request: Answer(pieces, headers={"x-some": "header"}, gate=gate)
    gate.release()
    with http.stream("POST", f"{proxy.base_url}/audio/speech", json={"input": "hi"}) as answer:
        assert answer.headers["x-some"] == "header"
        chunks = answer.iter_raw()
        for piece in pieces:
            assert next(chunks) == piece
            gate.release()
    assert not provider.disconnects


def test_another_hosts_key_replaces_the_clients(world: Stand, http: httpx.Client) -> None:
    world.provider.reply = lambda request: Answer([b'{"data": []}'])
    url = f"{world.proxy.root}/openai/deployments/groq::some-model/embeddings?api-version=1"
    headers = {"OpenAI-Organization": "org", "api-key": KEY, "x-reflex-namespace": "mine"}
    assert http.post(url, json={"input": "x"}, headers=headers).json() == {"data": []}
    (request,) = world.provider.received
    assert request.headers["authorization"] == "Bearer key-of-groq"
    assert KEY not in f"{request.path} {request.headers}"
    assert "openai-organization" not in request.headers
    assert "x-reflex-namespace" not in request.headers


@pytest.mark.parametrize(
    "model", ["anthropic", "gemini", "vertex", "ollama", "cohere", "bedrock", "mock"]
)
def test_other_paths_cannot_be_translated(world: Stand, http: httpx.Client, model: str) -> None:
    url = f"{world.proxy.root}/openai/deployments/{model}::some-model/embeddings"
    answer = http.post(url, json={"input": "x"})
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error["code"] == "unsupported_endpoint"
    assert "/embeddings" in error["message"]
    assert not world.provider.received


def test_models(proxy: Proxy, provider: Provider) -> None:
    """What the provider says it has; its refusal of the key as well."""
    provider.reply = lambda request: Answer([b'{"object": "list", "data": [{"id": "gpt-9"}]}'])
    with client(proxy.base_url) as sdk:
        assert "gpt-9" in [model.id for model in sdk.models.list()]
        assert [(r.method, r.path) for r in provider.received] == [("GET", "/v1/models")]
        provider.reply = lambda request: Answer([b'{"error": {"message": "no"}}'], status=401)
        with pytest.raises(openai.AuthenticationError):
            sdk.models.list()


# ---------------------------------------------------------------------- Azure's dialect


def test_azures_client(world: Stand, question: str) -> None:
    """The deployment in its path is the model. Azure itself gets the client's own `api-key`."""
    world.provider.reply = lambda request: (
        Answer([b'{"data": []}']) if "/embeddings" in request.path else echo(request)
    )
    with openai.AzureOpenAI(
        azure_endpoint=world.proxy.root, api_key=KEY, api_version="2024-10-21", max_retries=0
    ) as azure:
        for model in ("gpt-4o", "azure::my deployment"):
            texts = []
            for stream in (False, True):
                answer: Any = azure.chat.completions.create(
                    model=model, messages=[{"role": "user", "content": question}], stream=stream
                )
                texts.append(joined(answer) if stream else answer.choices[0].message.content)
            assert texts == [f"You said: {question}"] * 2
        azure.embeddings.with_raw_response.create(model="azure::my deployment", input="x")
    to_openai, to_azure, embeddings = world.provider.received
    assert to_openai.path == "/openai/chat/completions"
    assert to_openai.headers["authorization"] == f"Bearer {KEY}"
    assert to_azure.path.startswith("/azure/openai/deployments/my%20deployment/chat/completions?")
    assert to_azure.headers["api-key"] == KEY
    expected = "/azure/openai/deployments/my%20deployment/embeddings?api-version=2024-10-21"
    assert embeddings.path == expected


# ---------------------------------------------------------------------- refused or answered here


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_websockets_are_refused_at_once(secure: Stand, mode: str) -> None:
    headers = {
        **AUTH,
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
    }
    forward = mode == "forward"
    root = "https://api.openai.com" if forward else secure.proxy.root
    with httpx.Client(proxy=secure.proxy.url if forward else None, verify=False) as http:
        answer = http.get(f"{root}/v1/realtime?model=gpt-realtime", headers=headers)
    assert answer.status_code == 501
    assert answer.json()["error"]["code"] == "websocket_not_supported"
    assert not secure.provider.received


def test_health(proxy: Proxy, provider: Provider, http: httpx.Client) -> None:
    answer = http.get(f"{proxy.root}/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    answer = http.get(f"{proxy.root}/ready")
    assert answer.status_code == 200
    components = answer.json()["components"]
    assert {"http", "storage", "index", "embedding", "embedder_mode"} <= set(components)
    assert components["http"] == components["storage"] == "ready"
    assert not provider.received


@pytest.mark.parametrize("path", ["/", "/v2/chat/completions", "/chat/completions", "/v1x"])
def test_unknown_paths(proxy: Proxy, provider: Provider, http: httpx.Client, path: str) -> None:
    answer = http.post(proxy.root + path, json={})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "unknown_url"
    assert not provider.received


def test_other_methods_and_slashes(proxy: Proxy, provider: Provider, http: httpx.Client) -> None:
    """GET /chat/completions is another path of the API: stored completions."""
    provider.reply = lambda request: Answer([b'{"data": []}'])
    assert http.get(f"{proxy.base_url}/chat/completions?limit=1").json() == {"data": []}
    assert provider.received[0].path == "/v1/chat/completions?limit=1"


# ---------------------------------------------------------------------- no network


def test_hits_need_no_network(question: str, start: Start, own_provider: Provider) -> None:
    """In forward mode no connection is opened to the real host, in either mode none to the provider."""
    proxy = start(reflex_upstream=own_provider.url + "/v1")
    options: dict[str, Any] = {"verify": False, "headers": AUTH, "timeout": 20}
    with httpx.Client(**options) as reverse, httpx.Client(proxy=proxy.url, **options) as forward:
        ways = [(reverse, proxy.base_url), (forward, "https://api.openai.com/v1")]
        first = reverse.post(f"{proxy.base_url}/chat/completions", json=body(question))
        assert first.headers["x-reflex-status"] == "miss"
        own_provider.close()
        for http, base_url in ways:
            again = http.post(f"{base_url}/chat/completions", json=body(question))
            assert again.headers["x-reflex-status"] == "hit-l1-exact"
            assert again.json() == first.json()
            stream = http.post(f"{base_url}/chat/completions", json=body(question, stream=True))
            assert stream.headers["x-reflex-status"] == "hit-l1-exact"
            assert stream.text.endswith("data: [DONE]\n\n")
            missed = http.post(f"{base_url}/chat/completions", json=body(question + " else"))
            assert missed.json()["error"]["code"] == "upstream_connect"
        assert "server connect" not in proxy.log
        for http, base_url in ways:
            other = http.post(f"{base_url}/embeddings", json={"input": "x"})
            assert other.status_code == 502
            assert other.json()["error"]["message"].startswith("Cannot reach localhost")


def test_http_1_0(proxy: Proxy, provider: Provider, question: str) -> None:
    """Without chunks the answer is whole, and the connection ends."""
    url = urlsplit(proxy.root)
    for stream in (False, True):
        data = json.dumps(body(f"{question} {stream}", stream=stream)).encode()
        head = f"POST /v1/chat/completions HTTP/1.0\r\nAuthorization: {AUTH['authorization']}\r\n"
        head += f"Content-Length: {len(data)}\r\n\r\n"
        with socket.create_connection((url.hostname, url.port), timeout=20) as raw:
            raw.sendall(head.encode() + data)
            answer = b"".join(iter(lambda: raw.recv(65536), b""))
        assert b" 200 OK\r\n" in answer
        assert b"chunked" not in answer
        assert b"You " in answer
    assert ask(proxy, f"{question} True")[0]["x-reflex-status"] == "hit-l1-exact"
    assert ask_stream(proxy, f"{question} False")[0]["x-reflex-status"] == "hit-l1-exact"
