"""Asking through the proxy with the openai SDK, in as few words as possible."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterable, Mapping
from typing import Any

import httpx2
import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from .proxy import Proxy

KEY = "sk-client-very-secret"
AUTH = {"authorization": f"Bearer {KEY}"}
MODEL = "gpt-4o"


def client(base_url: str, key: str = KEY, **options: Any) -> openai.OpenAI:
    """The SDK without its own retries. To be closed. Its many CA certificates are not loaded."""
    http = httpx2.Client(verify=False, trust_env=False, timeout=30)
    options = {"max_retries": 0, **options}
    return openai.OpenAI(base_url=base_url, api_key=key, http_client=http, **options)


def body(text: str, **more: Any) -> dict[str, Any]:
    """A request as a client without SDK would send it."""
    return {"model": MODEL, "messages": [{"role": "user", "content": text}]} | more


def ask(
    proxy: Proxy, text: str, key: str = KEY, headers: Mapping[str, str] | None = None, **more: Any
) -> tuple[Mapping[str, str], ChatCompletion]:
    """The answer's headers and the whole answer."""
    with client(proxy.base_url, key) as sdk:
        raw = sdk.chat.completions.with_raw_response.create(
            **body(text, **more), extra_headers=headers
        )
        return raw.headers, raw.parse()


def ask_stream(
    proxy: Proxy, text: str, key: str = KEY, headers: Mapping[str, str] | None = None, **more: Any
) -> tuple[Mapping[str, str], list[ChatCompletionChunk]]:
    """The answer's headers and all of its chunks."""
    with client(proxy.base_url, key) as sdk:
        raw = sdk.chat.completions.with_raw_response.create(
            **body(text, stream=True, **more), extra_headers=headers
        )
        return raw.headers, list(raw.parse())


def status(headers: Mapping[str, str]) -> str:
    return headers["x-reflex-status"]


def joined(chunks: Iterable[ChatCompletionChunk]) -> str:
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def data_of(text: str) -> list[Any]:
    """The JSON of each event of a stream that ends as it should."""
    lines = [line for line in text.split("\n") if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def text_of(chunks: Iterable[Any]) -> str:
    """`joined` for chunks as plain JSON."""
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


class _Http2Only(ssl.SSLContext):
    """httpx offers HTTP/1.1 first, and mitmproxy takes what is offered first."""

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        super().set_alpn_protocols(["h2"])


def http2_tls(proxy: Proxy) -> ssl.SSLContext:
    """A context that offers nothing but HTTP/2."""
    tls = _Http2Only(ssl.PROTOCOL_TLS_CLIENT)
    tls.load_verify_locations(proxy.ca)
    tls.set_alpn_protocols(())
    return tls


def is_stored(proxy: Proxy, text: str, key: str = KEY, **more: Any) -> bool:
    """Whether a repeat would be answered without the provider; never asks the provider."""
    try:
        ask(proxy, text, key, {"Cache-Control": "only-if-cached"}, **more)
    except openai.APIStatusError as error:
        if error.code != "not_cached":
            raise
        return False
    return True
