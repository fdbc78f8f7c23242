"""Recorded answers of Groq, in the groq SDK's eyes and in ours."""

from __future__ import annotations

from typing import Any

import groq
import httpx
import pytest

from reflex_core.codecs.openai_chat import CODEC
from reflex_core.types import Event
from tests.codecs.oracle_contract import (
    accumulate,
    chat_request,
    check_events,
    error_of,
    openai_summary,
    same_however_cut,
    summary,
    target_for,
)
from tests.wire import Case, params

TARGET = target_for("openai-chat")


def groq_client(body: bytes, content_type: str) -> groq.Groq:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": content_type}, content=body)

    http = httpx.Client(transport=httpx.MockTransport(answer), trust_env=False)
    return groq.Groq(api_key="test", http_client=http, max_retries=0)


def groq_chunks(body: bytes) -> list[Any]:
    with groq_client(body, "text/event-stream") as client:
        return [*client.chat.completions.create(model="m", messages=[], stream=True)]


def groq_reads_json(body: bytes) -> Any:
    with groq_client(body, "application/json") as client:
        return client.chat.completions.create(model="m", messages=[])


@pytest.mark.parametrize("case", params("groq-chat", errors=False))
def test_agrees_with_sdk(case: Case) -> None:
    if case.meta["response_file"].endswith(".json"):
        events: list[Event] = CODEC.decode_json(chat_request(stream=False), TARGET, case.body)
        check_events(events)
        assert openai_summary(events) == summary(groq_reads_json(case.body))
        return
    events = same_however_cut(CODEC, chat_request(), TARGET, case.body)
    failed = error_of(events)
    if failed is None:
        assert openai_summary(events) == accumulate(groq_chunks(case.body))
        return
    with pytest.raises(groq.APIError) as caught:
        groq_chunks(case.body)
    assert caught.value.message == failed.error.message
    assert failed.error.status == 400
    assert failed.error.code == "tool_use_failed"
