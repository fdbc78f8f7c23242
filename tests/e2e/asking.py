"""Asking through the proxy with the openai SDK, in as few words as possible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import httpx2
import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from .proxy import Proxy

KEY = "sk-client-very-secret"
MODEL = "gpt-4o"


def client(base_url: str, key: str = KEY, **options: Any) -> openai.OpenAI:
    """The SDK without its own retries. To be closed. Its many CA certificates are not loaded."""
    http = httpx2.Client(verify=False, trust_env=False, timeout=30)
    options = {"max_retries": 0, **options}
    return openai.OpenAI(base_url=base_url, api_key=key, http_client=http, **options)


def _body(text: str, more: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


def ask(
    proxy: Proxy, text: str, key: str = KEY, headers: Mapping[str, str] | None = None, **more: Any
) -> tuple[Mapping[str, str], ChatCompletion]:
    """The answer's headers and the whole answer."""
    with client(proxy.base_url, key) as sdk:
        raw = sdk.chat.completions.with_raw_response.create(
            **_body(text, more), extra_headers=headers
        )
        return raw.headers, raw.parse()


def ask_stream(
    proxy: Proxy, text: str, key: str = KEY, headers: Mapping[str, str] | None = None, **more: Any
) -> tuple[Mapping[str, str], list[ChatCompletionChunk]]:
    """The answer's headers and all of its chunks."""
    with client(proxy.base_url, key) as sdk:
        raw = sdk.chat.completions.with_raw_response.create(
            **_body(text, more), stream=True, extra_headers=headers
        )
        return raw.headers, list(raw.parse())


def status(headers: Mapping[str, str]) -> str:
    return headers["x-reflex-status"]


def joined(chunks: Iterable[ChatCompletionChunk]) -> str:
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def is_stored(proxy: Proxy, text: str, key: str = KEY, **more: Any) -> bool:
    """Whether a repeat would be answered without the provider; never asks the provider."""
    try:
        ask(proxy, text, key, {"Cache-Control": "only-if-cached"}, **more)
    except openai.APIStatusError as error:
        if error.code != "not_cached":
            raise
        return False
    return True
