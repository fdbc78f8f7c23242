"""What codecs of other protocols share on the way out, and for reading what comes back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from reflex_core.codecs import loose, native
from reflex_core.errors import BadRequest
from reflex_core.inbound import prompt
from reflex_core.types import Message
from tests.codecs.oracle_contract import chat_request, target_for


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ("bearer", ("authorization", "Bearer k")),
        ("x-api-key", ("x-api-key", "k")),
        ("api-key", ("api-key", "k")),
        ("x-goog-api-key", ("x-goog-api-key", "k")),
        ("none", None),
        ("sigv4", None),
    ],
)
def test_the_key_goes_where_the_provider_wants_it(auth: Any, header: Any):
    target = target_for("gemini", auth=auth, api_key="k", headers=(("x-fixed", "1"),))
    expected = [
        ("content-type", "application/json"),
        ("x-fixed", "1"),
        *([header] if header else []),
    ]
    assert list(native.headers(target)) == expected


def test_without_a_key_there_is_no_header():
    assert native.headers(target_for("gemini", api_key=None)) == (
        ("content-type", "application/json"),
    )


def test_the_request_names_each_dropped_parameter_once():
    sent = native.post(target_for("gemini"), "https://x.test/y", {"a": 1}, ["b", "c", "b"])
    assert (sent.method, sent.url, orjson.loads(sent.body)) == (
        "POST",
        "https://x.test/y",
        {"a": 1},
    )
    assert sent.dropped == ("b", "c")
    assert "key-of-provider" not in repr(sent)


def test_leftovers():
    asked = prompt(
        chat_request(
            user="u",
            metadata={"k": "v"},
            top_k=1,
            store=False,
            logit_bias={},
            modalities=["text"],
            service_tier=None,
        )
    )
    assert native.leftovers(asked) == ["user", "metadata", "top_k", "store", "logit_bias"]
    assert "top_k" not in native.leftovers(asked, mapped=("top_k",))


@pytest.mark.parametrize(
    "body",
    [
        {"logit_bias": {"1": 1}},
        {"audio": {"voice": "v"}},
        {"modalities": ["text", "audio"]},
        {"web_search_options": {"a": 1}},
    ],
)
def test_what_would_change_the_answer_is_refused(body: dict[str, Any]):
    with pytest.raises(BadRequest) as seen:
        native.leftovers(prompt(chat_request(**body)))
    (name,) = body
    assert seen.value.error.param == name
    assert seen.value.error.code == "unsupported_parameter"


def test_the_name_of_a_result_comes_from_its_call():
    names = {"c1": "f"}
    assert native.tool_name(Message("tool", tool_call_id="c1", path="messages[2]"), names) == "f"
    assert native.tool_name(Message("tool", tool_call_id="c2", name="g"), names) == "g"
    with pytest.raises(BadRequest) as seen:
        native.tool_name(Message("tool", tool_call_id="c2", path="messages[2]"), names)
    assert seen.value.error.param == "messages[2].tool_call_id"


def test_made_up_ids_depend_on_everything_given():
    ids = {native.call_id("r", 0, "f"), native.call_id("r", 1, "f"), native.call_id("r0", "f")}
    assert len(ids) == 3
    assert native.call_id("r", 0, "f") in ids
    assert all(id.startswith("call_") and len(id) == 29 for id in ids)
    assert native.call_id("\ud800")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), (3.0, 3), (0, 0), (True, None), (-1, None), ("3", None), (None, None), (1e300, None)],
)
def test_counts(value: Any, expected: Any):
    assert loose.count(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-07-30T14:17:16.420595067Z", 1785421036),
        ("2026-07-30T16:17:16+02:00", 1785421036),
        ("1970-01-01T00:00:00Z", None),
        ("yesterday", None),
        (5, None),
        (None, None),
        ("9999-12-31T23:59:59-23:59", 253402387139),
    ],
)
def test_times(value: Any, expected: Any):
    assert loose.unix_seconds(value) == expected


def test_wrong_kinds_are_empty():
    assert (loose.obj([]), loose.items({}), loose.text(""), loose.text(3)) == ({}, [], None, None)
    assert (loose.obj({"a": 1}), loose.items([1]), loose.text("x")) == ({"a": 1}, [1], "x")
