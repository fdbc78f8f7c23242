from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.replay.text import LONGEST, question_of, shorten

from .recordings import body


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"role": "user", "content": "a\n  b"}], "a b"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}]}], "a"),
        (
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}],
            "a [image_url]",
        ),
        ([{"role": "tool", "content": "4"}], "(tool) 4"),
        ([{"role": "user"}], ""),
        ([{"role": "user", "content": 5}], ""),
        ([{"role": "user", "content": [5]}], "[?]"),
        (["x"], "(no messages)"),
        ([], "(no messages)"),
        (None, "(no messages)"),
    ],
)
def test_last_message(messages: Any, expected: str) -> None:
    assert question_of({**body(), "messages": messages}) == expected


def test_secrets_and_length() -> None:
    assert question_of(body("use sk-abcdefgh12345678")) == "use [hidden]"
    edge = "x" * (LONGEST - 5) + " sk-abcdefgh12345678"
    assert "sk-" not in shorten(edge), "no half of a secret is left where the text is cut"
    assert len(shorten("word " * 500)) == LONGEST


@given(st.text())
def test_one_printable_line(text: str) -> None:
    line = shorten(text)
    assert line.isprintable()
    assert len(line) <= LONGEST
