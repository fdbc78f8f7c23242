from __future__ import annotations

import pytest

from reflex_core.admin_guard import (
    AdminRequest,
    authenticated,
    check,
    cookie_value,
    is_local,
)

TOKEN = "a-token-that-is-long-enough"


def request(
    method: str = "GET", peer: str = "127.0.0.1", *, through_us: bool = False, **headers: str
) -> AdminRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    given = {"host": "localhost:8080", **named}
    return AdminRequest(method, "/reflex/stats", given, b"", peer, through_us=through_us)


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::1%lo", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_who_is_local(peer: str, local: bool) -> None:
    assert is_local(request(peer=peer)) == local
    assert (check(request(peer=peer), "") is None) == local
    assert check(request(peer=peer), TOKEN) is None, "the token decides then"


def test_nobody_is_local_through_a_proxy() -> None:
    assert not is_local(request(x_forwarded_for="127.0.0.1"))
    assert not is_local(request(through_us=True))


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"host": "127.0.0.1"}, None),
        ({"host": "[::1]:8080"}, None),
        ({"host": "REFLEX.local"}, None),
        ({"host": "proxy.example:8080"}, None),
        ({"host": "evil.example"}, "unknown_host"),
        ({"host": "127.0.0.1.evil.example:8080"}, "unknown_host"),
        ({"host": "[::1].evil.example"}, "unknown_host"),
        ({"host": ""}, "unknown_host"),
        ({"origin": "http://localhost:8080"}, None),
        ({"origin": "https://localhost:8080"}, "cross_site"),
        ({"origin": "http://localhost"}, "cross_site"),
        ({"origin": "http://localhost:8080.evil.example"}, "cross_site"),
        ({"origin": "null"}, "cross_site"),
        ({"sec_fetch_site": "same-origin"}, None),
        ({"sec_fetch_site": "none"}, None),
        ({"sec_fetch_site": "same-site"}, "cross_site"),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, "cross_site"),
    ],
)
def test_hosts_and_origins(headers: dict[str, str], code: str | None) -> None:
    error = check(request(**headers), "", frozenset(["proxy.example"]))
    assert (error.code if error else None) == code


def test_a_link_may_open_the_dashboard_and_nothing_else() -> None:
    link = request(sec_fetch_site="cross-site", sec_fetch_mode="navigate")
    assert check(link, "", page=True) is None
    script = request(sec_fetch_site="cross-site", sec_fetch_mode="no-cors")
    assert check(script, "", page=True) is not None


def test_changes_need_the_header() -> None:
    assert check(request("POST", x_reflex_admin="1"), "") is None
    for method in ("POST", "PUT", "OPTIONS", "DELETE"):
        error = check(request(method), "")
        assert error is not None
        assert error.code == "missing_header"


@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        ({}, False),
        ({"authorization": f"Bearer {TOKEN}"}, True),
        ({"authorization": f"bearer  {TOKEN} "}, True),
        ({"authorization": TOKEN}, False),
        ({"authorization": "Bearer "}, False),
        ({"authorization": "Bearer é"}, False),
        ({"cookie": f"a=b; reflex_admin={cookie_value(TOKEN)}"}, True),
        ({"cookie": f"reflex_admin={TOKEN}"}, False),
        ({"cookie": "reflex_admin="}, False),
        ({"cookie": "\xff;;==;reflex_admin"}, False),
    ],
)
def test_token(headers: dict[str, str], let_in: bool) -> None:
    assert authenticated(request(**headers), TOKEN) == let_in
    assert authenticated(request(**headers), "")
