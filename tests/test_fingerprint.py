"""Fingerprints: equal exactly where the key's fields are, and without a word of the request."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reflex_core import key
from reflex_core.fingerprint import MAX_PARTS, Fingerprint, differences, fingerprint, nearest

TEXT = st.text(max_size=8)
SCALAR = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 0.7]) | TEXT
MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": TEXT})
BODY = st.fixed_dictionaries(
    {"model": TEXT, "messages": st.lists(MESSAGE, max_size=3)},
    optional={
        "temperature": SCALAR,
        "stop": SCALAR,
        "stream": SCALAR,
        "tools": st.lists(st.dictionaries(TEXT, SCALAR, max_size=2), max_size=3),
        "response_format": st.dictionaries(TEXT, SCALAR, max_size=2),
    },
)


def made(body: dict[str, Any]) -> Fingerprint:
    found = fingerprint(body)
    assert found is not None
    return found


@given(BODY, BODY)
def test_no_differences_exactly_where_the_meaning_is_equal(
    a: dict[str, Any], b: dict[str, Any]
) -> None:
    same = a["model"] == b["model"] and key.canonical(key.meaningful(a)) == key.canonical(
        key.meaningful(b)
    )
    assert (differences(made(a), made(b)) == []) == same
    assert differences(made(a), made(a)) == []


def test_what_is_told() -> None:
    stored = {
        "model": "gpt-4o",
        "temperature": 0.2,
        "user": "ignored",
        "seed": 1,
        "messages": [
            {"role": "system", "content": "You are a pirate"},
            {"role": "user", "content": "password is hunter2"},
        ],
        "tools": [{"type": "function", "a": 1}, {"type": "function", "b": 1}],
    }
    asked = {
        **stored,
        "temperature": 0.7,
        "user": "other",
        "messages": [stored["messages"][0], {"role": "user", "content": "password is squirrel"}],  # type: ignore[index]
        "tools": list(reversed(stored["tools"])),  # type: ignore[call-overload]
        "stop": "never",
    }
    del asked["seed"]
    rows = differences(made(stored), made(asked))
    assert [(row.path, row.change) for row in rows] == [
        ("messages[1]", "changed"),
        ("tools", "order"),
        ("seed", "removed"),
        ("stop", "added"),
        ("temperature", "changed"),
    ]
    assert (rows[4].stored, rows[4].asked) == ("0.2", "0.7")
    assert rows[0].asked.startswith("user, ")
    assert rows[3].asked == "5 characters"
    told = " ".join(map(str, rows)) + repr(made(asked))
    for secret in ("hunter2", "squirrel", "pirate", "never", "ignored"):
        assert secret not in told


def test_nearest() -> None:
    base = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    warmer = {**base, "temperature": 1.5}
    other = {"model": "m", "messages": [{"role": "user", "content": "ho"}]}
    candidates = [("other", made(other)), ("warmer", made(warmer)), ("far", made({"model": "x"}))]
    assert nearest(made(base), candidates) == "warmer"
    assert nearest(made(base), []) is None


def test_a_very_long_request_has_none() -> None:
    message = {"role": "user", "content": "hi"}
    assert fingerprint({"model": "m", "messages": [message] * MAX_PARTS}) is not None
    assert fingerprint({"model": "m", "messages": [message] * (MAX_PARTS + 1)}) is None


@given(
    st.dictionaries(
        st.sampled_from(["messages", "tools", "model", "stop"]),
        st.recursive(
            SCALAR,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        ),
    )
)
def test_any_shape(body: dict[str, Any]) -> None:
    assert differences(made(body), made(body)) == []
