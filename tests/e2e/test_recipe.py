"""docs/captured_flows.md's recipe: an agent recorded once, then run without network and key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .captures import environ, recorder, replay
from .provider import Answer, Received
from .proxy import ROOT, free_port
from .speech import completion, text_frames, tool_frames

AGENT = [sys.executable, str(ROOT / "scripts" / "examples" / "agent.py")]
REFLEX = [sys.executable, "-m", "reflex_core.cli"]
SETTINGS = {
    "REFLEX_NAMESPACE": "ci",
    "REFLEX_SHARED_NAMESPACES": "ci",
    "REFLEX_SEMANTIC": "false",
}
EXPECTED = "There are 12 apples left for you!"


def shop(request: Received) -> Answer:
    """A model that looks up the stock, then says what it found; fills in messages as OpenAI does."""
    body = request.json
    last = body["messages"][-1]
    arguments = '{"item": "apples"}'
    if last["content"] == "Say it in one friendly sentence.":
        text, frames = None, text_frames("There are ", f"{_left(body)} apples", " left for you!")
    elif last["role"] == "tool":
        text, frames = f"{_left(body)} apples.", text_frames(f"{_left(body)} apples.")
    else:
        text, frames = None, tool_frames("stock", arguments)
    if body.get("stream"):
        return Answer(frames, headers={"content-type": "text/event-stream"})
    message: dict[str, Any] = {"content": text, "annotations": [], "refusal": None}
    if text is None:
        call = {"name": "stock", "arguments": arguments}
        message["tool_calls"] = [{"id": "call_7", "type": "function", "function": call}]
    finish = "stop" if text else "tool_calls"
    return Answer([json.dumps(completion(message, finish)).encode()])


def _left(body: dict[str, Any]) -> int:
    found = next(turn for turn in body["messages"] if turn["role"] == "tool")
    return json.loads(found["content"])["left"]


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environ() | {"PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def settings(confdir: Path, tmp_path: Path) -> dict[str, str]:
    """Of the whole recipe: mitmproxy's folder and a store of its own."""
    return {**SETTINGS, "REFLEX_STORAGE_PATH": str(tmp_path / "store")}


def offline(confdir: Path, settings: dict[str, str], *question: str) -> Any:
    """What CI does; nobody knows a key there."""
    ports = ["--port", str(free_port()), "--reverse-port", str(free_port())]
    command = [*REFLEX, "run", "-q", *ports, "--set", f"confdir={confdir}", "--"]
    return run(
        [*command, *AGENT, *question], **settings, REFLEX_OFFLINE="true", OPENAI_API_KEY="none"
    )


def test_recorded_through_reflex(
    own_provider: Any, confdir: Path, tmp_path: Path, settings: dict[str, str], start: Any
) -> None:
    own_provider.reply = shop
    capture = tmp_path / "agent.mitm"
    proxy = start(
        *("-w", str(capture)),
        storage=tmp_path / "recording",
        reflex_upstream=own_provider.url + "/v1",
        reflex_scrub="true",
        environ=SETTINGS,
    )
    key = "sk-a-real-one-of-some-account"
    first = run(AGENT, HTTPS_PROXY=proxy.url, SSL_CERT_FILE=str(proxy.ca), OPENAI_API_KEY=key)
    assert first.stdout == EXPECTED + "\n", first.stderr
    proxy.stop()
    own_provider.close()
    assert key.encode() not in capture.read_bytes()
    warmed = run([*REFLEX, "warm", str(capture), "--set", f"confdir={confdir}"], **settings)
    assert warmed.returncode == 0, warmed.stderr
    again = offline(confdir, settings)
    assert (again.returncode, again.stdout) == (0, first.stdout), again.stderr
    other = offline(confdir, settings, "How many pears are left?")
    assert other.returncode == 1
    assert "Reflex is offline and has no stored answer to this request" in other.stderr
    assert 'asked "How many pears are left?"' in other.stderr


def test_recorded_without_reflex(confdir: Path, tmp_path: Path, settings: dict[str, str]) -> None:
    """Turns that an agent sends back are known though another rendered them."""
    capture = tmp_path / "plain.mitm"
    with recorder(confdir, tmp_path, capture) as (provider, url):
        provider.reply = shop
        first = run(
            AGENT,
            HTTPS_PROXY=url,
            SSL_CERT_FILE=str(confdir / "mitmproxy-ca-cert.pem"),
            OPENAI_API_KEY="sk-me",
        )
    assert first.stdout == EXPECTED + "\n", first.stderr
    options = {name.lower(): value for name, value in settings.items()}
    replay(confdir, capture, "warm", **options)
    again = offline(confdir, settings)
    assert (again.returncode, again.stdout) == (0, first.stdout), again.stderr


def test_the_page_shows_these_commands() -> None:
    page = (ROOT / "docs" / "captured_flows.md").read_text(encoding="utf-8")
    for name in (*SETTINGS, "REFLEX_OFFLINE", "reflex_scrub=true"):
        assert name in page
    assert os.path.relpath(AGENT[1], ROOT) in page
