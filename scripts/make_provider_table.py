"""Writes docs/provider_features.md: what each codec makes of each feature, found by asking it.

A test compares the page with what the codecs do today. `python scripts/make_provider_table.py`
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reflex_core import catalog, codecs
from reflex_core.errors import BadRequest
from reflex_core.inbound import parse
from reflex_core.types import Target

PAGE = Path(__file__).resolve().parents[1] / "docs" / "provider_features.md"

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
USER = {"role": "user", "content": "hi"}
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":"b"}'}}


def content(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, *parts]}]}


FEATURES: dict[str, dict[str, Any]] = {
    "system and developer messages": {
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "developer", "content": "d"},
            USER,
        ]
    },
    "consecutive messages of one role": {"messages": [USER, USER]},
    "image as data URL": content(
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    ),
    "image by URL": content(
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    ),
    "audio": content({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
    "PDF file": content(
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
        }
    ),
    "tools": {"tools": [TOOL]},
    "tool results": {
        "tools": [TOOL],
        "messages": [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "x"},
        ],
    },
    "legacy functions": {"functions": [TOOL["function"]]},
    "tool_choice none": {"tools": [TOOL], "tool_choice": "none"},
    "tool_choice required": {"tools": [TOOL], "tool_choice": "required"},
    "tool_choice by name": {
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    },
    "parallel_tool_calls false": {"tools": [TOOL], "parallel_tool_calls": False},
    "response_format json_object": {"response_format": {"type": "json_object"}},
    "response_format json_schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": SCHEMA, "strict": True},
        }
    },
    "max_tokens": {"max_tokens": 50},
    "temperature": {"temperature": 0.5},
    "temperature above 1": {"temperature": 1.5},
    "top_p": {"top_p": 0.5},
    "stop": {"stop": ["END"]},
    "seed": {"seed": 1},
    "n above 1": {"n": 2},
    "presence_penalty": {"presence_penalty": 0.5},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "logit_bias": {"logit_bias": {"50256": -100}},
    "reasoning_effort": {"reasoning_effort": "high"},
    "user": {"user": "u-1"},
    "metadata": {"metadata": {"k": "v"}},
    "streaming": {"stream": True},
}

SUBJECTS = {
    "openai": "gpt-4o",
    "anthropic": "claude-sonnet-4-6",
    "gemini": "gemini-2.5-flash",
    "ollama": "qwen3:8b",
    "cohere": "command-a-03-2025",
    "bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "groq": "openai/gpt-oss-120b",
    "mistral": "mistral-large-latest",
    "deepseek": "deepseek-chat",
}

HEAD = """# Features by provider

What each protocol makes of a request's features, as found by asking the codecs (a test keeps this page
current): **yes** means sent in the provider's own terms, **dropped** left out and named in the answer's
`X-Reflex-Dropped` header, **400** refused with an error that names the parameter. How each is mapped
is told on the provider's own page under [providers/](providers/); other models of a provider may differ.
Groq, Mistral and DeepSeek stand for the OpenAI-compatible hosts: what they do not know they are sent all
the same, unless the catalogue knows better.

"""


def verdict(provider: str, model: str, feature: dict[str, Any]) -> str:
    """yes, dropped or 400."""
    body = {"model": model, "messages": [USER], **feature}
    row = catalog.PROVIDERS[provider]
    options = {"region": "us-east-1"}
    target = Target(row, model, row.base_url.format(region="us-east-1"), "key", options)
    try:
        sent = codecs.get(row.codec).encode(parse(json.dumps(body).encode()), target)
    except BadRequest:
        return "400"
    return "dropped" if sent.dropped else "yes"


def page() -> str:
    lines = ["| feature | " + " | ".join(SUBJECTS) + " |", "| --- " * (len(SUBJECTS) + 1) + "|"]
    for name, feature in FEATURES.items():
        cells = [verdict(provider, model, feature) for provider, model in SUBJECTS.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    models = ", ".join(f"{model} ({provider})" for provider, model in SUBJECTS.items())
    return HEAD + "\n".join(lines) + f"\n\nAsked as: {models}.\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
