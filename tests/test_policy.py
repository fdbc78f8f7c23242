from __future__ import annotations

import pytest

from reflex_core.codec_store import dump
from reflex_core.policy import Decision, storable
from reflex_core.types import Choice, Completion, ToolCall


def answer(*choices: Choice) -> Completion:
    return Completion("c", 1, "m", choices)


def one(content: str | None = "hi", finish: str | None = "stop", **more: object) -> Completion:
    return answer(Choice(content=content, finish_reason=finish, **more))  # type: ignore[arg-type]


CALL = ToolCall("1", "f", "{}")
DONE = Choice(content="a", finish_reason="stop")


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        (answer(), "incomplete"),
        (one(finish=None), "incomplete"),
        (one(finish=""), "incomplete"),
        (answer(DONE, Choice(index=1, content="b")), "incomplete"),
        (one(finish="content_filter"), "content-filter"),
        (answer(DONE, Choice(index=1, finish_reason="content_filter")), "content-filter"),
        (one(finish="error"), "unknown-finish"),
        (one("\ud83d"), "not-unicode"),
        (one("x" * 2000), "too-large"),
    ],
)
def test_never_stored(completion: Completion, reason: str) -> None:
    assert storable(completion, 1000) == Decision(False, reason, True)


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        (one(finish="length"), "length"),
        (one(None, "tool_calls", tool_calls=(CALL,)), "tool-calls"),
        (one("text too", "stop", tool_calls=(CALL,)), "tool-calls"),
        (one(finish="function_call"), "tool-calls"),
        (answer(DONE, Choice(index=1, content="b", finish_reason="stop")), "several-choices"),
        (one(logprobs={"content": []}), "logprobs"),
        (one(None, refusal="I cannot."), "refusal"),
        (one(None), "empty"),
        (one(""), "empty"),
    ],
)
def test_exact_key_only(completion: Completion, reason: str) -> None:
    assert storable(completion, 1000) == Decision(True, reason, True)


def test_for_everyone() -> None:
    assert storable(one(reasoning="thought"), 1000) == Decision(True, None, False)


def test_size_limit_is_exact() -> None:
    completion = one("x" * 100)
    size = len(dump(completion))
    assert storable(completion, size).stored
    assert not storable(completion, size - 1).stored
