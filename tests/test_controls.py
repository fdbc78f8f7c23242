from __future__ import annotations

import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.controls import NONE, Controls, Status, answer_headers, not_cached, parse

KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, Controls()),
        ("", Controls()),
        (" , ,", Controls()),
        ("no-cache", Controls(no_cache=True)),
        ("No-Cache", Controls(no_cache=True)),
        ('no-cache="set-cookie"', Controls(no_cache=True)),
        ("no-store", Controls(no_store=True)),
        ("only-if-cached", Controls(only_if_cached=True)),
        ("no-cache, no-store", Controls(no_cache=True, no_store=True)),
        ("no-cache,no-store", Controls(no_cache=True, no_store=True)),
        ("max-age=60, only-if-cached", Controls(only_if_cached=True, max_age=60)),
        ("max-age=60", Controls(max_age=60)),
        ('max-age="60"', Controls(max_age=60)),
        ("Max-Age = 60", Controls(max_age=60)),
        ("max-age=0", Controls(max_age=0)),
        ("max-age=60, max-age=5", Controls(max_age=5)),
        ("max-age=99999999999999999999", Controls(max_age=2**31)),
        ("max-age=" + "9" * 5000, Controls(max_age=2**31)),
        ("max-age", Controls(max_age=0)),
        ("max-age=", Controls(max_age=0)),
        ("max-age=soon", Controls(max_age=0)),
        ("max-age=-1", Controls(max_age=0)),
        ("max-age=1.5", Controls(max_age=0)),
        ("max-age=٣", Controls(max_age=0)),
        ('ext="a, no-store", no-cache', Controls(no_cache=True)),
        ('ext="a\\", no-store", no-cache', Controls(no_cache=True)),
        ('ext="a, no-store', Controls(no_store=True)),
        ("nocache, no store, x-no-store, =no-store", Controls()),
        ("stale-if-error=5, no-transform", Controls()),
    ],
)
def test_cache_control(header: str | None, expected: Controls) -> None:
    assert parse(header) == expected


@pytest.mark.parametrize(
    ("namespace", "expected"), [(None, None), ("", None), ("  ", None), (" team ", "team")]
)
def test_namespace(namespace: str | None, expected: str | None) -> None:
    assert parse(None, namespace) == Controls(namespace=expected)
    assert parse("no-store", namespace) == Controls(no_store=True, namespace=expected)


@given(st.text(alphabet='no-cachestrmxgi=,"\\ 0123456789\t\u00e9;', max_size=40))
def test_garbage_is_tolerated_and_never_hides_a_directive(garbage: str) -> None:
    parse(garbage)
    assert parse("no-store," + garbage).no_store
    if '"' not in garbage:
        assert parse(garbage + ",no-cache").no_cache


def test_what_follows_from_them() -> None:
    assert NONE.may_read
    assert NONE.may_store
    assert NONE.may_join
    no_cache, no_store = Controls(no_cache=True), Controls(no_store=True)
    assert (no_cache.may_read, no_cache.may_store, no_cache.may_join) == (False, True, False)
    assert (no_store.may_read, no_store.may_store, no_store.may_join) == (True, False, False)


def test_max_age() -> None:
    assert NONE.accepts(1e12)
    assert Controls(max_age=5).accepts(5)
    assert not Controls(max_age=5).accepts(5.1)
    assert not Controls(max_age=0).accepts(0.1)


def test_not_cached() -> None:
    error = not_cached()
    assert (error.status, error.code) == (504, "not_cached")


@pytest.mark.parametrize(
    ("status", "fields", "cache_status"),
    [
        (
            "hit-l1-exact",
            {"key": KEY, "ttl": 376.9},
            'reflex; hit; ttl=376; key="0001020304050607"',
        ),
        (
            "hit-l3-verified",
            {"detail": "distance=3 cosine=0.93"},
            'reflex; hit; detail="distance=3 cosine=0.93"',
        ),
        ("hit-l2-semantic", {}, "reflex; hit"),
        ("stale", {"ttl": -412.0}, "reflex; hit; ttl=-412"),
        ("coalesced", {}, "reflex; fwd=miss; collapsed"),
        ("continued", {}, "reflex; fwd=partial"),
        (
            "miss",
            {"detail": "embed-queue-full", "stored": True},
            "reflex; fwd=miss; stored; detail=embed-queue-full",
        ),
        ("bypass", {"detail": "no-store"}, "reflex; fwd=bypass; detail=no-store"),
        ("miss", {"detail": 'a "b" \\ é\r\nx'}, 'reflex; fwd=miss; detail="a \\"b\\" \\\\ ???x"'),
        ("miss", {"detail": "3rd"}, 'reflex; fwd=miss; detail="3rd"'),
        ("miss", {"ttl": float("inf")}, "reflex; fwd=miss; ttl=999999999999999"),
    ],
)
def test_answer_headers(status: Status, fields: dict[str, object], cache_status: str) -> None:
    headers = answer_headers(status, **fields)  # type: ignore[arg-type]
    assert headers == [("X-Reflex-Status", status), ("Cache-Status", cache_status)]


@pytest.mark.parametrize(("age", "shown"), [(0.0, "0"), (7.9, "7"), (-3.0, "0")])
def test_age(age: float, shown: str) -> None:
    assert dict(answer_headers("hit-l1-exact", age=age))["Age"] == shown


PARAMETER = (
    r"""; [a-z-]+(=(-?\d{1,15}|[A-Za-z*][\w!#$%&'*+.^`|~:/-]*|"([ !#-\[\]-~]|\\["\\])*"))?"""
)


@given(
    st.sampled_from(get_args(Status)),
    st.none() | st.text(max_size=300),
    st.none() | st.floats(allow_nan=False),
)
def test_header_is_always_a_structured_field(
    status: Status, detail: str | None, ttl: float | None
) -> None:
    value = dict(answer_headers(status, key=KEY, ttl=ttl, detail=detail))["Cache-Status"]
    assert re.fullmatch(f"reflex({PARAMETER})+", value, re.ASCII)
