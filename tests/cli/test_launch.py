"""The proxy's command line, and what is made of failures. Starting it is tested in test_run."""

from __future__ import annotations

import os
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from reflex_core.cli import launch, settings
from reflex_core.cli.instances import Instance
from reflex_core.cli.launch import Ports
from reflex_core.cli.settings import Settings


@pytest.fixture
def loaded(tmp_path: Path) -> Settings:
    items = [f"confdir={tmp_path}", f"reflex_storage_path={tmp_path}", "reflex_ttl=7d"]
    return settings.load(Namespace(set=items, provider=None), {})


def test_command(loaded: Settings) -> None:
    words = launch.command(loaded, "127.0.0.1", Ports(1, 2))
    text = " ".join(words)
    assert Path(words[0]).name == "mitmdump"
    assert "--mode regular@1 --mode reverse:https://api.openai.com@2" in text
    assert text.endswith("--set reflex_ttl=7d")
    outer = launch.command(loaded, "127.0.0.1", Ports(1, 2), outer="http://corp:3128")
    assert "upstream:http://corp:3128@1" in outer


def test_mitmweb_leaves_our_port_alone(loaded: Settings) -> None:
    words = launch.command(loaded, "127.0.0.1", Ports(8080, 8081), ui="mitmweb")
    assert words[-2:] == ["--web-port", "8082"]
    own = replace(loaded, mitmproxy={"web_port": ("9000",)})
    assert "--web-port" not in launch.command(own, "127.0.0.1", Ports(8080, 8081), ui="mitmweb")


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, ""),
        ({"HTTPS_PROXY": "http://corp:3128"}, "http://corp:3128"),
        ({"https_proxy": "corp:3128"}, "http://corp:3128"),
        ({"ALL_PROXY": "http://corp:3128"}, "http://corp:3128"),
        ({"ALL_PROXY": "socks5://corp:1080"}, ""),
        ({"HTTPS_PROXY": "http://127.0.0.1:8080"}, ""),
        ({"HTTPS_PROXY": "http://127.0.0.1:8888"}, "http://127.0.0.1:8888"),
        ({"HTTPS_PROXY": ""}, ""),
    ],
)
def test_outer_proxy(environ: dict[str, str], found: str, loaded: Settings) -> None:
    state = launch.state(loaded, "127.0.0.1", Ports(8080, 8081), "serve", 1, {})
    ours = [Instance(Path("/x"), "id", state)]
    assert launch.outer_proxy(environ, ours) == found


def test_passwords_stay_off_the_command_line(loaded: Settings) -> None:
    spoken, env, notes = launch.with_outer("http://me:secret@corp:3128", loaded, {})
    assert spoken == ""
    assert env["REFLEX_UPSTREAM_PROXY"] == "http://me:secret@corp:3128"
    assert len(notes) == 1
    assert "secret" not in notes[0]
    words = launch.command(loaded, "127.0.0.1", Ports(1, 2), outer=spoken)
    assert not any("secret" in word for word in words)


def test_own_upstream_proxy_goes_before(loaded: Settings) -> None:
    own = replace(loaded, config=replace(loaded.config, upstream_proxy="http://mine:1"))
    assert launch.with_outer("http://corp:3128", own, {})[0] == ""


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("10.0.0.5", "http://10.0.0.5:1"),
        ("::1", "http://[::1]:1"),
    ],
)
def test_where_it_is_reached(host: str, url: str, loaded: Settings) -> None:
    assert launch.state(loaded, host, Ports(1, 2), "serve", 1, {}).url == url


def test_differences(loaded: Settings, tmp_path: Path) -> None:
    keys = {"ANTHROPIC_API_KEY": "sk-ant"}
    state = launch.state(loaded, "127.0.0.1", Ports(1, 2), "serve", 1, keys)
    running = Instance(tmp_path, "id", state)
    assert launch.differences(running, loaded, keys) == []
    # What this user does not say is as the proxy has it.
    silent = replace(loaded, given=frozenset[str](), mitmproxy={})
    assert launch.differences(running, silent, {}) == []
    asks = settings.load(
        Namespace(set=["reflex_ttl=8d", "ssl_insecure=true", f"confdir={tmp_path}"], provider=None),
        {},
    )
    other_keys = {"ANTHROPIC_API_KEY": "sk-other", "GROQ_API_KEY": "gsk"}
    assert launch.differences(running, asks, other_keys) == [
        "ssl_insecure",
        "reflex_ttl",
        "ANTHROPIC_API_KEY",
        "GROQ_API_KEY",
    ]
    older = replace(running, state=replace(state, version="0.0.1"))
    assert launch.differences(older, silent, {}) == ["version (0.0.1)"]


def test_environment() -> None:
    found = launch.environment({"PYTHONPATH": "/mine", "OTHER": "kept"})
    assert found["PYTHONPATH"] == f"{launch.ROOT}{os.pathsep}/mine"
    assert found["OTHER"] == "kept"
    assert launch.environment({})["PYTHONPATH"] == str(launch.ROOT)
