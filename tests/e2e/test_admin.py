"""The admin surface over the real proxy: who may come in, and the numbers."""

from __future__ import annotations

import http.client
import socket
from urllib.parse import urlsplit

import pytest

from .admin import Answer, admin
from .asking import ask, is_stored
from .conftest import Start
from .provider import Provider
from .proxy import Proxy

PURGE = {"what": "all"}
TOKEN = "a-token-that-is-long-enough"


@pytest.mark.parametrize("forward", [False, True])
def test_stats_and_purge(proxy: Proxy, question: str, forward: bool) -> None:
    ask(proxy, question)
    ask(proxy, question)
    stats = admin(proxy, "GET", "/reflex/stats", forward=forward)
    assert stats.status == 200
    assert stats.json["requests"]["by_status"]["hit-l1-exact"] >= 1
    assert stats.json["saved"]["prompt_tokens"] >= 9
    assert stats.json["saved"]["usd"] > 0
    purged = admin(
        proxy, "POST", "/reflex/purge", {"what": "model", "value": "gpt-4o"}, forward=forward
    )
    assert purged.status == 200
    assert purged.json["deleted"] >= 1
    assert not is_stored(proxy, question)


@pytest.mark.parametrize(
    ("body", "status"),
    [({"what": "everything"}, 400), ({}, 400), (b"[]", 400), (b"{", 400), ({"what": "key"}, 400)],
)
def test_purge_says_what_it_wants(proxy: Proxy, body: object, status: int) -> None:
    headers = {"content-type": "application/json", "x-reflex-admin": "1"}
    assert admin(proxy, "POST", "/reflex/purge", body, headers=headers).status == status


def test_wrong_method_or_path(proxy: Proxy) -> None:
    assert admin(proxy, "GET", "/reflex/purge").status == 405
    assert admin(proxy, "GET", "/reflex/nothing").status == 404
    assert admin(proxy, "GET", "/nothing", forward=True).status == 404


@pytest.mark.parametrize(
    "name", ["evil.example", "localhost.evil.example", "reflex.local.evil.example", ""]
)
def test_dns_rebinding(proxy: Proxy, name: str) -> None:
    port = urlsplit(proxy.root).port
    answer = admin(proxy, "GET", "/reflex/stats", headers={"host": f"{name}:{port}"})
    assert (answer.status, answer.code) == (403, "unknown_host")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LocalHost"])
def test_known_names(proxy: Proxy, name: str) -> None:
    port = urlsplit(proxy.root).port
    headers = {"host": f"{name}:{port}"}
    assert admin(proxy, "GET", "/reflex/stats", headers=headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("forward", [False, True])
def test_pages_of_other_sites(
    proxy: Proxy, question: str, headers: dict[str, str], forward: bool
) -> None:
    ask(proxy, question)
    answer = admin(proxy, "POST", "/reflex/purge", PURGE, headers=headers, forward=forward)
    assert (answer.status, answer.code) == (403, "cross_site")
    assert admin(proxy, "GET", "/reflex/stats", headers=headers, forward=forward).status == 403
    assert is_stored(proxy, question)


def test_a_form_cannot_change_anything(proxy: Proxy, question: str) -> None:
    """What a browser sends without asking first: no header of its own, one of three content types."""
    ask(proxy, question)
    body = b'{"what": "all", "x": "="}'
    form = admin(proxy, "POST", "/reflex/purge", body, headers={"content-type": "text/plain"})
    assert (form.status, form.code) == (403, "missing_header")
    preflight = admin(proxy, "OPTIONS", "/reflex/purge", headers={"x-reflex-admin": "1"})
    assert preflight.status == 405
    assert not [name for name in preflight.headers if name.startswith("access-control")]
    assert is_stored(proxy, question)


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "x-real-ip"])
def test_others_behind_a_proxy_are_not_local(proxy: Proxy, name: str) -> None:
    answer = admin(proxy, "GET", "/reflex/stats", headers={name: "203.0.113.9"})
    assert (answer.status, answer.code) == (403, "not_local")


def test_not_through_the_forward_proxy_to_the_reverse_one(proxy: Proxy) -> None:
    """Another name of this machine gets past mitmproxy's check for loops."""
    forward, reverse = urlsplit(proxy.url), urlsplit(proxy.root)
    connection = http.client.HTTPConnection(forward.hostname or "", forward.port, timeout=20)
    connection.putrequest("GET", f"http://127.1:{reverse.port}/reflex/stats", skip_host=True)
    connection.putheader("host", f"127.0.0.1:{reverse.port}")
    connection.endheaders()
    response = connection.getresponse()
    answer = Answer(response)
    connection.close()
    assert (answer.status, answer.code) == (403, "not_local")


def test_token(own_provider: Provider, start: Start) -> None:
    proxy = start(reflex_upstream=own_provider.url + "/v1", reflex_admin_token=TOKEN)
    assert admin(proxy, "GET", "/reflex/stats").code == "token_needed"
    for wrong in ("Bearer wrong", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x"):
        assert admin(proxy, "GET", "/reflex/stats", headers={"authorization": wrong}).status == 401
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert admin(proxy, "GET", "/reflex/stats", headers=bearer).status == 200
    away = {**bearer, "x-forwarded-for": "203.0.113.9"}
    assert admin(proxy, "POST", "/reflex/purge", PURGE, headers=away).json == {"deleted": 0}
    proxy.stop()
    assert TOKEN not in proxy.log


def test_short_token_stops_the_start(start: Start) -> None:
    proxy = start(wait=False, reflex_admin_token="short")
    assert proxy.process.wait(30) != 0
    proxy.stop()
    assert "reflex_admin_token: must have at least 16 characters" in proxy.log


def test_another_host_name(own_provider: Provider, start: Start) -> None:
    proxy = start(reflex_upstream=own_provider.url + "/v1", reflex_admin_hosts="Cache.example")
    headers = {"host": "cache.example"}
    assert admin(proxy, "GET", "/reflex/stats", headers=headers).status == 200


def test_answers_forbid_framing_and_sniffing(proxy: Proxy) -> None:
    headers = admin(proxy, "GET", "/reflex/stats").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_garbage_does_no_harm(proxy: Proxy) -> None:
    address = urlsplit(proxy.root)
    for raw in (
        b"GET /reflex/stats HTTP/1.1\r\n\r\n",
        b"GET /reflex/stats HTTP/1.1\r\nhost: localhost\r\ncookie: \xff=;;;\r\n\r\n",
        b"POST /reflex/purge HTTP/1.1\r\nhost: localhost\r\ncontent-encoding: gzip\r\n"
        b"x-reflex-admin: 1\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
    ):
        with socket.create_connection((address.hostname, address.port), timeout=10) as client:
            client.sendall(raw)
            assert b"HTTP/1.1" in client.recv(4096)
    assert admin(proxy, "GET", "/reflex/stats").status == 200
