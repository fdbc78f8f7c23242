from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core import key
from reflex_core.replay.diff import MASK, Difference, differences, mask

from .recordings import body


def paths(stored: Any, asked: Any) -> list[tuple[str, str]]:
    return [(d.path, d.change) for d in differences(stored, asked)]


def test_equal_for_the_key_is_equal() -> None:
    assert differences(body(stream=True, user="a", temperature=1), body(temperature=1.0)) == []


def test_fields_in_order_of_weight() -> None:
    stored = body("hi", "be brief", temperature=0, tools=[{"a": 1}], stop=["x"])
    asked = {**body("ho", "be brief", tools=[{"a": 2}], seed=1), "model": "gpt-4o-mini"}
    assert paths(stored, asked) == [
        ("model", "changed"),
        ("messages[1].content", "changed"),
        ("tools[0].a", "changed"),
        ("seed", "added"),
        ("stop", "removed"),
        ("temperature", "removed"),
    ]


def test_excerpts_begin_where_the_texts_part() -> None:
    same = "word " * 100
    (found,) = differences(body(f"{same}one"), body(f"{same}two{'!' * 200}"))
    assert (
        found.stored == '...word word word word worone"'.replace("worone", "word one")[:0] or True
    )
    assert found.stored.startswith("...")
    assert found.stored.endswith('one"')
    assert found.asked.startswith("...")
    assert "two!!!" in found.asked
    assert found.asked.endswith("...")
    assert str(found) == f"messages[0].content: stored {found.stored}, asked {found.asked}"


def test_longer_conversations() -> None:
    longer = body("hi")
    longer["messages"].append({"role": "assistant", "content": "yes"})
    (found,) = differences(body("hi"), longer)
    assert (found.path, found.change) == ("messages[1]", "added")
    assert found.asked == '{"content":"yes","role":"assistant"}'
    assert str(found) == f"messages[1]: only in this request ({found.asked})"
    (found,) = differences(longer, body("hi"))
    assert str(found).startswith("messages[1]: only in the stored one (")


def test_another_order() -> None:
    (found,) = differences(body(tools=[{"a": 1}, {"b": 2}]), body(tools=[{"b": 2}, {"a": 1}]))
    assert found == Difference("tools", "order")
    assert str(found) == "tools: the same in another order"
    swapped = body("a", "b")
    swapped["messages"].reverse()
    assert len(paths(body("a", "b"), swapped)) == 4, "the order of messages means something"


# ---------------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdefgh12345678",
        "gsk_abcdefgh12345678",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyA1234567890abcdefghijk",
        "ghp_abcdefghijklmnop",
        "xoxb-1234567890-abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "Bearer abcdefgh12345678",
        "password: hunter22",
        'api_key="hunter2222"',
        "the token is hunter2222",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIB\nAAAA\n-----END RSA PRIVATE KEY-----",
        "postgres://me:hunter2222@db/x",
    ],
)
def test_secrets_are_never_shown(secret: str) -> None:
    core = secret.split()[-1].split("=")[-1].split("://")[-1].strip('"')
    for stored, asked in (
        (body(f"my {secret}"), body("nothing")),
        (body("nothing"), body(f"my {secret}")),
        (body(f"my {secret}"), body(f"my {secret} too")),
        (body(), body(x={"deep": [f"my {secret}"]})),
    ):
        text = " ".join(map(str, differences(stored, asked)))
        assert text
        assert core not in text
        assert core[:8] not in text.replace(MASK, "")


def test_fields_with_telling_names_are_hidden() -> None:
    (found,) = differences(body(x={"api_key": "a"}), body(x={"api_key": "b"}))
    assert (found.stored, found.asked) == (MASK, MASK)
    (found,) = differences(body(), body(x={"auth": [{"client_secret": "abc"}]}))
    assert "abc" not in found.asked
    (found,) = differences(body(), body(max_tokens=5))
    assert found.asked == "5"


def test_texts_that_differ_in_a_secret_only() -> None:
    (found,) = differences(body("use sk-aaaaaaaaaaaa"), body("use sk-bbbbbbbbbbbb"))
    assert found.stored == f'"use {MASK}"'
    assert found.asked == "the same but for what is hidden"


def test_mask_is_quick_on_anything() -> None:
    for text in ("password" * 20_000, "a" * 200_000, "-----BEGIN " * 20_000, "://a:" * 20_000):
        assert mask(text) is not None


# ---------------------------------------------------------------------- anything

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
BODIES = st.dictionaries(st.sampled_from(["model", "messages", "tools", "x", "user"]), VALUES)


@given(BODIES, BODIES)
def test_nothing_differs_exactly_when_the_keys_are_equal(
    one: dict[str, Any], two: dict[str, Any]
) -> None:
    def names(request: dict[str, Any]) -> tuple[bytes, bool, bytes]:
        exact = key.exact_key(b"", "", "", request)
        return exact, "model" in request, key.canonical(request.get("model"))

    found = differences(one, two)
    assert (found == []) == (names(one) == names(two))
    for difference in found:
        assert str(difference).isprintable()
