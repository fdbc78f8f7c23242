from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reflex_core.errors import ApiError
from reflex_core.fold import Folder, merge_extra
from reflex_core.render import events_of
from reflex_core.types import (
    Annotations,
    Choice,
    Completion,
    ErrorEvent,
    Event,
    Extra,
    Finish,
    Json,
    Ping,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
    usage,
)


def fold(*events: Event) -> Completion:
    folder = Folder("id", 7, "m")
    for event in events:
        folder.feed(event)
    return folder.completion()


def test_an_answer_with_everything() -> None:
    done = fold(
        Start("upstream", "their-model", 1, "fp", None),
        Ping(),
        ReasoningDelta("th"),
        ReasoningDelta("ink"),
        TextDelta("Hel", logprobs={"content": [{"token": "Hel"}], "refusal": None}),
        TextDelta("lo", logprobs={"content": [{"token": "lo"}]}),
        Annotations(({"type": "url_citation"},)),
        Annotations(({"type": "file"},)),
        ToolCallStart(0, "a", "f"),
        ToolCallStart(1, "b", "g"),
        ToolCallDelta(1, "{}"),
        ToolCallDelta(0, '{"x"'),
        ToolCallDelta(0, ":1}"),
        Extra({"k": "v"}),
        Extra({"c": 1}, choice=0),
        Start(service_tier="flex"),
        UsageEvent(usage(1, 2)),
        UsageEvent(usage(1, 3)),
        Finish("tool_calls"),
    )
    assert done == Completion(
        id="id",
        created=7,
        model="m",
        choices=(
            Choice(
                content="Hello",
                reasoning="think",
                tool_calls=(ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}")),
                logprobs={"content": [{"token": "Hel"}, {"token": "lo"}]},
                annotations=({"type": "url_citation"}, {"type": "file"}),
                finish_reason="tool_calls",
                extra={"c": 1},
            ),
        ),
        usage=usage(1, 3),
        system_fingerprint="fp",
        service_tier="flex",
        extra={"k": "v"},
    )
    assert done.complete


def test_choices_come_in_order_of_index() -> None:
    done = fold(TextDelta("b", 1), TextDelta("a", 0), Finish("stop", 1), TextDelta("!", 0))
    assert [(c.index, c.content, c.finish_reason) for c in done.choices] == [
        (0, "a!", None),
        (1, "b", "stop"),
    ]
    assert not done.complete


def test_empty_content_is_not_no_content() -> None:
    assert fold(TextDelta("")).choices[0].content == ""
    assert fold(Finish("stop")).choices[0].content is None


def test_refusal() -> None:
    done = fold(RefusalDelta("I ", logprobs={"refusal": [1]}), RefusalDelta("won't"))
    assert done.choices[0].refusal == "I won't"
    assert done.choices[0].logprobs == {"refusal": [1]}


def test_error_is_kept() -> None:
    folder = Folder("id", 7, "m")
    folder.feed(TextDelta("a"))
    folder.feed(ErrorEvent(ApiError(500, "broke")))
    assert folder.error == ApiError(500, "broke")
    assert not folder.completion().complete


def test_nothing_is_not_complete() -> None:
    assert not fold().complete


def test_extra_merges_by_kind() -> None:
    into: dict[str, Any] = {"l": [1], "d": {"a": 1}, "s": "x", "m": [1]}
    merge_extra(into, {"l": [2], "d": {"b": 2}, "s": "y", "m": "z"})
    assert into == {"l": [1, 2], "d": {"a": 1, "b": 2}, "s": "y", "m": "z"}


def test_folding_does_not_change_the_events() -> None:
    first, second = Extra({"l": [1], "d": {"a": 1}}), Extra({"l": [2], "d": {"a": 2}})
    fold(first, second)
    assert first == Extra({"l": [1], "d": {"a": 1}})


def test_audio_pieces_join() -> None:
    done = fold(
        Extra({"audio": {"id": "a1", "transcript": "Hi"}}, 0),
        Extra({"audio": {"data": "QUJD"}}, 0),
        Extra({"audio": {"data": "REVG", "transcript": " you"}}, 0),
        Extra({"audio": {"expires_at": 9}}, 0),
    )
    assert done.choices[0].extra["audio"] == {
        "id": "a1",
        "transcript": "Hi you",
        "data": "QUJDREVG",
        "expires_at": 9,
    }


# --------------------------------------------------------------------------- a stored answer

_WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_SPOKEN = {
    "reasoning": st.none() | _WORDS.filter(bool),
    "tool_calls": st.lists(st.builds(ToolCall, _WORDS, _WORDS, _WORDS), max_size=3).map(tuple),
    "annotations": st.lists(st.just({"type": "url_citation"}), max_size=2).map(tuple),
    "finish_reason": st.sampled_from(["stop", "length", "tool_calls"]),
    "extra": st.dictionaries(_WORDS, st.integers(0, 9), max_size=2),
}
_LOGPROBS = st.none() | st.just({"content": [{"token": "a"}]})
_TEXT = st.builds(Choice, content=_WORDS, logprobs=_LOGPROBS, **_SPOKEN)
_REFUSAL = st.builds(Choice, refusal=_WORDS.filter(bool), logprobs=_LOGPROBS, **_SPOKEN)
_SILENT = st.builds(Choice, **_SPOKEN)


@given(
    st.lists(_TEXT | _REFUSAL | _SILENT, max_size=3),
    st.none() | st.just(usage(3, 4, cached=1)),
    st.none() | st.just("fp"),
    st.dictionaries(_WORDS, st.integers(0, 9), max_size=2),
)
def test_events_of_a_completion_fold_back_into_it(
    choices: list[Choice], used: Json | None, fingerprint: str | None, extra: Json
) -> None:
    numbered = tuple(replace(choice, index=at) for at, choice in enumerate(choices))
    whole = Completion("id", 7, "m", numbered, used, fingerprint, None, extra)
    assert fold(*events_of(whole)) == whole
