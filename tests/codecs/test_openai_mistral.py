"""Recorded answers of Mistral, in the mistralai SDK's eyes and in ours."""

from __future__ import annotations

from typing import Any

import httpx2
import orjson
import pytest
from mistralai.client import Mistral
from mistralai.client.models import TextChunk, ThinkChunk

from reflex_core.codecs.openai_chat import CODEC
from tests.codecs.oracle_contract import (
    ChoiceSummary,
    Summary,
    chat_request,
    check_events,
    error_of,
    openai_summary,
    parse_arguments,
    same_however_cut,
    target_for,
)
from tests.wire import Case, params

TARGET = target_for("openai-chat")
NOT_CHAT = {"mistral-chat/prism--ocr-response-1": "an answer of the OCR endpoint"}


def mistral_client(body: bytes, content_type: str) -> Mistral:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": content_type}, content=body)

    http = httpx2.Client(transport=httpx2.MockTransport(answer), trust_env=False)
    return Mistral(api_key="test", client=http)


class Seen:
    """One choice as the SDK's objects give it."""

    def __init__(self) -> None:
        self.text = self.reasoning = ""
        self.calls: dict[int, list[str]] = {}
        self.finish_reason: str | None = None

    def add(self, message: Any, finish_reason: str | None) -> None:
        self.finish_reason = self.finish_reason or finish_reason
        content = message.content
        if isinstance(content, str):
            self.text += content
        for part in content if isinstance(content, list) else ():
            if isinstance(part, TextChunk):
                self.text += part.text
            elif isinstance(part, ThinkChunk):
                self.reasoning += "".join(item.text for item in part.thinking)
        for place, call in enumerate(message.tool_calls or ()):
            known = self.calls.setdefault(call.index or place, ["", ""])
            arguments = call.function.arguments
            known[0] += call.function.name
            known[1] += (
                arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
            )

    def summary(self) -> ChoiceSummary:
        calls = tuple(
            (name, parse_arguments(text)) for _, (name, text) in sorted(self.calls.items())
        )
        return ChoiceSummary(self.text, self.reasoning, "", calls, self.finish_reason)


def usage_of(usage: Any) -> tuple[int, int, int] | None:
    return usage and (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)


def sdk_summary(case: Case) -> Summary:
    choices: dict[int, Seen] = {}
    usage: Any = None
    if case.meta["response_file"].endswith(".json"):
        client = mistral_client(case.body, "application/json")
        answer = client.chat.complete(model="m", messages=[])
        usage = answer.usage
        for choice in answer.choices:
            choices.setdefault(choice.index, Seen()).add(choice.message, choice.finish_reason)
    else:
        client = mistral_client(case.body, "text/event-stream")
        for event in client.chat.stream(model="m", messages=[]):
            usage = event.data.usage or usage
            for choice in event.data.choices:
                choices.setdefault(choice.index, Seen()).add(choice.delta, choice.finish_reason)
    seen = tuple(choice.summary() for _, choice in sorted(choices.items()))
    return Summary(seen, usage_of(usage))


@pytest.mark.parametrize("case", params("mistral-chat", errors=False))
def test_agrees_with_sdk(case: Case) -> None:
    if case.meta["response_file"].endswith(".json"):
        events = CODEC.decode_json(chat_request(stream=False), TARGET, case.body)
        check_events(events)
    else:
        events = same_however_cut(CODEC, chat_request(), TARGET, case.body)
    if case.id in NOT_CHAT:
        assert error_of(events) is not None
        return
    assert openai_summary(events) == sdk_summary(case)
