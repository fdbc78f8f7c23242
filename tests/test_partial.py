"""Partial answers: how they are kept, and when an answer can be continued."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core import partial
from reflex_core.catalog_rows import PROVIDERS
from reflex_core.partial import Partials, continues, continuing
from reflex_core.types import ChatRequest, Target

IDENTITY = ("chatcmpl-1", 1_700_000_000, "model")
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def target(provider: str, model: str) -> Target:
    row = PROVIDERS[provider]
    return Target(row, model, row.base_url)


CLAUDE = target("anthropic", "claude-sonnet-4-5")
MISTRAL = target("mistral", "mistral-large-latest")


def request(**more: Any) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **more}
    return ChatRequest(orjson.dumps(body), body, "m", stream=True, include_usage=True)


# ---------------------------------------------------------------------- keeping


def test_handed_out_once() -> None:
    partials = Partials(ttl=60)
    partials.put(b"a", "Hello", USAGE, IDENTITY, now=100)
    found = partials.take(b"a", now=159)
    assert found is not None
    assert (found.text, found.usage) == ("Hello", USAGE)
    assert (found.id, found.created, found.model) == IDENTITY
    assert partials.take(b"a", now=159) is None
    assert partials.take(b"b", now=159) is None


def test_gone_after_its_time() -> None:
    partials = Partials(ttl=60)
    partials.put(b"a", "Hello", None, IDENTITY, now=100)
    assert partials.take(b"a", now=160) is None
    assert len(partials) == 0


def test_the_last_one_counts() -> None:
    partials = Partials(ttl=60)
    partials.put(b"a", "Hello", None, IDENTITY, now=0)
    partials.put(b"a", "Hello world", None, IDENTITY, now=1)
    assert len(partials) == 1
    found = partials.take(b"a", now=2)
    assert found is not None
    assert found.text == "Hello world"


def test_bounded_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "MAX_PARTIALS", 3)
    partials = Partials(ttl=60)
    for i in range(5):
        partials.put(b"%d" % i, "text", None, IDENTITY, now=0)
    assert [partials.take(b"%d" % i, now=0) is not None for i in range(5)] == [False] * 2 + [
        True
    ] * 3


def test_bounded_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "MAX_BYTES", 10)
    partials = Partials(ttl=60)
    partials.put(b"a", "123456", None, IDENTITY, now=0)
    partials.put(b"b", "1234", None, IDENTITY, now=0)
    assert len(partials) == 2
    partials.put(b"c", "1", None, IDENTITY, now=0)
    assert partials.take(b"a", now=0) is None, "the oldest went"
    assert len(partials) == 2
    partials.put(b"d", "12345678901", None, IDENTITY, now=0)
    assert len(partials) == 0, "none is larger than the bound"


def test_clear() -> None:
    partials = Partials(ttl=60)
    partials.put(b"a", "Hello", None, IDENTITY, now=0)
    partials.clear()
    assert partials.take(b"a", now=0) is None


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(b"abcdef"), st.text(max_size=8))))
def test_never_over_its_bounds(steps: list[tuple[bool, int, str]]) -> None:
    partials = Partials(ttl=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partial, "MAX_PARTIALS", 4)
        patch.setattr(partial, "MAX_BYTES", 16)
        kept: dict[bytes, str] = {}
        for putting, name, text in steps:
            key = bytes([name])
            if putting:
                partials.put(key, text, None, IDENTITY, now=0)
                kept[key] = text
            elif (found := partials.take(key, now=0)) is not None:
                assert found.text == kept.pop(key)
            assert len(partials) <= 4
        left = [found.text for key in kept if (found := partials.take(key, now=0))]
        assert sum(map(len, left)) <= 16


# ---------------------------------------------------------------------- who continues

CONTINUED = {
    ("anthropic", "claude-3-5-haiku-20241022"),
    ("anthropic", "claude-opus-4-1"),
    ("anthropic", "claude-sonnet-4-20250514"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-haiku-4-5-20251001"),
    ("mistral", "mistral-large-latest"),
}
NOT_CONTINUED = {
    ("anthropic", "claude-sonnet-4-6"),  # prefill is refused from here on
    ("anthropic", "claude-opus-4-6"),
    ("anthropic", "claude-opus-4-7"),
    ("anthropic", "claude-sonnet-5"),
    ("openai", "gpt-4o"),
    ("gemini", "gemini-2.5-flash"),
    ("ollama", "llama3.2"),
    ("groq", "llama-3.3-70b-versatile"),
    ("bedrock", "us.anthropic.claude-sonnet-4-6"),
}


@pytest.mark.parametrize(("provider", "model"), sorted(CONTINUED))
def test_continues(provider: str, model: str) -> None:
    assert continues(request(), target(provider, model))


@pytest.mark.parametrize(("provider", "model"), sorted(NOT_CONTINUED))
def test_does_not_continue(provider: str, model: str) -> None:
    assert not continues(request(), target(provider, model))


def test_a_row_of_ones_own_says_so() -> None:
    house = replace(PROVIDERS["openai"], name="house", quirks={"continues": "prefill"})
    assert continues(request(), Target(house, "anything", house.base_url))
    house = replace(house, quirks={"continues": "prefill", "continues_models": "qwen"})
    assert continues(request(), Target(house, "qwen3", house.base_url))
    assert not continues(request(), Target(house, "a-qwen3", house.base_url))


@pytest.mark.parametrize(
    "more",
    [
        {"max_tokens": 100},
        {"max_completion_tokens": 100},
        {"logprobs": True},
        {"reasoning_effort": "low"},
        {"n": 2},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        {"functions": [{"name": "f"}]},
        {"messages": []},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "I"}]},
    ],
    ids=str,
)
def test_starts_anew_with(more: dict[str, Any]) -> None:
    assert not continues(request(**more), CLAUDE)


@pytest.mark.parametrize(
    "more",
    [
        {"n": 1},
        {"response_format": {"type": "text"}},
        {"temperature": 0.2, "stop": ["\n\n"]},
        {"max_tokens": None, "logprobs": False},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
    ],
    ids=str,
)
def test_still_continues_with(more: dict[str, Any]) -> None:
    assert continues(request(**more), CLAUDE)


def test_the_request_for_the_rest() -> None:
    first = request(temperature=0.2)
    rest = continuing(first, CLAUDE, "Hello")
    assert rest.body["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
    ]
    assert orjson.loads(rest.raw) == rest.body
    assert (rest.stream, rest.include_usage, rest.body["temperature"]) == (True, True, 0.2)
    assert len(first.body["messages"]) == 1, "the client's own is left alone"
    last = continuing(first, MISTRAL, "Hello").body["messages"][-1]
    assert last == {"role": "assistant", "content": "Hello", "prefix": True}
