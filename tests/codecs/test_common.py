from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.codecs.common import (
    MAX_MESSAGE,
    bad_answer,
    cut_answer,
    error_status,
    http_error,
    integer,
    parse_json,
    parse_object,
    retry_after,
    sanitise,
)

# --------------------------------------------------------------------------- JSON


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":1}', {"a": 1}),
        (b'"\\ud83d"', "\ufffd"),
        (b'"\\ud83d\\ude00 \\ude00"', "😀 \ufffd"),
        (b'{"\\ud800":1}', {"\ufffd": 1}),
        (b"[NaN, Infinity, 1e999, 1.5]", [None, None, None, 1.5]),
        (b"123456789012345678901234567890", 1.2345678901234568e29),
        (b"[123456789012345678901234567890, NaN]", [1.2345678901234568e29, None]),
        (b"[NaN, true]", [None, True]),
        (b'"\xff"', "\ufffd"),
        (b"", None),
        (b"{", None),
        (b"[" * 201 + b"]" * 201, None),
        (b"[" * 100_000, None),
        (b"[NaN," + b"[" * 250 + b"]" * 250 + b"]", None),
        (b"NaN" + b"9" * 5000, None),
        (b"[NaN," + b"9" * 400 + b"]", [None, None]),
    ],
)
def test_parse_json(text: bytes, value: Any) -> None:
    assert parse_json(text) == value


def test_many_brackets_are_not_depth() -> None:
    assert parse_json(b"[" + b"[]," * 300 + b"[]]") == [[]] * 301
    deep = b"[" * 200 + b"]" * 200
    assert orjson.dumps(parse_json(deep)) == deep


@given(
    st.binary(max_size=200) | st.text(max_size=50).map(lambda t: json.dumps([t]).encode("utf-8"))
)
def test_whatever_is_parsed_can_be_written(data: bytes) -> None:
    orjson.dumps(parse_json(data))


def test_parse_object() -> None:
    assert parse_object(b"{}") == {}
    assert parse_object(b"[]") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), (3.9, 3), (True, None), ("3", None), (None, None), (float("inf"), None)],
)
def test_integer(value: Any, expected: int | None) -> None:
    assert integer(value) == expected


# --------------------------------------------------------------------------- Retry-After

DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
AT = 1445412480.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7),
        ({"retry-after": DATE, "date": "Wed, 21 Oct 2015 07:27:30 GMT"}, 30),
        ({"retry-after": DATE, "date": "Wed, 21 Oct 2015 08:00:00 GMT"}, 0),
        ({"retry-after": DATE}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_date_against_a_clock() -> None:
    assert retry_after({"retry-after": DATE}, now=AT - 5) == 5


@given(st.text(max_size=40), st.text(max_size=40))
def test_retry_after_never_raises(value: str, date: str) -> None:
    found = retry_after({"retry-after": value, "date": date}, now=AT)
    assert found is None or found >= 0


# --------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"  plain\n text\x00\x1b[31m ", "plain text [31m"),
        (
            b"<html><head><title>502 Bad\nGateway</title></head><body>x</body></html>",
            "502 Bad Gateway",
        ),
        (b"<HTML><body><script>evil()</script><h1>No</h1> a&amp;b</body>", "No a&b"),
        (b"a < b", "a < b"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", ""),
    ],
)
def test_sanitise(body: bytes, text: str) -> None:
    assert sanitise(body) == text


def test_sanitise_cuts() -> None:
    assert len(sanitise(b"x" * 100_000)) == MAX_MESSAGE


@pytest.mark.parametrize(
    ("status", "body", "message", "type_", "code"),
    [
        (400, {"error": {"message": "m", "type": "t", "code": "c"}}, "m", "t", "c"),
        (401, {"error": {"message": "m", "code": 401}}, "m", "authentication_error", "401"),
        (400, {"error": "only text"}, "only text", "invalid_request_error", None),
        (401, {"detail": "Invalid API Key"}, "Invalid API Key", "authentication_error", None),
        (404, {"message": "gone"}, "gone", "not_found_error", None),
        (429, [{"error": {"message": "in a list"}}], "in a list", "rate_limit_error", None),
        (500, {"error": {"message": {"why": 1}}}, '{"why":1}', "server_error", None),
        (
            422,
            {"detail": [{"loc": ["body", "n"], "msg": "Extra"}, {"msg": "Other"}, "odd"]},
            "body.n: Extra; Other; odd",
            "invalid_request_error",
            None,
        ),
        (
            422,
            {"object": "error", "message": {"detail": [{"loc": ["x"], "msg": "Extra"}]}},
            "x: Extra",
            "invalid_request_error",
            None,
        ),
        (400, {"type": "error", "error": {"type": "a", "message": "m"}}, "m", "a", None),
        (403, {"code": "x", "error": "told why"}, "told why", "permission_error", "x"),
        (
            400,
            {"error": {"message": "This model's maximum context length is 10", "code": None}},
            "This model's maximum context length is 10",
            "invalid_request_error",
            "context_length_exceeded",
        ),
        (503, {}, "The provider answered with status 503.", "server_error", None),
        (503, "just a string", "just a string", "server_error", None),
    ],
)
def test_http_error(status: int, body: Any, message: str, type_: str, code: str | None) -> None:
    error = http_error(status, {}, json.dumps(body).encode())
    assert (error.status, error.message, error.type, error.code) == (status, message, type_, code)


def test_http_error_without_json() -> None:
    assert http_error(502, {}, b"").message == "The provider answered with status 502."
    assert http_error(502, {}, b"upstream reset").message == "upstream reset"
    assert http_error(429, {"retry-after": "3"}, b"x").retry_after == 3


def test_the_upstream_reason_is_told() -> None:
    metadata = {"provider_name": "Lab", "raw": "overloaded"}
    body = {"error": {"message": "Provider returned error", "code": 502, "metadata": metadata}}
    told = http_error(502, {}, json.dumps(body).encode()).message
    assert told == "Provider returned error: Lab: overloaded"


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ({"error": {"code": 429}}, 429),
        ({"error": {"code": "503"}}, 503),
        ({"error": {"status_code": 400}}, 400),
        ({"error": {"type": "rate_limit_error"}}, 429),
        ({"error": {"code": "insufficient_quota"}}, 429),
        ({"error": {"type": "overloaded_error"}}, 503),
        ({"code": 404, "error": "x"}, 404),
        ({"error": {"code": 200}}, 500),
        ({"error": {"code": [1]}}, 500),
        ({"error": "x"}, 500),
    ],
)
def test_error_status(value: Any, status: int) -> None:
    assert error_status(value) == status


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "detail", "code", "type", "param", "loc", "metadata"]
            )
            | st.sampled_from(["raw", "provider_name", "error_type", "status"]),
            inner,
        )
    ),
    max_leaves=8,
)


@given(_ANY)
def test_any_error_body_becomes_a_message(value: Any) -> None:
    error = http_error(418, {}, json.dumps(value).encode())
    assert error.message
    assert json.loads(error.to_json())["error"]["message"] == error.message


def test_answers_that_make_no_sense() -> None:
    assert (cut_answer().status, cut_answer().code) == (502, "upstream_closed")
    assert "half a loaf" in bad_answer("half a loaf").message
