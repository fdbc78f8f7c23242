"""What a program is told, and how shells read it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reflex_core.cli import environment

BUNDLE = Path("/tmp/bundle.pem")
DUMP = "import json, os, sys; json.dump({k: os.environ.get(k) for k in sys.argv[1:]}, sys.stdout)"
PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)


def test_variables() -> None:
    values = environment.variables("http://127.0.0.1:8080", BUNDLE, {})
    assert values == {
        "HTTPS_PROXY": "http://127.0.0.1:8080",
        "https_proxy": "http://127.0.0.1:8080",
        "NO_PROXY": "localhost,127.0.0.1,::1",
        "no_proxy": "localhost,127.0.0.1,::1",
        "SSL_CERT_FILE": "/tmp/bundle.pem",
        "REQUESTS_CA_BUNDLE": "/tmp/bundle.pem",
        "CURL_CA_BUNDLE": "/tmp/bundle.pem",
        "NODE_EXTRA_CA_CERTS": "/tmp/bundle.pem",
        "CODEX_CA_CERTIFICATE": "/tmp/bundle.pem",
        "NODE_USE_ENV_PROXY": "1",
    }


def test_own_no_proxy_is_kept() -> None:
    own = {"NO_PROXY": "intra.example, .corp.example,localhost", "no_proxy": "10.0.0.0/8"}
    values = environment.variables("http://127.0.0.1:8080", BUNDLE, own)
    wanted = "localhost,127.0.0.1,::1,10.0.0.0/8,intra.example,.corp.example"
    assert values["NO_PROXY"] == values["no_proxy"] == wanted


def test_the_rest_stays() -> None:
    own = {"OPENAI_BASE_URL": "https://api.openai.com/v1", "GIT_SSL_CAINFO": "/git.pem"}
    applied = environment.applied("http://127.0.0.1:8080", BUNDLE, own)
    assert own.items() <= applied.items()


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({}, []),
        ({"OPENAI_BASE_URL": "https://api.openai.com/v1"}, []),
        ({"OPENAI_BASE_URL": "http://localhost:8081/v1"}, []),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:9999/v1"}, ["OPENAI_BASE_URL names 127.0.0.1"]),
        (
            {"OPENAI_BASE_URL": "https://api.groq.com/openai/v1"},
            ["--set reflex_hosts=api.groq.com"],
        ),
        ({"NO_PROXY": "localhost,127.0.0.1"}, []),
        ({"NO_PROXY": "*"}, ["NO_PROXY covers api.openai.com"]),
        ({"NO_PROXY": "openai.com"}, ["NO_PROXY covers api.openai.com"]),
        ({"no_proxy": ".openai.com:443"}, ["NO_PROXY covers api.openai.com"]),
        ({"no_proxy": "api.openai.com"}, ["NO_PROXY covers api.openai.com"]),
        ({"no_proxy": "penai.com,::1,[::1]:80,api.openai.com.example"}, []),
    ],
)
def test_warnings(own: dict[str, str], said: list[str]) -> None:
    found = environment.warnings(own, ("api.openai.com",), "http://127.0.0.1:8081")
    assert len(found) == len(said)
    assert all(text in line for text, line in zip(said, found, strict=True))


@given(st.text(max_size=30))
def test_any_no_proxy_is_read(text: str) -> None:
    environment.warnings({"NO_PROXY": text}, ("api.openai.com",), None)


def read_back(shell: list[str], values: dict[str, str], name: str) -> dict[str, str]:
    """The environment that a program sees after the shell has evaluated our lines."""
    script = environment.exports(values, name)
    dump = f"{sys.executable} -c '{DUMP}' {' '.join(values)}"
    out = subprocess.run(
        [*shell, f"{script}\n{dump}"],
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    return json.loads(out.stdout)


@settings(max_examples=25)
@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z_]{2,8}", fullmatch=True), PRINTABLE, min_size=1))
@example({"QUOTES": 'it\'s "so"', "DOLLAR": "$HOME `id` $(id) \\ !!", "SPACES": " a  b "})
def test_bash_reads_it(values: dict[str, str]) -> None:
    names = {f"X_{name}": value for name, value in values.items()}
    assert read_back(["bash", "-c"], names, "bash") == names


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish_reads_it() -> None:
    values = {"QUOTES": 'it\'s "so"', "DOLLAR": "$HOME (id) \\ \\' end\\"}
    assert read_back(["fish", "-c"], values, "fish") == values


@pytest.mark.skipif(shutil.which("pwsh") is None, reason="needs PowerShell")
def test_powershell_reads_it() -> None:
    values = {"QUOTES": 'it\'s "so"', "DOLLAR": "$HOME `id $(id) \\"}
    assert read_back(["pwsh", "-NoProfile", "-Command"], values, "powershell") == values


def test_lines() -> None:
    """As fish (fish-shell.com/docs, "Quotes") and PowerShell (about_Quoting_Rules) quote."""
    values = {"A": "it's \\ $here"}
    assert environment.exports(values, "fish") == "set -gx A 'it\\'s \\\\ $here'\n"
    assert environment.exports(values, "powershell") == "$env:A = 'it''s \\ $here'\n"
