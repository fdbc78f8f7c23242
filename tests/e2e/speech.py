"""What the tests' OpenAI-speaking provider says."""

from __future__ import annotations

import json
from typing import Any

from .provider import Answer, Received, sse

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-upstream",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }


def text_frames(*pieces: str) -> list[bytes]:
    """A whole text answer, with the usage chunk."""
    values = [chunk({"role": "assistant", "content": ""})]
    values += [chunk({"content": piece}) for piece in pieces]
    values.append(chunk({}, "stop"))
    values.append({**chunk({}), "choices": [], "usage": USAGE})
    return sse(*values)


def tool_frames(name: str, *arguments: str) -> list[bytes]:
    call = {"index": 0, "id": "call_1", "type": "function"}
    values = [
        chunk({"role": "assistant", "content": None}),
        chunk({"tool_calls": [{**call, "function": {"name": name, "arguments": ""}}]}),
    ]
    values += [
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        for piece in arguments
    ]
    values.append(chunk({}, "tool_calls"))
    return sse(*values)


def completion(message: dict[str, Any], finish: str = "stop") -> dict[str, Any]:
    return {
        "id": "chatcmpl-upstream",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4o-2024-08-06",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "refusal": None, **message},
                "logprobs": None,
                "finish_reason": finish,
            }
        ],
        "usage": USAGE,
    }


def echo(request: Received) -> Answer:
    """Answers with the last message's text: as a stream in pieces, or as JSON."""
    body = request.json
    text = str(body["messages"][-1]["content"])
    if body.get("stream"):
        pieces = ["You said: ", *[text[i : i + 4] for i in range(0, len(text), 4)]]
        return Answer(text_frames(*pieces), headers={"content-type": "text/event-stream"})
    return Answer([json.dumps(completion({"content": f"You said: {text}"})).encode()])


WEATHER = {"city": "Zürich", "days": 2}
PERSON = {"name": "Ada Lovelace", "born": 1815}


def act(request: Received) -> Answer:
    """Calls the first tool for the weather, fills in a schema with a person, fails when told to."""
    body = request.json
    if tools := body.get("tools"):
        name, text = tools[0]["function"]["name"], json.dumps(WEATHER)
        call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": text}}
        message, finish = {"content": None, "tool_calls": [call]}, "tool_calls"
        frames = tool_frames(name, *[text[i : i + 5] for i in range(0, len(text), 5)])
    elif body.get("response_format", {}).get("type") == "json_schema":
        text = json.dumps(PERSON)
        message, finish = {"content": text}, "stop"
        frames = text_frames(*[text[i : i + 5] for i in range(0, len(text), 5)])
    elif str(body["messages"][-1]["content"]).startswith("fail "):
        error = {"message": "No.", "type": "authentication_error", "param": None, "code": "bad_key"}
        return Answer([json.dumps({"error": error}).encode()], status=401)
    else:
        return echo(request)
    if body.get("stream"):
        return Answer(frames, headers={"content-type": "text/event-stream"})
    return Answer([json.dumps(completion(message, finish)).encode()])
