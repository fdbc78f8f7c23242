"""Recorded answers of OpenAI-compatible hosts, in the openai SDK's eyes and in ours.

The hosts here name the openai SDK as their own, or have none that reads chat chunks.
"""

from __future__ import annotations

from dataclasses import replace

import openai
import orjson
import pytest

from reflex_core.codecs.openai_chat import CODEC
from reflex_core.errors import ApiError
from reflex_core.render import completion_json
from reflex_core.types import ChatRequest, ErrorEvent, Event
from tests.codecs.oracle_contract import (
    ChoiceSummary,
    Summary,
    accumulate,
    check_events,
    error_of,
    fold,
    openai_chunks,
    openai_client,
    openai_reads_json,
    openai_summary,
    parse_arguments,
    same_however_cut,
    summary,
    target_for,
)
from tests.wire import Case, params

HOSTS = (
    "openai-chat",
    "azure-openai",
    "deepseek-chat",
    "openrouter-chat",
    "xai-chat",
    "openai-compat-other",
)
ALL = (*HOSTS, "groq-chat", "mistral-chat")
TARGET = target_for("openai-chat")

NOT_CHAT = {
    "openai-chat/langchain-openai--test-schema-parsing-failures--1": "an answer of LangSmith",
    "openai-compat-other/rust-genai--minimax-chat-response-000": "Anthropic's protocol",
    "openai-compat-other/rust-genai--minimax-stream-response-000": "Anthropic's protocol",
}
UNREAD = {
    "openai-compat-other/ruby-llm--chat-with-extended-thinking-gpustack-qwen3-streams-thinking"
    "-41e299": "the failure is an SSE field line `error:`, which the SDK ignores",
    "azure-openai/openllmetry--test-chat-content-filtering": "the filtered choice has no message",
    "openai-compat-other/vercel-ai--cererebras-structured-output-tools-1": "two calls at one "
    "index, which the SDK joins into one",
}
"""What the SDK cannot read as it was meant. What we read is checked in test_unread."""
FINISHES = {"eos": "stop", "function_call": "tool_calls", None: "stop", "": "tool_calls"}
"""Finish reasons that OpenAI clients would not understand; None and "" only in NO_FINISH."""
NO_FINISH = {
    "openai-chat/dd-trace-py--chat-completion-image-input": "finish_details instead",
    "openai-compat-other/dd-trace-py--completion-stream-multiple-choices-proxy": "second choice",
    "openai-compat-other/pydantic-ai--test-snowflake-model-streaming": "Snowflake sends none",
    "openai-compat-other/pydantic-ai--test-snowflake-thinking-streaming": "Snowflake sends none",
    "openai-compat-other/pydantic-ai--test-snowflake-thinking": "Snowflake sends none",
}


def request_of(case: Case) -> ChatRequest:
    body = case.request or {"model": "m", "messages": []}
    return ChatRequest(orjson.dumps(body), body, body.get("model", "m"), case.streaming)


def decoded(case: Case) -> list[Event]:
    if case.meta["response_file"].endswith(".sse"):
        return same_however_cut(CODEC, request_of(case), TARGET, case.body)
    events = CODEC.decode_json(request_of(case), TARGET, case.body)
    check_events(events)
    return events


def expected(case: Case, theirs: Summary) -> Summary:
    """The SDK's reading with finish reasons in OpenAI's words."""
    choices: list[ChoiceSummary] = []
    for choice in theirs.choices:
        reason = choice.finish_reason
        assert reason or case.id in NO_FINISH
        if case.id.endswith("chat-completion-image-input"):
            reason = "length"
        choices.append(replace(choice, finish_reason=FINISHES.get(reason, reason)))
    return replace(theirs, choices=tuple(choices))


@pytest.mark.parametrize(
    "case", params(*HOSTS, errors=False, keep=lambda case: case.id not in UNREAD)
)
def test_agrees_with_sdk(case: Case) -> None:
    events = decoded(case)
    failed = error_of(events)
    if case.id in NOT_CHAT:
        assert failed is not None
        return
    streamed = case.meta["response_file"].endswith(".sse")
    if failed is not None:
        same_failure(case, failed, streamed)
    elif streamed:
        assert openai_summary(events) == expected(case, accumulate(openai_chunks(case.body)))
    elif "legacy_function_call" in case.features and case.id not in NO_FINISH:
        legacy_agrees(case, events)
    else:
        theirs = openai_reads_json(case.body)
        assert openai_summary(events) == expected(case, summary(theirs))


def same_failure(case: Case, failed: ErrorEvent, streamed: bool) -> None:
    """The SDK finds the same failure in the stream; in a 200 JSON body it does not look for one."""
    if streamed:
        with pytest.raises(openai.APIError) as caught:
            openai_chunks(case.body)
        assert caught.value.message == failed.error.message
    else:
        theirs = openai_reads_json(case.body)
        assert not theirs.choices
        assert theirs.to_dict()["error"]["message"] == failed.error.message  # pyright: ignore


def legacy_agrees(case: Case, events: list[Event]) -> None:
    """An answer to `functions`: events are tool calls, the client sees `function_call` again."""
    theirs = openai_reads_json(case.body)
    ours = openai_reads_json(completion_json(fold(events), legacy_functions=True))
    for mine, other in zip(ours.choices, theirs.choices, strict=True):
        assert mine.message.function_call == other.message.function_call
        assert mine.finish_reason == other.finish_reason
    call = theirs.choices[0].message.function_call
    assert call is not None
    seen = openai_summary(events).choices[0]
    assert seen.tool_calls == ((call.name, parse_arguments(call.arguments)),)
    assert seen.finish_reason == FINISHES.get(theirs.choices[0].finish_reason)


@pytest.mark.parametrize("case", params(*HOSTS, keep=lambda case: case.id in UNREAD))
def test_unread(case: Case) -> None:
    events = decoded(case)
    if "gpustack" in case.id:
        failed = error_of(events)
        assert failed is not None
        assert failed.error.message.startswith("failed to decode")
    elif "cererebras" in case.id:
        calls = openai_summary(events).choices[0].tool_calls
        assert calls == (("nonUsefulTool", {}), ("nonUsefulTool", {}))
    else:
        assert openai_summary(events).choices == (ChoiceSummary(finish_reason="content_filter"),)


# --------------------------------------------------------------------------- errors


def raised(status: int, body: bytes) -> openai.APIStatusError:
    with openai_client(body, "application/json", status) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="m", messages=[])
        return caught.value


@pytest.mark.parametrize("case", params(*ALL, errors=True))
def test_http_errors_keep_their_meaning(case: Case) -> None:
    ours: ApiError = CODEC.decode_error(case.status, {}, case.body)
    assert ours.status == case.status
    theirs, mine = raised(case.status, case.body), raised(ours.status, ours.to_json())
    assert type(mine) is type(theirs)
    body = theirs.body
    told = body if isinstance(body, str) else body.get("message") or body.get("detail")  # pyright: ignore
    assert told
    assert told in ours.message
    if isinstance(body, dict) and isinstance(body.get("type"), str):
        assert mine.type == body["type"]
    if theirs.param is not None:
        assert mine.param == theirs.param
    if mine.code != "context_length_exceeded" and theirs.code is not None:
        assert mine.code == str(theirs.code)


# --------------------------------------------------------------------------- requests


@pytest.mark.parametrize(
    "case", params(*ALL, keep=lambda case: "model" in (case.request or {}), errors=False)
)
def test_requests_go_through_as_they_are(case: Case) -> None:
    assert case.request
    request = replace(request_of(case), stream=case.request.get("stream") is True)
    sent = CODEC.encode(request, replace(TARGET, model=request.model))
    asked = request.body.get("stream_options") or {}
    if not request.stream or asked.get("include_usage"):
        assert sent.body == request.raw
    else:
        options = {"stream_options": {**asked, "include_usage": True}}
        assert orjson.loads(sent.body) == {**request.body, **options}
    assert sent.dropped == ()
