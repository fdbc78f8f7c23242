from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from reflex_core import catalog, codecs
from reflex_core.catalog import PROVIDERS, QUIRKS, custom_provider, models_list, resolve
from reflex_core.errors import BadRequest, ConfigError


def where(model: str, default: str | None = None, **aliases: str) -> tuple[str, str]:
    provider, name = resolve(model, default_provider=default, aliases=aliases, providers=PROVIDERS)
    return provider.name, name


# --------------------------------------------------------------------------- rows


@pytest.mark.parametrize("row", PROVIDERS.values(), ids=PROVIDERS.keys())
def test_rows_are_sound(row: Any) -> None:
    assert row.codec in codecs.NAMES
    assert re.match(r"https?://[^/]+|mock:", row.base_url)
    assert not row.base_url.endswith("/")
    assert row.key_env or not row.key_required
    assert set(row.quirks) <= set(QUIRKS)
    assert row.docs


@pytest.mark.parametrize("row", PROVIDERS.values(), ids=PROVIDERS.keys())
def test_rows_pass_the_checks_for_user_rows(row: Any) -> None:
    """Whatever a built-in row says, a user could have said."""
    table = {
        "name": "mine",
        "codec": row.codec,
        "base_url": "https://host.test/v1",
        "key_env": list(row.key_env),
        "auth": row.auth,
        "key_required": row.key_required,
        "headers": dict(row.headers),
        "models": list(row.models),
        "quirks": {k: list(v) if isinstance(v, tuple) else v for k, v in row.quirks.items()},
        "options_env": {k: list(v) for k, v in row.options_env.items()},
        "docs": row.docs,
    }
    made = custom_provider(table)
    assert made.quirks == row.quirks
    assert made.options_env == row.options_env
    assert (made.codec, made.key_env, made.auth) == (row.codec, row.key_env, row.auth)


def test_every_quirk_can_be_set_by_a_user() -> None:
    assert set(catalog._QUIRK_CHECKS) == set(QUIRKS)


@pytest.mark.parametrize(
    ("model", "continues"),
    [
        ("claude-3-7-sonnet-20250219", True),
        ("claude-sonnet-4-20250514", True),
        ("claude-sonnet-4-5-20250929", True),
        ("claude-opus-4-6", False),
        ("claude-sonnet-4-6", False),
        ("claude-opus-5", False),
    ],
)
def test_claude_continues_an_answer_up_to_4_5(model: str, continues: bool) -> None:
    pattern = PROVIDERS["anthropic"].quirks["continues_models"]
    assert bool(re.match(pattern, model)) == continues


# --------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o", "openai"),
        ("o3-mini", "openai"),
        ("ft:gpt-4o:me", "openai"),
        ("claude-sonnet-4-5", "anthropic"),
        ("gemini-2.5-flash", "gemini"),
        ("models/gemini-2.5-flash", "gemini"),
        ("command-a-03-2025", "cohere"),
        ("mistral-large-latest", "mistral"),
        ("open-mistral-nemo", "mistral"),
        ("deepseek-chat", "deepseek"),
        ("grok-4", "xai"),
        ("sonar", "perplexity"),
        ("sonar-pro", "perplexity"),
        ("sonarqube", "openai"),
        ("kimi-k3", "moonshot"),
        ("glm-4.7", "zai"),
        ("MiniMax-M2.7", "minimax"),
        ("anthropic.claude-3-haiku-20240307-v1:0", "bedrock"),
        ("us.amazon.nova-lite-v1:0", "bedrock"),
        ("mock", "mock"),
        ("mockery", "openai"),
    ],
)
def test_name_picks_provider(model: str, provider: str) -> None:
    assert where(model) == (provider, model)


def test_prefix_forces_provider() -> None:
    assert where("groq::openai/gpt-oss-20b", "anthropic") == ("groq", "openai/gpt-oss-20b")
    assert where("openai::claude-x") == ("openai", "claude-x")


def test_configured_default_beats_the_name() -> None:
    assert where("claude-sonnet-4-5", "openrouter") == ("openrouter", "claude-sonnet-4-5")


def test_aliases() -> None:
    aliases = {
        "gpt-4o": "anthropic::claude-sonnet-4-5",
        "fast": "gemini-2.5-flash",
        "gpt-4*": "groq::llama",
        "*": "openrouter::*",
    }

    def ask(model: str) -> tuple[str, str]:
        provider, name = resolve(model, default_provider=None, aliases=aliases, providers=PROVIDERS)
        return provider.name, name

    assert ask("gpt-4o") == ("anthropic", "claude-sonnet-4-5")
    assert ask("fast") == ("gemini", "gemini-2.5-flash")
    assert ask("gpt-4.1") == ("groq", "llama")
    assert ask("o3") == ("openrouter", "o3")
    assert ask("mistral::m") == ("mistral", "m"), "an explicit provider beats patterns"
    assert where("xgpt-4", **{"gpt-4*": "groq::x"}) == ("openai", "xgpt-4")


def test_unknown_provider_is_a_404() -> None:
    with pytest.raises(BadRequest) as caught:
        where("nowhere::m")
    assert caught.value.error.status == 404
    assert caught.value.error.param == "model"
    assert "nowhere" in caught.value.error.message


def test_models_list() -> None:
    listing = models_list(
        PROVIDERS["anthropic"], {"gpt-4o": "groq::llama", "mine": "claude-x", "*": "mock::m"}
    )
    owners = {item["id"]: item["owned_by"] for item in listing["data"]}
    assert listing["object"] == "list"
    assert owners["gpt-4o"] == "groq"
    assert owners["mine"] == "anthropic"
    assert owners["claude-haiku-4-5"] == "anthropic"
    assert "*" not in owners
    assert all(item["object"] == "model" for item in listing["data"])


# --------------------------------------------------------------------------- the user's rows


def test_new_row() -> None:
    row = custom_provider({"name": "lab", "base_url": "http://lab.test/v1/", "key_env": "LAB_KEY"})
    assert (row.name, row.codec, row.base_url) == ("lab", "openai-chat", "http://lab.test/v1")
    assert (row.key_env, row.key_required) == (("LAB_KEY",), True)


def test_new_row_without_key_needs_none() -> None:
    assert not custom_provider({"name": "lab", "base_url": "http://lab.test"}).key_required


def test_known_row_is_changed() -> None:
    row = custom_provider({"name": "azure", "base_url": "https://me.openai.azure.com"})
    assert row.auth == "api-key"
    assert row.quirks["azure"]
    assert "base_url" not in row.options_env, "the file's address beats the environment's"
    assert "api_version" in row.options_env


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("codec", "soap", "openai-chat"),
        ("base_url", "ftp://x", "http:// or https://"),
        ("base_url", 7, "http:// or https://"),
        ("key_env", [1], "a name or a list of names"),
        ("auth", "basic", "bearer"),
        ("key_required", "yes", "true or false"),
        ("headers", ["x"], "a table"),
        ("headers", {"x": 1}, "text"),
        ("models", 3, "a name or a list of names"),
        ("quirks", 3, "a table"),
        ("quirks", {"quirky": 1}, "developer_role"),
        ("quirks", {"azure": "yes"}, "true or false"),
        ("quirks", {"continues": "maybe"}, "prefill or prefix"),
        ("quirks", {"continues_models": "("}, "a regular expression"),
        ("quirks", {"max_tokens": 0}, "a number of tokens"),
        ("options_env", {"region": 1}, "a name or a list of names"),
        ("docs", 1, "text"),
        ("colour", "red", "base_url"),
    ],
)
def test_bad_row_names_key_and_what_is_allowed(key: str, value: Any, allowed: str) -> None:
    table = {"name": "lab", "base_url": "http://lab.test", key: value}
    with pytest.raises(ConfigError) as caught:
        custom_provider(table)
    text = str(caught.value)
    assert f"providers.lab.{key}" in text
    assert allowed in text


@pytest.mark.parametrize("name", ["", "My Lab", "a::b"])
def test_bad_name(name: str) -> None:
    with pytest.raises(ConfigError):
        custom_provider({"name": name, "base_url": "http://lab.test"})


def test_new_row_needs_an_address() -> None:
    with pytest.raises(ConfigError, match=r"providers\.lab\.base_url"):
        custom_provider({"name": "lab"})


# --------------------------------------------------------------------------- the reference page

PAGE = (Path(__file__).parents[1] / "docs" / "providers.md").read_text()


@pytest.mark.parametrize("row", PROVIDERS.values(), ids=PROVIDERS.keys())
def test_page_has_the_row(row: Any) -> None:
    keys = ", ".join(f"`{name}`" for name in row.key_env) or "none"
    optional = " (optional)" if row.key_env and not row.key_required else ""
    assert f"| {row.name} | {row.codec} | `{row.base_url}` | {keys}{optional} |" in PAGE


@pytest.mark.parametrize(("name", "meaning"), QUIRKS.items())
def test_page_has_the_quirk(name: str, meaning: str) -> None:
    assert f"| `{name}` | {meaning} |" in PAGE


def test_page_has_every_key_of_a_row() -> None:
    for key in catalog._CHECKS:
        assert f"`{key}`" in PAGE


def test_page_example_is_a_valid_row() -> None:
    example = PAGE.split("```toml\n")[1].split("```")[0]
    row = custom_provider({"name": "lab", **tomllib.loads(example)["providers"]["lab"]})
    assert row.quirks["drop"] == ("user", "store")
    assert row.headers == (("x-team", "search"),)
