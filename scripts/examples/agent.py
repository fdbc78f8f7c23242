"""A small agent: it may look things up before it answers. docs/captured_flows.md tests it offline.

python scripts/examples/agent.py "How many apples are left?"
"""

from __future__ import annotations

import json
import sys
from typing import Any

import openai

MODEL = "gpt-4o-mini"
STOCK = {"apples": 12, "pears": 0}
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "stock",
            "description": "How many of an item are left.",
            "parameters": {
                "type": "object",
                "properties": {"item": {"type": "string"}},
                "required": ["item"],
            },
        },
    }
]


def stock(item: str) -> str:
    return json.dumps({"item": item, "left": STOCK.get(item)})


def answer(question: str) -> str:
    """Asks until the model calls no more tools. The last answer is streamed."""
    client = openai.OpenAI(max_retries=0)
    messages: list[Any] = [
        {"role": "system", "content": "You help in a shop. Look things up before you answer."},
        {"role": "user", "content": question},
    ]
    for _ in range(5):
        reply = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)
        message = reply.choices[0].message
        if not message.tool_calls:
            break
        messages.append(message.to_dict())
        for call in message.tool_calls:
            found = stock(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": found})
    messages.append({"role": "user", "content": "Say it in one friendly sentence."})
    chunks = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


if __name__ == "__main__":
    print(answer(" ".join(sys.argv[1:]) or "How many apples are left?"))
