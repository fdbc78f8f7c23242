"""Which provider answers, with whose key, and what of the client it may see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reflex_core import route
from reflex_core.errors import BadRequest, UpstreamError
from reflex_core.types import Target

from .settings import settings

KEYS = {"ANTHROPIC_API_KEY": "key-a", "GROQ_API_KEY": "key-g", "OPENAI_API_KEY": "key-o"}
CLIENT = {"authorization": "Bearer sk-client"}


def target(
    model: str, headers: dict[str, str] = CLIENT, environ: dict[str, str] = KEYS, **options: Any
) -> Target:
    return route.target(model, settings(**options), headers, environ)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"authorization": "Bearer sk-1"}, "sk-1"),
        ({"authorization": "bearer  sk-1 "}, "sk-1"),
        ({"authorization": "Basic abc"}, "Basic abc"),
        ({"api-key": "k"}, "k"),
        ({"authorization": "", "api-key": "k"}, "k"),
        ({}, None),
    ],
)
def test_credential(headers: dict[str, str], expected: str | None) -> None:
    assert route.credential(headers) == expected


def test_the_clients_key_is_for_openai() -> None:
    assert target("gpt-4o").api_key == "sk-client"
    assert target("gpt-4o", headers={}).api_key == "key-o"
    assert target("claude-sonnet-4-5").api_key == "key-a"
    assert target("groq::x").api_key == "key-g"
    assert target("claude-sonnet-4-5", environ={}).api_key is None


def test_azures_dialect_carries_azures_key() -> None:
    assert target("azure::d", headers={"api-key": "k"}).api_key == "k"
    assert target("azure::d", environ={"AZURE_OPENAI_API_KEY": "own"}).api_key == "own"
    assert target("azure::d", environ={}).api_key is None, "an OpenAI key is not for Azure"


def test_where_it_goes() -> None:
    assert target("gpt-4o").base_url == "https://api.openai.com/v1"
    assert target("claude-sonnet-4-5").base_url == "https://api.anthropic.com/v1"
    moved = target("ollama::x", environ={"OLLAMA_BASE_URL": "http://box:1/"})
    assert (moved.base_url, moved.options, moved.model) == ("http://box:1", {}, "x")
    located = target("vertex::g", environ={"GOOGLE_CLOUD_PROJECT": "", "VERTEX_PROJECT": "p"})
    assert located.options == {"project": "p"}


def test_upstream_moves_the_default_provider_only() -> None:
    upstream = "http://here/v1/"
    assert target("gpt-4o", upstream=upstream).base_url == "http://here/v1"
    assert target("groq::x", upstream=upstream).base_url == "https://api.groq.com/openai/v1"
    assert target("x", upstream=upstream, provider="groq").base_url == "http://here/v1"
    assert target("openai::x", upstream=upstream, provider="groq").base_url.startswith("https://")


def test_maps_and_defaults() -> None:
    assert target("gpt-4o", models="gpt-4o=anthropic::claude-x").provider.name == "anthropic"
    assert target("", models="*=groq::x").provider.name == "openai", "no model, nothing to map"
    assert target("anything", provider="gemini").provider.name == "gemini"
    with pytest.raises(BadRequest) as caught:
        target("nobody::x")
    assert caught.value.error.status == 404


def test_a_missing_key_names_its_variable(tmp_path: Path) -> None:
    route.require_key(target("claude-x"))
    route.require_key(target("ollama::x", environ={}))
    with pytest.raises(UpstreamError, match="ANTHROPIC_API_KEY") as caught:
        route.require_key(target("claude-x", environ={}))
    assert caught.value.error.status == 401
    config = tmp_path / "reflex.toml"
    config.write_text(
        '[providers.own]\nbase_url = "http://x/v1"\nkey_env = ["A", "B"]\nkey_required = true'
    )
    with pytest.raises(UpstreamError, match="A or B"):
        route.require_key(target("own::x", environ={}, config=str(config)))


def test_only_openai_and_azure_see_the_clients_headers() -> None:
    headers = {
        **CLIENT,
        "openai-organization": "org",
        "x-stainless-lang": "python",
        "user-agent": "OpenAI/Python",
        "idempotency-key": "i",
        "cookie": "c",
        "x-reflex-namespace": "n",
    }
    seen = ["openai-organization", "x-stainless-lang", "user-agent", "idempotency-key"]
    for model in ("gpt-4o", "azure::d"):
        assert [name for name, _ in route.forwarded(headers, target(model))] == seen
    for model in ("groq::x", "claude-x", "ollama::x"):
        assert route.forwarded(headers, target(model)) == ()
