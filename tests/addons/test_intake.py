"""Which flows are ours, and what they ask for."""

from __future__ import annotations

import pytest
from mitmproxy import http
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow

from addons.intake import Intake, classify, host_matches

HOSTS = ("api.openai.com", "*.openai.azure.com")
REVERSE = "reverse:https://api.openai.com"


def flow(
    method: str, url: str, mode: str = "regular", sni: str | None = None, **headers: str
) -> http.HTTPFlow:
    made = tflow.tflow()
    made.request = http.Request.make(method, url, headers=headers)
    made.client_conn.proxy_mode = ProxyMode.parse(mode)
    made.client_conn.sni = sni
    return made


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("api.openai.com", True),
        ("API.OpenAI.com.", True),
        ("me.openai.azure.com", True),
        ("a.b.openai.azure.com", True),
        ("openai.azure.com", False),
        ("xapi.openai.com", False),
        ("api.openai.com.evil.example", False),
        ("", False),
        (None, False),
    ],
)
def test_hosts(host: str | None, ours: bool) -> None:
    assert host_matches(host, HOSTS) == ours


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/chat/completions", Intake("chat", "/chat/completions")),
        ("POST", "/v1/chat/completions/", Intake("chat", "/chat/completions/")),
        ("POST", "/v1/chat/completions?a=b", Intake("chat", "/chat/completions?a=b")),
        ("POST", "/openai/v1/chat/completions", Intake("chat", "/chat/completions")),
        ("GET", "/v1/chat/completions", Intake("other", "/chat/completions")),
        ("POST", "/v1/chat/completions/x", Intake("other", "/chat/completions/x")),
        ("GET", "/v1/models", Intake("models", "/models")),
        ("GET", "/v1/models?x", Intake("models", "/models?x")),
        ("GET", "/v1/models/gpt-4o", Intake("other", "/models/gpt-4o")),
        ("DELETE", "/v1/models", Intake("other", "/models")),
        ("POST", "/v1/embeddings", Intake("other", "/embeddings")),
        ("GET", "/v1", Intake("other", "/")),
        ("GET", "/v1?x", Intake("other", "?x")),
        (
            "POST",
            "/openai/deployments/my%20model/chat/completions?api-version=1",
            Intake("chat", "/chat/completions?api-version=1", "my model"),
        ),
        (
            "POST",
            "/openai/deployments/d/embeddings",
            Intake("other", "/embeddings", "d"),
        ),
    ],
)
def test_paths_in_both_modes(method: str, path: str, expected: Intake) -> None:
    assert classify(flow(method, f"https://api.openai.com{path}"), HOSTS) == expected
    assert classify(flow(method, f"http://localhost{path}", REVERSE), HOSTS) == expected


@pytest.mark.parametrize("path", ["/", "/v1x/models", "/v2/chat/completions", "/chat/completions"])
def test_paths_that_are_not_the_apis(path: str) -> None:
    """In forward mode they go on; behind our own address there is nothing else."""
    assert classify(flow("POST", f"https://api.openai.com{path}"), HOSTS) == Intake("other", path)
    assert classify(flow("POST", f"http://localhost{path}", REVERSE), HOSTS) == Intake(
        "unknown", path
    )


def test_health_is_behind_our_own_address_only() -> None:
    for path, kind in (("/healthz", "health"), ("/ready?x", "ready")):
        found = classify(flow("GET", f"http://localhost{path}", REVERSE), HOSTS)
        assert found == Intake(kind, path)  # type: ignore[arg-type]
        assert classify(flow("GET", f"https://api.openai.com{path}"), HOSTS) == Intake(
            "other", path
        )


def test_admin() -> None:
    assert classify(flow("GET", "http://reflex.local/"), HOSTS) == Intake("admin", "/")
    found = classify(flow("GET", "http://localhost/reflex/stats", REVERSE), HOSTS)
    assert found == Intake("admin", "/reflex/stats")


@pytest.mark.parametrize("mode", ["regular", REVERSE])
def test_websockets(mode: str) -> None:
    asked = flow("GET", "https://api.openai.com/v1/realtime?model=x", mode, upgrade="WebSocket")
    assert classify(asked, HOSTS) == Intake("websocket", "/v1/realtime?model=x")
    other = flow("GET", "https://api.openai.com/v1/realtime", mode, upgrade="h2c")
    assert classify(other, HOSTS) == Intake("other", "/realtime")


def test_other_hosts_are_none_of_ours() -> None:
    url = "https://example.com/v1/chat/completions"
    assert classify(flow("POST", url), HOSTS) is None
    assert classify(flow("POST", "https://10.0.0.1/v1/chat/completions"), HOSTS) is None


def test_a_host_known_by_its_tls_name_only() -> None:
    """A client that connects to an address by number."""
    url = "https://10.0.0.1/v1/chat/completions"
    assert classify(flow("POST", url, sni="api.openai.com"), HOSTS) == Intake(
        "chat", "/chat/completions"
    )
