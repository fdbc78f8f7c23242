"""Recorded exchanges, in as few words as possible."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reflex_core.config import Config
from reflex_core.replay.recorded import Asked, Reader, Recorded
from tests.e2e.speech import completion, text_frames
from tests.settings import settings

URL = "https://api.openai.com/v1/chat/completions"
SECRET = b"s" * 32
NOW = 1_767_225_600.0


def config(folder: Path | None = None, **options: Any) -> Config:
    return settings(folder, **options)


def body(question: str = "hi", system: str = "", **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": question})
    return {"model": "gpt-4o", "messages": messages, **more}


def recorded(asked: Any = None, number: int = 1, at: float = NOW, **fields: Any) -> Recorded:
    """A plain JSON exchange that took two seconds."""
    asked = body() if asked is None else asked
    base = Recorded(
        number=number,
        url=URL,
        kind="chat",
        deployment=None,
        request_headers={"authorization": "Bearer sk-one"},
        request_body=json.dumps(asked).encode(),
        status=200,
        response_headers={"content-type": "application/json"},
        response_body=json.dumps(completion({"content": "Hello."})).encode(),
        started=at,
        ended=at + 2,
    )
    return replace(base, **fields)


def streamed(*pieces: str, **fields: Any) -> Recorded:
    frames = b"".join(text_frames(*pieces))
    headers = {"content-type": "text/event-stream"}
    fields = {"response_headers": headers, "response_body": frames, **fields}
    return recorded(body(stream=True), **fields)


def with_header(one: Recorded, **headers: str) -> Recorded:
    """Answer headers, `_` for `-`."""
    more: Mapping[str, str] = {name.replace("_", "-"): value for name, value in headers.items()}
    return replace(one, response_headers={**one.response_headers, **more})


def asked(one: Recorded, **options: Any) -> Asked:
    """What the reader makes of a good one."""
    found = Reader(config(**options), SECRET).read(one)
    assert isinstance(found, Asked), found
    return found
