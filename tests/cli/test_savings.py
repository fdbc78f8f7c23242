"""Counters -> what was saved; and proxies that answer nonsense."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.cli import savings
from reflex_core.cli.local_http import Endpoint, Refused
from tests.e2e.provider import Answer, Provider


def stats(scale: int, usd: float = 0.0, unpriced: int = 0) -> dict[str, Any]:
    by_status = {"miss": 1, "hit-l1-exact": 2, "hit-l3-verified": 1, "coalesced": 1, "bypass": 1}
    return {
        "requests": {"total": 6 * scale, "by_status": {s: n * scale for s, n in by_status.items()}},
        "saved": {
            "prompt_tokens": 1000 * scale,
            "completion_tokens": 200 * scale,
            "usd": usd,
            "unpriced_answers": unpriced,
            "seconds": 1.5 * scale,
        },
        "upstream": {"calls": 2 * scale, "cancelled": 0},
    }


def test_between() -> None:
    found = savings.between(stats(1, 0.25, 1), stats(3, 2.75, 2))
    assert found.to_json() == {
        "requests": 12,
        "hits": 8,
        "upstream_calls": 4,
        "tokens_saved": 2400,
        "usd_saved": 2.5,
        "unpriced_answers": 1,
        "seconds_saved": 3.0,
    }
    assert found.line() == (
        "12 requests, 8 hits (67%), 4 calls to providers, saved 2,400 tokens, $2.50,"
        " 1 hit of unknown price"
    )


def test_lines() -> None:
    assert savings.between(stats(1), stats(1)).line() == "no OpenAI request came through the proxy"
    few = {"requests": {"by_status": {"miss": 1}}, "upstream": {"calls": 1}}
    assert savings.between({}, few).line() == (
        "1 request, 0 hits (0%), 1 call to providers, saved 0 tokens"
    )
    assert savings.dollars(0.000123) == "$0.0001"
    assert savings.dollars(1234.5) == "$1,234.50"


@given(
    st.dictionaries(
        st.sampled_from(["requests", "saved", "upstream"]),
        st.one_of(
            st.none(), st.integers(), st.dictionaries(st.sampled_from(["usd", "calls"]), st.text())
        ),
    )
)
def test_another_versions_counters_do_no_harm(odd: dict[str, Any]) -> None:
    savings.between(odd, odd).line()


# ---------------------------------------------------------------------- asking


@pytest.fixture
def odd() -> Iterator[Provider]:
    server = Provider()
    yield server
    server.close()


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (Answer([b"<html>"]), 200, "/reflex/stats answered 200"),
        (Answer([b"[]"]), 200, "/reflex/stats answered 200"),
        (Answer([b'{"error": {"message": "Not you."}}'], status=403), 403, "Not you."),
        (Answer([b'{"error": "no"}'], status=500), 500, "/reflex/stats answered 500"),
        (Answer(raw=b"nonsense\r\n\r\n"), 0, "does not answer"),
        (Answer([b"{}"], drop=True), 0, "does not answer"),
    ],
)
def test_refusals(answer: Answer, status: int, said: str, odd: Provider) -> None:
    odd.reply = lambda request: answer
    with pytest.raises(Refused, match=said) as caught:
        savings.look(Endpoint(odd.url))
    assert caught.value.status == status
    assert not Endpoint(odd.url).is_healthy()


def test_another_server_is_not_healthy(odd: Provider) -> None:
    odd.reply = lambda request: Answer([json.dumps({"status": "ok"}).encode()])
    assert not Endpoint(odd.url).is_healthy()


def test_the_token_is_for_us_alone(odd: Provider) -> None:
    endpoint = Endpoint(odd.url, forward=True, token="a-token-of-sixteen-characters")
    odd.reply = lambda request: Answer([b"{}"])
    endpoint.get("/reflex/stats")
    endpoint.text("/cert/pem", "mitm.it")
    ours, other = odd.received
    assert (ours.path, ours.headers["host"]) == ("http://reflex.local/reflex/stats", "reflex.local")
    assert ours.headers["authorization"] == "Bearer a-token-of-sixteen-characters"
    assert (other.path, other.headers["host"]) == ("http://mitm.it/cert/pem", "mitm.it")
    assert "authorization" not in other.headers
