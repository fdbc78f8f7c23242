"""Other paths of the API: where they go and with whose key; and the list of models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reflex_core.backends.http_upstream import HttpUpstream
from reflex_core.passthrough import Passthrough, models_reply, passthrough
from reflex_core.reply import Reply
from tests.e2e.provider import Answer, Provider

from .settings import settings

CLIENT = {"authorization": "Bearer sk-client"}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "DEEPSEEK_API_KEY", "AZURE_OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GROQ_API_KEY", "key-of-groq")


def sent(
    path: str = "/files?x=1",
    headers: dict[str, str] = CLIENT,
    deployment: str | None = None,
    **options: Any,
) -> Passthrough:
    found = passthrough(path, headers, deployment, settings(**options))
    assert isinstance(found, Passthrough)
    return found


def refused(
    path: str, headers: dict[str, str] = CLIENT, deployment: str | None = None, **options: Any
) -> tuple[int, str, str]:
    found = passthrough(path, headers, deployment, settings(**options))
    assert isinstance(found, Reply)
    error = json.loads(found.body)["error"]
    return found.status, error["code"], error["message"]


def test_to_openai_with_the_clients_key() -> None:
    found = sent()
    assert found.url == "https://api.openai.com/v1/files?x=1"
    assert dict(found.headers) == {"Authorization": "Bearer sk-client", "api-key": None}
    assert "sk-client" not in repr(found)


def test_to_another_host_with_its_own_key() -> None:
    found = sent(provider="groq")
    assert found.url == "https://api.groq.com/openai/v1/files?x=1"
    assert dict(found.headers) == {
        "Authorization": "Bearer key-of-groq",
        "api-key": None,
        "OpenAI-Organization": None,
        "OpenAI-Project": None,
    }


def test_to_a_server_without_keys(tmp_path: Path) -> None:
    config = tmp_path / "reflex.toml"
    config.write_text('[providers.own]\nbase_url = "http://box/v1"\nheaders = { x-team = "a" }\n')
    headers = dict(sent(provider="own", config=str(config)).headers)
    assert headers["Authorization"] is None
    assert headers["x-team"] == "a"


def test_azures_paths() -> None:
    headers = {"api-key": "k"}
    options = {"provider": "azure", "upstream": "https://me.openai.azure.com"}
    found = sent("/embeddings?api-version=1", headers, "my model", **options)
    assert found.url == (
        "https://me.openai.azure.com/openai/deployments/my%20model/embeddings?api-version=1"
    )
    assert dict(found.headers)["api-key"] == "k"
    assert dict(found.headers)["Authorization"] is None
    options["upstream"] += "/openai/v1"
    assert sent("/files", headers, **options).url.endswith(".com/openai/v1/files")


def test_what_cannot_be_translated() -> None:
    for provider in ("anthropic", "gemini", "mock"):
        status, code, message = refused("/embeddings?secret=1", provider=provider)
        assert (status, code) == (404, "unsupported_endpoint")
        assert provider in message
        assert "/embeddings" in message
        assert "secret" not in message


def test_missing_keys_and_unknown_providers() -> None:
    assert refused("/files", headers={})[:2] == (401, "missing_api_key")
    assert refused("/files", provider="deepseek")[:2] == (401, "missing_api_key")
    assert refused("/embeddings", deployment="nobody::x")[:2] == (404, "model_not_found")


# ---------------------------------------------------------------------- models


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    yield server
    server.close()


def models(server: Provider | None, **options: Any) -> tuple[int, Any]:
    async def ask() -> Reply:
        upstream = HttpUpstream(connect_timeout=5)
        try:
            where = {"upstream": server.url + "/v1"} if server else {}
            return await models_reply(CLIENT, settings(**where, **options), upstream)
        finally:
            await upstream.close()

    reply = asyncio.run(ask())
    return reply.status, json.loads(reply.body)


def ids(listing: Any) -> list[str]:
    assert listing["object"] == "list"
    return [item["id"] for item in listing["data"]]


def test_the_providers_own_list_and_the_maps_names(provider: Provider) -> None:
    provider.reply = lambda request: Answer(
        [b'{"object": "list", "data": [{"id": "gpt-9", "own": 1}, 7, {"id": "fast"}]}']
    )
    status, listing = models(provider, models="fast=groq::x,*=groq::y,more=groq::z")
    assert status == 200
    assert listing["data"][0] == {"id": "gpt-9", "own": 1}
    assert ids(listing)[:2] == ["gpt-9", "fast"]
    assert {"more", "gpt-5"} <= set(ids(listing))
    assert "*" not in ids(listing)
    assert ids(listing).count("fast") == 1
    assert provider.received[0].headers["authorization"] == "Bearer sk-client"
    assert provider.received[0].path == "/v1/models"


@pytest.mark.parametrize(
    "answer",
    [
        Answer([b"not json"]),
        Answer([b'{"data": 7}']),
        Answer([b"no such path"], status=404),
        Answer([b"{}"], status=500),
    ],
    ids=["text", "no list", "404", "500"],
)
def test_without_a_list_the_catalogue_speaks(provider: Provider, answer: Answer) -> None:
    provider.reply = lambda request: answer
    status, listing = models(provider)
    assert status == 200
    assert "gpt-5" in ids(listing)


def test_a_bare_list(provider: Provider) -> None:
    provider.reply = lambda request: Answer([b'[{"id": "one"}]'])
    assert ids(models(provider)[1])[0] == "one"


def test_a_refused_key_is_told(provider: Provider) -> None:
    provider.reply = lambda request: Answer([b'{"error": {"message": "Bad key"}}'], status=401)
    status, body = models(provider)
    assert (status, body["error"]["message"]) == (401, "Bad key")


def test_those_that_are_not_asked(provider: Provider) -> None:
    assert "claude-sonnet-4-5" in ids(models(None, provider="anthropic")[1])
    assert ids(models(None, provider="mock")[1]) == ["mock"]
    assert "gpt-5" in ids(models(provider, offline=True)[1])
    assert models(None, provider="deepseek")[0] == 401
    assert not provider.received


def test_an_unreachable_provider(provider: Provider) -> None:
    url = provider.url
    provider.close()

    async def ask() -> Reply:
        upstream = HttpUpstream(connect_timeout=5)
        try:
            return await models_reply(CLIENT, settings(upstream=url), upstream)
        finally:
            await upstream.close()

    assert asyncio.run(ask()).status == 502
