"""Flows as the core sees them, and how many a file holds."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.io import FlowReader, FlowWriter
from mitmproxy.net import encoding
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow

from addons.replay import _count, recorded_of

HOSTS = ("api.openai.com", "*.openai.azure.com")
URL = "https://api.openai.com/v1/chat/completions"


def a_flow(url: str = URL, content: bytes = b"{}", **headers: str) -> http.HTTPFlow:
    flow = tflow.tflow(resp=True)
    flow.live = False
    flow.client_conn.sni = None
    flow.request = http.Request.make("POST", url, content)
    flow.response = http.Response.make(200, b"{}", headers)
    return flow


def test_what_is_taken_over() -> None:
    flow = a_flow(content=b'{"a": 1}')
    flow.request.headers["Authorization"] = "Bearer sk"
    flow.request.timestamp_start, flow.response.timestamp_end = 5.0, 7.5  # type: ignore[union-attr]
    flow.metadata["reflex"] = {"provider": "groq"}
    found = recorded_of(flow, 3, HOSTS)
    assert (found.number, found.url, found.kind, found.deployment) == (3, URL, "chat", None)
    assert (found.request_body, found.response_body, found.status) == (b'{"a": 1}', b"{}", 200)
    assert found.request_headers["authorization"] == "Bearer sk"
    assert found.seconds == 2.5
    assert found.note == {"provider": "groq"}


@pytest.mark.parametrize(
    ("url", "kind", "deployment"),
    [
        ("https://api.openai.com/v1/embeddings", "other", None),
        ("https://x.openai.azure.com/openai/deployments/d/chat/completions?v=1", "chat", "d"),
        ("https://elsewhere.example/v1/chat/completions", None, None),
    ],
)
def test_kinds(url: str, kind: str | None, deployment: str | None) -> None:
    found = recorded_of(a_flow(url), 1, HOSTS)
    assert (found.kind, found.deployment) == (kind, deployment)


def test_reverse_mode_needs_no_host() -> None:
    flow = a_flow("http://localhost:9/v1/chat/completions")
    flow.client_conn.proxy_mode = ProxyMode.parse("reverse:http://localhost:9")
    assert recorded_of(flow, 1, HOSTS).kind == "chat"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity"])
@given(st.binary())
def test_content_codings_are_undone(coding: str, body: bytes) -> None:
    flow = a_flow()
    assert flow.response
    flow.response.headers["content-encoding"] = coding
    flow.response.raw_content = encoding.encode(body, coding)  # type: ignore[arg-type]
    flow.request.headers["content-encoding"] = coding
    flow.request.raw_content = encoding.encode(body, coding)  # type: ignore[arg-type]
    found = recorded_of(flow, 1, HOSTS)
    assert (found.request_body, found.response_body, found.broken) == (body, body, False)


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "br", "zstd", "nonsense"]))
def test_broken_bodies_are_told(body: bytes, coding: str) -> None:
    flow = a_flow()
    assert flow.response
    flow.response.headers["content-encoding"] = coding
    flow.response.raw_content = body
    found = recorded_of(flow, 1, HOSTS)
    assert found.broken == (found.response_body is None)


def test_a_cut_gzip_body_gives_what_is_there() -> None:
    """The reader of the answer finds out that it has no end."""
    body = json.dumps({"text": "word " * 500}).encode()
    whole = gzip.compress(body)
    flow = a_flow()
    assert flow.response
    flow.response.headers["content-encoding"] = "gzip"
    flow.response.raw_content = whole[: len(whole) // 2]
    found = recorded_of(flow, 1, HOSTS)
    assert found.response_body is not None
    assert body.startswith(found.response_body)
    assert len(found.response_body) < len(body)


def test_what_is_missing() -> None:
    flow = a_flow()
    assert flow.response
    flow.response.raw_content = None
    assert recorded_of(flow, 1, HOSTS).response_body is None
    flow.response = None
    found = recorded_of(flow, 1, HOSTS)
    assert (found.status, found.response_body, found.ended) == (None, None, None)
    flow.metadata["reflex"] = "nonsense"
    assert recorded_of(flow, 1, HOSTS).note == {}


# ---------------------------------------------------------------------- counting


def capture(folder: Path, flows: int) -> Path:
    path = folder / "capture.mitm"
    with path.open("wb") as file:
        for n in range(flows):
            FlowWriter(file).add(a_flow(content=b"x" * n * 1000))
    return path


@pytest.mark.parametrize("flows", [0, 1, 7])
def test_flows_are_counted(tmp_path: Path, flows: int) -> None:
    path = capture(tmp_path, flows)
    assert _count(str(path)) == flows
    assert len(list(FlowReader(io.BytesIO(path.read_bytes())).stream())) == flows


@pytest.mark.parametrize(
    "content", [b'{"log": {"entries": []}}', b"\x00garbage", b"12345678901234:x", b"12x"]
)
def test_what_cannot_be_counted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert _count(str(path)) is None


def test_no_file() -> None:
    assert _count(None) is None
    assert _count("-") is None
    assert _count("/no/such/file") is None
