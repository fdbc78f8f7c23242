"""The picture of `reflex_replay=plan`: a made-up capture of two weeks, read by the real mitmdump."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mitmproxy.connection import Client, Server
from mitmproxy.http import HTTPFlow, Request, Response
from mitmproxy.io import FlowWriter

from tests.e2e.browser import Browser

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "pictures" / "plan.png"
START = 1_767_571_200.0  # Monday, 5 January 2026, UTC
DAYS = 14
REQUESTS = 1500

QUESTIONS = [
    ("How do I get a refund?", "How can I get a refund?", "how do i get a refund"),
    ("How long does delivery take?", "How long will delivery take?"),
    ("Can I change my delivery address?", "How do I change my delivery address?"),
    ("Do you ship to Norway?", "Is shipping to Norway possible?"),
    ("Do you ship to Sweden?",),
    ("How do I cancel my subscription?", "How can I cancel my subscription?"),
    ("What are your opening hours?", "When are you open?"),
    ("I forgot my password, what do I do?", "What do I do when I forgot my password?"),
    ("Is there a discount for students?", "Do students get a discount?"),
    ("Where is my invoice?", "Where do I find my invoice?"),
    ("Which sizes do you have in stock?",),
    ("Can I pay by invoice?", "Is it possible to pay by invoice?"),
]
ITEMS = ["jacket", "tent", "stove", "rucksack", "sleeping bag", "lamp", "rope", "bottle"]
MODELS = {"gpt-4o": 5, "gpt-4o-mini": 4, "acme-support-7b": 1}


def plan(browser: Browser, folder: Path) -> None:
    """Into docs/pictures/plan.png."""
    capture, page = folder / "webshop.mitm", folder / "plan.html"
    with capture.open("wb") as file:
        writer = FlowWriter(file)
        for flow in traffic():
            writer.add(flow)
    subprocess.run(
        [
            *(Path(sys.executable).parent / "mitmdump", "-q", "-nr", capture),
            *("-s", ROOT / "addons" / "reflex.py", "--set", "reflex_replay=plan"),
            *("--set", f"reflex_report={page}", "--set", f"confdir={folder / 'mitmproxy'}"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    tab = browser.page(page.as_uri(), width=1000, height=1290)
    tab.screenshot(TARGET, whole=False)
    tab.close()


def traffic() -> Iterator[HTTPFlow]:
    """Busy on working days; the same in every run."""
    chance = random.Random(11)
    weights = [1 / (rank + 2) for rank in range(len(QUESTIONS))]
    busy = [
        at for at in (chance.uniform(0, DAYS * 86_400) for _ in range(8 * REQUESTS)) if is_busy(at)
    ]
    for number, at in enumerate(sorted(busy[:REQUESTS])):
        if chance.random() < 0.62:
            question = chance.choice(chance.choices(QUESTIONS, weights)[0])
        else:
            item = chance.choice(ITEMS)
            question = f"Order {chance.randrange(10_000, 99_999)}: where is my {item}?"
        system = "You are the assistant of a web shop for outdoor gear."
        if chance.random() < 0.15:  # one of the clients tells the time, and a request id
            system += f" It is {clock(at)}. Request: req_{chance.randrange(16**10):010x}"
        (model,) = chance.choices(list(MODELS), list(MODELS.values()))
        yield exchange(chance, number, START + at, model, system, question)


def is_busy(at: float) -> bool:
    day, hour = int(at // 86_400), at % 86_400 / 3600
    return day % 7 < 5 and 7 < hour < 19


def clock(at: float) -> str:
    minutes = int(at // 60)
    return f"2026-01-{5 + minutes // 1440:02}T{minutes // 60 % 24:02}:{minutes % 60:02}:00Z"


def exchange(
    chance: random.Random, number: int, at: float, model: str, system: str, question: str
) -> HTTPFlow:
    """A flow as a plain mitmdump records it."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    prompt, output = chance.randint(500, 2500), chance.randint(80, 500)
    answer: dict[str, Any] = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": int(at),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Gladly. " * (output // 2)},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
        },
    }
    flow = HTTPFlow(Client(peername=("", 0), sockname=("", 0)), Server(address=None))
    flow.request = Request.make(
        "POST",
        "https://api.openai.com/v1/chat/completions",
        json.dumps({"model": model, "messages": messages}),
        {"authorization": "Bearer sk-made-up", "content-type": "application/json"},
    )
    status = 429 if chance.random() < 0.01 else 200
    flow.response = Response.make(status, json.dumps(answer), {"content-type": "application/json"})
    flow.request.timestamp_start = flow.request.timestamp_end = at
    flow.response.timestamp_start = at + 0.4
    flow.response.timestamp_end = at + 0.5 + output * chance.uniform(0.008, 0.02)
    return flow
