"""Settings from the command line, the environment and a file: typed, or one line that says why not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.config import Config, build
from reflex_core.errors import ConfigError
from reflex_core.options import OPTIONS


def refused(values: dict[str, Any], environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        build(values, environ or {})
    message = str(caught.value)
    assert "\n" not in message
    return message


def toml(folder: Path, text: str) -> dict[str, str]:
    path = folder / "reflex.toml"
    path.write_text(text)
    return {"config": str(path)}


# ---------------------------------------------------------------------- where values come from


def test_defaults() -> None:
    config = build({}, {})
    assert (config.provider, config.upstream, config.models) == ("", "", {})
    assert config.hosts == ("api.openai.com",)
    assert (config.ttl, config.max_answer, config.cache) == (30 * 86400, 4 * 2**20, True)
    assert config.storage_path.name == "mitmproxy-reflex"
    assert "openai" in config.providers


def test_every_option_has_a_place() -> None:
    """Names of options that only stand for others are not kept."""
    fields = {field.name for field in dataclasses.fields(Config)}
    names = {option.name for option in OPTIONS}
    assert names - fields == {"config", "model_path"}
    assert fields - names == {"providers", "prices"}


def test_the_option_comes_first_then_the_environment_then_the_file(tmp_path: Path) -> None:
    file = toml(tmp_path, 'ttl = "1h"\nnamespace = "file"\nretries = 1\n')
    environ = {"REFLEX_NAMESPACE": "environment", "REFLEX_RETRIES": "5"}
    config = build({**file, "retries": 7}, environ)
    assert (config.ttl, config.namespace, config.retries) == (3600, "environment", 7)
    config = build({}, {**environ, "REFLEX_CONFIG": file["config"]})
    assert (config.ttl, config.namespace, config.retries) == (3600, "environment", 5)


def test_an_empty_environment_variable_is_a_value() -> None:
    assert build({}, {"REFLEX_NAMESPACE": ""}).namespace == ""
    assert "REFLEX_TTL=: must be a duration" in refused({}, {"REFLEX_TTL": ""})


def test_a_whole_file(tmp_path: Path) -> None:
    config = build(
        toml(
            tmp_path,
            """
            provider = "own"
            hosts = ["API.OpenAI.com.", "*.openai.azure.com"]
            cache = true
            max_answer = "1m"
            shared_namespaces = ["a", "b"]
            fallbacks = ["groq::x", "gpt-4o=own::y"]

            [models]
            fast = "own::tiny"
            "gpt-*" = "groq::big"

            [providers.own]
            base_url = "http://box:8000/v1/"
            quirks.drop = ["seed"]

            [providers.groq]
            headers = { x-team = "a" }

            [prices]
            tiny = { input = 1, output = 2.5 }
            """,
        ),
        {},
    )
    assert config.provider == "own"
    assert config.hosts == ("api.openai.com", "*.openai.azure.com")
    assert config.max_answer == 2**20
    assert config.shared_namespaces == {"a", "b"}
    assert config.fallbacks == (("*", "groq::x"), ("gpt-4o", "own::y"))
    assert config.models == {"fast": "own::tiny", "gpt-*": "groq::big"}
    assert config.providers["own"].base_url == "http://box:8000/v1"
    assert config.providers["own"].quirks == {"drop": ("seed",)}
    assert config.providers["groq"].headers == (("x-team", "a"),)
    assert config.providers["groq"].key_env == ("GROQ_API_KEY",), "the rest of the row stays"
    assert (config.prices["tiny"].input, config.prices["tiny"].output) == (1, 2.5)


def test_names_of_the_ancestor() -> None:
    environ = {
        "REFLEX_STORAGE_PATH": "/tmp/x",
        "REFLEX_L1_CAPACITY": "7",
        "REFLEX_MODEL_PATH": "/models/m",
        "REFLEX_RERANKER_PATH": "/models/r",
        "REFLEX_RERANKER_THRESHOLD": "0.7",
        "REFLEX_MOCK_PROVIDER": "1",
    }
    config = build({}, environ)
    assert (config.storage_path, config.l1_capacity) == (Path("/tmp/x"), 7)
    assert (config.embedder, config.reranker_path) == ("/models/m", "/models/r")
    assert (config.reranker_threshold, config.provider) == (0.7, "mock")


def test_secrets_are_not_shown() -> None:
    assert "very-secret-token" not in repr(build({"admin_token": "very-secret-token"}, {}))


# ---------------------------------------------------------------------- wrong ones


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"ttl": "soon"}, ["reflex_ttl=soon", "a duration"]),
        ({"max_size": "big"}, ["reflex_max_size=big", "a size"]),
        ({"cache": "maybe"}, ["reflex_cache=maybe", "true or false"]),
        ({"l1_capacity": 0}, ["reflex_l1_capacity=0", "at least 1"]),
        ({"l1_capacity": "x"}, ["reflex_l1_capacity=x", "a whole number"]),
        ({"sampling": "loose"}, ["reflex_sampling=loose", "one of relaxed, strict"]),
        ({"retries": 99}, ["reflex_retries=99", "from 0 to 10"]),
        ({"provider": "nobody"}, ["reflex_provider=nobody", "anthropic"]),
        ({"upstream": "localhost:80"}, ["reflex_upstream=localhost:80", "http:// or https://"]),
        ({"upstream_proxy": "http://"}, ["reflex_upstream_proxy=http://"]),
        ({"models": "gpt-4o"}, ["reflex_models=gpt-4o", "NAME=PROVIDER::MODEL"]),
        ({"models": "a=nobody::x"}, ["reflex_models=nobody::x", "unknown provider 'nobody'"]),
        ({"fallbacks": "groq"}, ["reflex_fallbacks=groq", "PROVIDER::MODEL"]),
        ({"fallbacks": "a=b::c"}, ["reflex_fallbacks=b::c", "unknown provider 'b'"]),
        ({"admin_token": "short"}, ["reflex_admin_token", "at least 16 characters"]),
        ({"offline": True, "cache": False}, ["reflex_offline=true", "reflex_cache=true"]),
        ({"report": "/x.json"}, ["reflex_report=/x.json", "reflex_replay"]),
        ({"report": "/x.html", "replay": "warm"}, ["reflex_report=/x.html", ".json"]),
        ({"report": "/no/x.json", "replay": "plan"}, ["reflex_report=/no/x.json", "/no"]),
        ({"config": "/no/such.toml"}, ["reflex_config=/no/such.toml", "cannot be read"]),
    ],
    ids=str,
)
def test_wrong_values(values: dict[str, Any], parts: list[str]) -> None:
    message = refused(values)
    for part in parts:
        assert part in message


def test_the_source_is_named(tmp_path: Path) -> None:
    assert refused({}, {"REFLEX_TTL": "x"}).startswith("REFLEX_TTL=x: ")
    assert refused(toml(tmp_path, "ttl = 'x'")).startswith("ttl in the TOML file=x: ")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("ttl = ", "not valid TOML"),
        ("colour = 1", "unknown setting 'colour'"),
        ('config = "x"', "unknown setting 'config'"),
        ("providers = 1", "[providers.NAME]"),
        ("[providers]\nx = 1", "[providers.x]"),
        ("[providers.x]\ncodec = 'openai-chat'", "providers.x.base_url"),
        ("[providers.x]\nbase_url = 'http://x'\ncolour = 1", "providers.x.colour"),
        ("prices = 1", "[prices]"),
        ("[prices]\nm = { input = 1 }", "[prices] m"),
        ("models = 7", "models in the TOML file=7"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, part: str) -> None:
    assert part in refused(toml(tmp_path, text))


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    assert "not valid TOML" in refused({"config": str(tmp_path / "x.toml")})


LETTERS = st.characters(min_codepoint=32, max_codepoint=0x17F, exclude_characters="\x85")


@given(
    st.dictionaries(
        st.sampled_from([option.name for option in OPTIONS if option.name != "config"]),
        st.text(LETTERS, max_size=8) | st.integers(-2, 20) | st.booleans() | st.floats(),
        max_size=4,
    )
)
def test_any_values(values: dict[str, Any]) -> None:
    """They build, or one line says what is wrong."""
    try:
        line = repr(build(values, {}).ttl)
    except ConfigError as error:
        line = str(error)
    assert len(line.splitlines()) == 1


# ---------------------------------------------------------------------- the judge


@pytest.mark.parametrize("judge", ["gpt-4o", "openai::", "::gpt-4o"])
def test_a_judge_names_its_provider(judge: str) -> None:
    assert "must be PROVIDER::MODEL" in refused({"judge": judge})


def test_a_judge_of_an_unknown_provider() -> None:
    assert "unknown provider 'nobody'" in refused({"judge": "nobody::model"})
    assert build({"judge": "openai::gpt-4o"}, {}).judge == "openai::gpt-4o"
