"""The mock provider speaks OpenAI's protocol, read by the real codec."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.backends.http_upstream import HttpUpstream
from reflex_core.mock import MockUpstream
from reflex_core.types import ProviderRequest
from tests.codecs.oracle_contract import (
    check_chunks,
    openai_reads_json,
    openai_reads_sse,
    summary,
)


def ask(body: dict[str, Any], url: str = "mock:/chat/completions", delay: float = 0) -> list[bytes]:
    """The pieces of its answer."""

    async def run() -> list[bytes]:
        upstream = MockUpstream(HttpUpstream(connect_timeout=1), delay)
        request = ProviderRequest("POST", url, (), orjson.dumps(body))
        answer = await upstream.open(request, 1)
        assert answer.status == 200
        pieces = []
        while piece := await answer.read_chunk():
            pieces.append(piece)
        answer.close()
        assert await answer.read_all() == b""
        await upstream.close()
        return pieces

    return asyncio.run(run())


def messages(content: Any) -> list[Any]:
    return [{"role": "system", "content": "x"}, {"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("hello  there", "hello  there"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a b"),
        ([{"type": "image_url"}], ""),
        (None, ""),
        (7, "7"),
    ],
)
def test_both_forms_say_the_same(content: Any, text: str) -> None:
    body = {"model": "mock", "messages": messages(content)}
    stream = b"".join(ask({**body, "stream": True}))
    check_chunks(stream)
    whole = openai_reads_json(b"".join(ask(body)))
    assert whole.choices[0].message.content == f"This is a mock answer to: {text}"
    assert summary(openai_reads_sse(stream)) == summary(whole)
    assert openai_reads_sse(stream).id == whole.id


def test_it_comes_in_pieces_with_pauses() -> None:
    body = {"model": "mock", "messages": messages("a b c"), "stream": True}
    assert len(ask(body, delay=0.001)) == len(ask(body)) > 9


@given(st.dictionaries(st.text(), st.none() | st.lists(st.none() | st.text()) | st.text()))
def test_any_body(body: dict[str, Any]) -> None:
    assert orjson.loads(b"".join(ask({**body, "stream": False})))["choices"]
