from __future__ import annotations

import random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core import key

SECRET = bytes(range(32))
T = key.tenant(SECRET, "sk-a")

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)
bodies = st.dictionaries(
    st.sampled_from(["messages", "temperature", "tools", "stop", "x", "seed", "max_tokens"]),
    values,
    max_size=5,
)


def exact(body: dict[str, Any], tenant: bytes = T, provider: str = "p", model: str = "m") -> bytes:
    return key.exact_key(tenant, provider, model, body)


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same JSON value with its keys in another order, at every depth."""
    if isinstance(value, dict):
        items = [(k, shuffled(v, rng)) for k, v in value.items()]
        rng.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return [shuffled(v, rng) for v in value]
    return value


def ask(*texts: Any, **fields: Any) -> dict[str, Any]:
    """A body whose messages alternate user, assistant, ... and end with the user."""
    roles = ["assistant", "user"] if len(texts) % 2 == 0 else ["user", "assistant"]
    turns = [{"role": roles[i % 2], "content": t} for i, t in enumerate(texts)]
    return {"model": "gpt", "messages": turns, **fields}


# --------------------------------------------------------------------------- tenant


def test_tenants_apart() -> None:
    other = b"x" * 32
    found = [
        key.tenant(SECRET, "sk-a"),
        key.tenant(SECRET, "sk-b"),
        key.tenant(SECRET, None),
        key.tenant(SECRET, ""),
        key.tenant(SECRET, "sk-a", "n"),
        key.tenant(SECRET, "sk-a", ""),
        key.tenant(SECRET, "sk-an"),
        key.tenant(SECRET, None, "n"),
        key.tenant(other, "sk-a"),
    ]
    assert len(set(found)) == len(found)
    assert {len(t) for t in found} == {16}
    assert key.tenant(SECRET, "sk-a") == found[0]


def test_header_namespace_never_leads_to_another_tenant() -> None:
    assert key.tenant(SECRET, "sk-a", "team") != key.tenant(SECRET, "sk-b", "team")


def test_configured_namespace_is_shared() -> None:
    shared = frozenset(["team"])
    assert key.tenant(SECRET, "a", "team", shared) == key.tenant(SECRET, None, "team", shared)
    assert key.tenant(SECRET, "a", "other", shared) != key.tenant(SECRET, "b", "other", shared)
    assert key.tenant(SECRET, "a", "team", shared) != key.tenant(SECRET, "a", "team")


@given(st.text(), st.text(), st.text(), st.text())
def test_credential_and_namespace_do_not_run_together(a: str, b: str, c: str, d: str) -> None:
    same = key.tenant(SECRET, a, b) == key.tenant(SECRET, c, d)
    assert same == ((a, b) == (c, d))


# --------------------------------------------------------------------------- exact key


@given(bodies, st.randoms(use_true_random=False))
def test_key_order_never_matters(body: dict[str, Any], rng: random.Random) -> None:
    assert exact(shuffled(body, rng)) == exact(body)
    assert key.scope(T, "p", "m", shuffled(body, rng)) == key.scope(T, "p", "m", body)


@given(bodies, st.sampled_from(sorted(key.IGNORED | {"model"})), values)
def test_ignored_fields_never_matter(body: dict[str, Any], name: str, value: Any) -> None:
    assert exact({**body, name: value}) == exact(body)


@given(bodies, st.sampled_from(["messages", "tools", "response_format", "extra"]), values)
def test_changed_field_changes_key(body: dict[str, Any], name: str, value: Any) -> None:
    changed = {**body, name: value}
    same = name in body and orjson.dumps(body[name], option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        value, option=orjson.OPT_SORT_KEYS
    )
    assert (exact(changed) == exact(body)) == same


def test_everything_around_the_body_counts() -> None:
    body = ask("hi")
    found = {
        exact(body),
        exact(body, tenant=key.tenant(SECRET, "sk-b")),
        exact(body, provider="q"),
        exact(body, model="n"),
        exact(body, provider="pm", model=""),
        key.scope(T, "p", "m", body),
    }
    assert len(found) == 6
    assert {len(k) for k in found} == {32}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (ask('print("A")'), ask('print("a")')),
        (ask("hi"), ask("hi ")),
        (ask("hi"), ask("hi!")),
        (ask("é"), ask("e\u0301")),
        (ask("hi"), ask([{"type": "text", "text": "hi"}])),
        (ask("hi", seed=1), ask("hi", seed=1.0)),
        (ask("hi", seed=1), ask("hi", seed=True)),
        (ask("hi", stop="a"), ask("hi", stop=["a"])),
        (ask("hi", n=True), ask("hi")),
        (ask("hi", n=2), ask("hi")),
        (ask("hi", logprobs=True), ask("hi")),
        (ask("hi", temperature=0), ask("hi")),
        (ask("hi", temperature=0.1), ask("hi", temperature=0.2)),
        (ask("hi", temperature=float("nan")), ask("hi", temperature=None)),
        (ask("hi", temperature=float("inf")), ask("hi", temperature=float("-inf"))),
        (ask("hi", tools=None), ask("hi")),
        (ask("hi", seed=2**64), ask("hi", seed=2**64 + 1)),
        (ask("hi", seed=2**64), ask("hi", seed=str(2**64))),
        (ask("\ud83d"), ask("\ud83e")),
    ],
)
def test_kept_apart(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert exact(one) != exact(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (ask("hi", temperature=1), ask("hi", temperature=1.0)),
        (ask("hi", top_p=0.0), ask("hi", top_p=-0.0)),
        (ask("hi", n=1), ask("hi")),
        (ask("hi", n=None, stop=None, max_tokens=None), ask("hi")),
        (ask("hi", logprobs=False), ask("hi")),
        (ask("hi", stream=True, stream_options={"include_usage": True}), ask("hi", user="u")),
        (ask("hi", temperature=1e300), ask("hi", temperature=10**300 * 1.0)),
    ],
)
def test_documented_equal(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert exact(one) == exact(two)


EMPTY = {"refusal": None, "annotations": [], "audio": None, "tool_calls": None, "name": None}


def test_an_answer_sent_back_is_known_whoever_filled_it_in() -> None:
    """An agent's second request must not depend on which host, or cache, gave the first answer."""
    plain, full = ask("hi", "ok", "go on"), ask("hi", "ok", "go on")
    full["messages"][1] |= EMPTY
    assert exact(plain) == exact(full)
    assert key.scope(T, "p", "m", plain) == key.scope(T, "p", "m", full)
    for name, value in (("refusal", ""), ("tool_calls", [{}]), ("name", "x"), ("content", None)):
        changed = ask("hi", "ok", "go on")
        changed["messages"][1] |= {name: value}
        assert exact(changed) != exact(plain)


def test_parser_gives_no_number_that_json_cannot_tell_from_null() -> None:
    """`canonical` relies on it."""
    for text in ("NaN", "Infinity", "-Infinity", "1e999"):
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(text)


hard = st.recursive(
    st.one_of(scalars, st.integers(2**64, 2**70), st.text(st.characters(categories=["Cs", "L"]))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def strict_equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(strict_equal(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(strict_equal, a, b))
    return type(a) is type(b) and repr(a) == repr(b)


@given(hard, hard, st.randoms(use_true_random=False))
def test_canonical_where_orjson_gives_up(a: Any, b: Any, rng: random.Random) -> None:
    one, two = [2**64, a], [2**64, b]
    assert (key.canonical(one) == key.canonical(two)) == strict_equal(a, b)
    assert key.canonical(shuffled(one, rng)) == key.canonical(one)


def test_deep_nesting() -> None:
    deep = orjson.loads(b"[" * 1000 + b"]" * 1000)
    deeper = orjson.loads(b"[" * 1001 + b"]" * 1001)
    assert exact({"messages": deep}) == exact({"messages": deep})
    assert exact({"messages": deep}) != exact({"messages": deeper})


# --------------------------------------------------------------------------- scope


def scope(body: dict[str, Any], strict: bool = False) -> bytes:
    return key.scope(T, "p", "m", body, strict=strict)


def test_only_the_last_question_may_vary() -> None:
    base = scope(ask("hello", "yes?", "How do I reset my password?", seed=1))
    assert base == scope(ask("hello", "yes?", "What is the weather like?", seed=2))
    assert base != scope(ask("hello", "no?", "How do I reset my password?"))
    assert base != scope(ask("Hello", "yes?", "How do I reset my password?"))
    assert base != scope(ask("How do I reset my password?"))


def test_sampling_counts_when_strict() -> None:
    for name in key.SAMPLING:
        one, two = ask("hi", **{name: 0.1}), ask("hi", **{name: 0.2})
        assert scope(one) == scope(two)
        assert scope(one, strict=True) != scope(two, strict=True)


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tool_choice": "none"},
        {"response_format": {"type": "json_object"}},
        {"n": 2},
        {"logprobs": True},
        {"stop": ["x"]},
        {"modalities": ["text", "audio"]},
        {"max_tokens": 5},
        {"anything_new": 1},
    ],
)
def test_all_other_fields_count(fields: dict[str, Any]) -> None:
    assert scope(ask("hi", **fields)) != scope(ask("hi"))


def test_scope_text_forms() -> None:
    part = {"type": "text", "text": "hello"}
    assert scope(ask([part], "x", "q")) == scope(ask("hello", "x", "q"))
    assert scope(ask([part])) == scope(ask("anything"))
    assert scope(ask([part, part], "x", "q")) != scope(ask("hellohello", "x", "q"))
    cached = {**part, "cache_control": {"type": "ephemeral"}}
    assert scope(ask([cached])) != scope(ask([part]))
    assert scope(ask([part, part])) != scope(ask([part]))
    assert scope(ask([part, part])) == scope(ask([part, {"type": "text", "text": "else"}]))
    image = {"type": "image_url", "image_url": {"url": "https://a"}}
    other = {"type": "image_url", "image_url": {"url": "https://b"}}
    assert scope(ask([part, image])) != scope(ask([part, other]))


def test_fields_of_the_last_message_count() -> None:
    named = {"role": "user", "content": "hi", "name": "ann"}
    assert scope({"messages": [named]}) != scope(ask("hi"))


def test_text_of_another_role_never_varies() -> None:
    one = {"messages": [{"role": "assistant", "content": "a"}]}
    two = {"messages": [{"role": "assistant", "content": "b"}]}
    assert scope(one) != scope(two)


# --------------------------------------------------------------------------- semantic text

LONG = "What is the tallest mountain in Europe by prominence?"
PART = {"type": "text", "text": LONG}
TOOL = {"role": "tool", "tool_call_id": "1", "content": "4"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "malformed"),
        ({"messages": []}, "malformed"),
        ({"messages": "hi"}, "malformed"),
        ({"messages": ["hi"]}, "malformed"),
        ({"messages": [{"content": "hi"}]}, "malformed"),
        ({"messages": [{"role": "user"}]}, "malformed"),
        (ask({"a": 1}), "malformed"),
        (ask([{"type": "text"}]), "malformed"),
        (ask([{"type": "text", "text": 5}]), "malformed"),
        (ask(LONG, n="2"), "malformed"),
        (ask(LONG, n=2), "several-choices"),
        (ask(LONG, logprobs=True), "logprobs"),
        (ask(LONG, top_logprobs=2), "logprobs"),
        (ask(LONG, functions=[{"name": "f"}]), "legacy-functions"),
        (ask(LONG, function_call="auto"), "legacy-functions"),
        (ask(LONG, modalities=["text", "audio"]), "audio-output"),
        (ask(LONG, audio={"voice": "alloy", "format": "wav"}), "audio-output"),
        ({"messages": [{"role": "assistant", "content": LONG}]}, "not-from-user"),
        ({"messages": [{"role": "system", "content": LONG}]}, "not-from-user"),
        ({"messages": [{"role": "user", "content": LONG}, TOOL]}, "tool-results"),
        ({"messages": [TOOL, {"role": "user", "content": LONG}]}, "tool-results"),
        (ask([PART, {"type": "image_url", "image_url": {"url": "u"}}]), "not-text"),
        (ask([PART, {"type": "input_audio", "input_audio": {}}]), "not-text"),
        (ask([PART, {"type": "file", "file": {}}]), "not-text"),
        (ask([PART, "x"]), "not-text"),
        (ask([{"type": "file", "file": {}}], "I read the file.", LONG), "not-text"),
        (ask(""), "empty-question"),
        (ask(" \n"), "empty-question"),
        (ask([]), "empty-question"),
        (ask(LONG, "Mont Blanc?", "yes"), "context-dependent"),
        (ask(LONG, "Shall I?", "yes, cancel it"), "context-dependent"),
        (ask(LONG, "One or two?", "the second one"), "context-dependent"),
        (ask(LONG, "Here you are.", "and the tallest tower in Spain?"), "context-dependent"),
        (ask(LONG, "Here.", "这个多少钱一个月呢请告诉我"), "context-dependent"),
    ],
)
def test_exact_only(body: dict[str, Any], reason: str) -> None:
    assert key.exact_only_reason(body) == reason
    assert key.semantic_text(body) is None


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (ask(LONG), LONG),
        (ask("yes"), "yes"),
        (ask([PART]), LONG),
        (ask([PART, {"type": "text", "text": "Thanks"}]), LONG + "\nThanks"),
        (ask(LONG, n=1, logprobs=False, modalities=["text"], tools=[]), LONG),
        (ask("hello", "Hi!", LONG), LONG),
        (ask("hello", [{"type": "refusal", "refusal": "no"}], LONG), LONG),
        (
            {
                "messages": [
                    {"role": "system", "content": "s"},
                    {"role": "developer", "content": [PART]},
                    {"role": "user", "content": "continue"},
                ]
            },
            "continue",
        ),
    ],
)
def test_semantic_text(body: dict[str, Any], text: str) -> None:
    assert key.exact_only_reason(body) is None
    assert key.semantic_text(body) == text


turns = st.lists(
    st.one_of(
        values,
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "system", "assistant", "tool", 3])},
            optional={
                "content": st.one_of(
                    values,
                    st.text(max_size=20),
                    st.lists(
                        st.fixed_dictionaries(
                            {"type": st.sampled_from(["text", "image_url", None])},
                            optional={"text": values},
                        ),
                        max_size=3,
                    ),
                )
            },
        ),
    ),
    max_size=4,
)


@given(st.one_of(values, turns), values, values)
def test_nothing_raises_for_a_malformed_body(messages: Any, n: Any, modalities: Any) -> None:
    body = {"messages": messages, "n": n, "modalities": modalities}
    text = key.semantic_text(body)
    assert (text is None) == (key.exact_only_reason(body) is not None)
    assert len(exact(body)) == len(scope(body)) == 32


@given(turns, st.text(max_size=20), st.text(max_size=20))
def test_equal_scope_and_text_means_equal_question(earlier: list[Any], a: str, b: str) -> None:
    one = {"messages": [*earlier, {"role": "user", "content": a}]}
    two = {"messages": [*earlier, {"role": "user", "content": b}]}
    assert scope(one) == scope(two)
    assert (exact(one) == exact(two)) == (a == b)


@pytest.mark.parametrize(
    ("text", "depends"),
    [
        ("yes", True),
        ("Cancel my order", True),
        ("the second one please, thanks a lot", True),
        ("What about the capital of Portugal then?", True),
        ("And who wrote Don Quixote originally?", True),
        ("Is it open on public holidays?", True),
        ("Why does ice float on water?", False),
        ("Android phones support which wireless charging standards?", False),
        ("Could you explain how it compares with the other two options we looked at?", False),
        ("西班牙的首都是哪里", False),
        ("好的谢谢", True),
        ("", True),
    ],
)
def test_depends_on_context(text: str, depends: bool) -> None:
    assert key.depends_on_context(text) is depends
