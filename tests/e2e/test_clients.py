"""Clients that know nothing of Reflex: only their environment is set, in forward and reverse mode."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from .asking import KEY, MODEL, joined, status
from .conftest import Way
from .speech import PERSON, USAGE, WEATHER, act


class GetWeather(BaseModel):
    """The weather of the next days."""

    city: str
    days: int


class Person(BaseModel):
    name: str
    born: int


@pytest.fixture(autouse=True)
def _acts(way: Way) -> None:
    way.stand.provider.reply = act


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def arguments_of(chunks: list[Any]) -> str:
    """The argument text of the only tool call, which has one id, one name and one index."""
    calls = [c for chunk in chunks for c in chunk.choices[0].delta.tool_calls or ()]
    assert [c.function.name for c in calls if c.function.name] == ["GetWeather"]
    assert [c.id for c in calls if c.id] == ["call_1"]
    assert {c.index for c in calls} == {0}
    return "".join(c.function.arguments or "" for c in calls)


def test_openai(way: Way, question: str) -> None:
    with openai.OpenAI() as client:
        create = client.chat.completions.with_raw_response.create
        statuses, answers = [], []
        for _ in range(2):
            raw = create(model=MODEL, messages=user(question))
            statuses.append(status(raw.headers))
            answers.append(raw.parse())
        chunks = list(
            client.chat.completions.create(model=MODEL, messages=user(question), stream=True)
        )
    assert statuses == ["miss", "hit-l1-exact"]
    assert answers[0] == answers[1]
    assert answers[0].choices[0].message.content == f"You said: {question}" == joined(chunks)
    (received,) = way.stand.provider.received
    assert received.path == "/v1/chat/completions"
    assert received.headers["authorization"] == f"Bearer {KEY}", "OpenAI gets the client's key"
    expected = {"model": MODEL, "messages": user(question), "stream": True}
    expected["stream_options"] = {"include_usage": True}
    assert received.json == expected, "a stream, which others can join, and whose usage is stored"


def test_openai_stream(way: Way, question: str) -> None:
    seen: list[list[Any]] = []
    with openai.OpenAI() as client:
        for _ in range(2):
            stream = client.chat.completions.create(
                model=MODEL,
                messages=user(question),
                stream=True,
                stream_options={"include_usage": True},
            )
            seen.append(list(stream))
    for chunks in seen:
        assert joined(chunks) == f"You said: {question}"
        assert len({(c.id, c.created, c.model) for c in chunks}) == 1
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [c.choices[0].finish_reason for c in chunks[-2:-1]] == ["stop"]
        assert chunks[-1].choices == []
        assert chunks[-1].usage.total_tokens == USAGE["total_tokens"]
    assert len(way.stand.provider.received) == 1


def test_openai_async(way: Way, question: str) -> None:
    async def run() -> tuple[list[Any], list[Any]]:
        async with openai.AsyncOpenAI() as client:

            async def ask(text: str) -> Any:
                return await client.chat.completions.create(model=MODEL, messages=user(text))

            answers = await asyncio.gather(*[ask(f"{question} {i}") for i in range(10)])
            stream = await client.chat.completions.create(
                model=MODEL, messages=user(f"{question} 3"), stream=True
            )
            return answers, [chunk async for chunk in stream]

    answers, chunks = asyncio.run(run())
    for i, answer in enumerate(answers):
        assert answer.choices[0].message.content == f"You said: {question} {i}"
    assert joined(chunks) == f"You said: {question} 3"
    assert len(way.stand.provider.received) == 10


def test_openai_tools(way: Way, question: str) -> None:
    tools = [openai.pydantic_function_tool(GetWeather)]
    with openai.OpenAI() as client:
        chunks = list(
            client.chat.completions.create(
                model=MODEL, messages=user(question), tools=tools, stream=True
            )
        )
        whole = client.chat.completions.parse(model=MODEL, messages=user(question), tools=tools)
    assert json.loads(arguments_of(chunks)) == WEATHER
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    (call,) = whole.choices[0].message.tool_calls or ()
    assert call.function.parsed_arguments == GetWeather(**WEATHER)
    assert len(way.stand.provider.received) == 1


def test_openai_stream_helper(way: Way, question: str) -> None:
    """`.stream()` builds snapshots and parses; on a miss and on a hit it sees the same."""
    with openai.OpenAI() as client:
        for _ in range(2):
            with client.chat.completions.stream(
                model=MODEL,
                messages=user(question),
                tools=[openai.pydantic_function_tool(GetWeather)],
            ) as stream:
                kinds = [event.type for event in stream]
                message = stream.get_final_completion().choices[0].message
            assert kinds.count("tool_calls.function.arguments.done") == 1
            (call,) = message.tool_calls or ()
            assert call.function.parsed_arguments == GetWeather(**WEATHER)

            with client.chat.completions.stream(
                model=MODEL, messages=user(question), response_format=Person
            ) as stream:
                kinds = [event.type for event in stream]
                message = stream.get_final_completion().choices[0].message
            assert kinds.count("content.done") == 1
            assert message.parsed == Person(**PERSON)
    assert len(way.stand.provider.received) == 2


def test_openai_legacy_functions(way: Way, question: str) -> None:
    """`functions` is answered with `function_call`, streamed and whole, on misses and hits."""

    def legacy(request: Any) -> Any:
        body = {**request.json, "tools": [{"function": request.json["functions"][0]}]}
        return act(type(request)(request.method, request.path, {}, json.dumps(body).encode()))

    way.stand.provider.reply = legacy
    functions = [openai.pydantic_function_tool(GetWeather)["function"]]
    with openai.OpenAI() as client:
        for _ in range(2):
            chunks = list(
                client.chat.completions.create(
                    model=MODEL, messages=user(question), functions=functions, stream=True
                )
            )
            calls = [c.choices[0].delta.function_call for c in chunks]
            assert "".join(c.arguments or "" for c in calls if c) == json.dumps(WEATHER)
            assert [c.name for c in calls if c and c.name] == ["GetWeather"]
            assert chunks[-1].choices[0].finish_reason == "function_call"
        whole = client.chat.completions.create(
            model=MODEL, messages=user(question), functions=functions
        )
    call = whole.choices[0].message.function_call
    assert call
    assert (call.name, json.loads(call.arguments)) == ("GetWeather", WEATHER)


def test_langchain(way: Way, question: str) -> None:
    model = ChatOpenAI(model=MODEL, max_retries=0)
    assert model.invoke(question).content == f"You said: {question}"
    assert "".join(str(c.content) for c in model.stream(question)) == f"You said: {question}"
    assert len(way.stand.provider.received) == 1, "the stream was answered from the store"
    usage = model.invoke(question).usage_metadata
    assert usage
    assert usage["total_tokens"] == USAGE["total_tokens"]

    bound = model.bind_tools([GetWeather])
    for _ in range(2):
        (call,) = bound.invoke(question).tool_calls
        assert (call["name"], call["args"]) == ("GetWeather", WEATHER)
    person = model.with_structured_output(Person, method="json_schema").invoke(question)
    assert person == Person(**PERSON)
    assert len(way.stand.provider.received) == 3
