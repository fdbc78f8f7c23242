"""What mitmweb shows of chat flows, and the commands on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest

from .admin import admin
from .asking import ask, ask_stream, is_stored
from .mitmweb import PASSWORD, MitmWeb
from .provider import Provider
from .proxy import Proxy, free_port
from .speech import act, echo


@dataclass
class Shown:
    proxy: Proxy
    provider: Provider
    web: MitmWeb


@pytest.fixture(scope="module")
def _shown(confdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    provider = Provider()
    port = free_port()
    proxy = Proxy(
        confdir,
        tmp_path_factory.mktemp("views") / "store",
        "--no-web-open-browser",
        "--web-port",
        str(port),
        program="mitmweb",
        web_password=PASSWORD,
        reflex_upstream=provider.url + "/v1",
    )
    yield Shown(proxy, provider, MitmWeb(port))
    proxy.stop()
    provider.close()


@pytest.fixture
def shown(_shown: Shown) -> Shown:
    _shown.web.command("view.clear")
    _shown.provider.reset()
    _shown.provider.reply = echo
    return _shown


def test_transcripts(shown: Shown, question: str) -> None:
    ask(shown.proxy, question, temperature=0.2)
    ask_stream(shown.proxy, question + " streamed", stream_options={"include_usage": True})
    whole, stream = shown.web.flows(2)
    asked = shown.web.view(whole, "request")
    assert asked["view_name"] == "OpenAI chat"
    assert asked["text"] == f"gpt-4o\ntemperature: 0.2\n\n[user]\n  {question}\n"
    for flow, said in ((whole, question), (stream, question + " streamed")):
        told = shown.web.view(flow, "response")
        assert told["view_name"] == "OpenAI chat"
        assert f"[assistant]\n  You said: {said}\nfinish: stop" in told["text"]
        assert "usage: 9 in, 3 out, 12 in all" in told["text"]
    assert '"messages"' in shown.web.view(whole, "request", "json")["text"], "others still work"


def test_tool_calls_and_errors(shown: Shown, question: str) -> None:
    shown.provider.reply = act
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}
    ask(shown.proxy, question, tools=[tool])
    with pytest.raises(openai.AuthenticationError):
        ask(shown.proxy, "fail " + question)
    calls, failed = shown.web.flows(2)
    assert "tools: get_weather" in shown.web.view(calls, "request")["text"]
    assert "-> get_weather (call_1)" in shown.web.view(calls, "response")["text"]
    assert shown.web.view(failed, "response")["text"].startswith("error: No.")


def test_other_flows_keep_their_views(shown: Shown) -> None:
    admin(shown.proxy, "GET", "/reflex/stats")
    flow = next(f for f in shown.web.get("/flows") if f["request"]["path"] == "/reflex/stats")
    assert shown.web.view(flow, "response")["view_name"] == "JSON"
    assert not flow.get("comment")


def test_comments_and_markers(shown: Shown, question: str) -> None:
    ask(shown.proxy, question)
    ask(shown.proxy, question)
    miss, hit = shown.web.flows(2)
    assert miss["comment"].startswith("reflex: miss, no-entry, spent 12 tokens")
    assert miss["marked"] == ""
    assert hit["comment"].startswith("reflex: hit-l1-exact, saved 12 tokens")
    assert hit["marked"] == "⚡"
    admin(shown.proxy, "GET", "/reflex/stats")
    ask(shown.proxy, question)
    assert "($0.0" in shown.web.flows(3)[2]["comment"], "prices are known by now"


def test_why(shown: Shown, question: str) -> None:
    ask(shown.proxy, question, temperature=0.2)
    assert is_stored(shown.proxy, question, temperature=0.2)
    ask(shown.proxy, question, temperature=0.7)
    *_, flow = shown.web.flows(3)
    shown.web.command("view.focus.go", "-1")
    lines = shown.web.command("reflex.why", "@focus")
    assert lines[0].startswith("miss (200, ")
    assert "  temperature: stored 0.2, asked 0.7" in lines
    assert question not in str(lines)
    assert shown.web.command("reflex.why", lines[1].split()[1].rstrip(",")) == lines
    assert "0 flows match" in shown.web.command("reflex.why", "~u no-such-flow")
    by_flow = admin(shown.proxy, "GET", f"/reflex/why?id={flow['id']}")
    assert by_flow.json["nearest"]["differences"][0]["path"] == "temperature"


def test_wrong(shown: Shown, question: str) -> None:
    ask(shown.proxy, question)
    ask(shown.proxy, question)
    shown.web.flows(2)
    shown.web.command("view.focus.go", "-1")
    assert "marking the answer" in shown.web.command("reflex.wrong", "@focus")
    shown.proxy.wait_for("reflex: marked as wrong: deleted 1")
    assert not is_stored(shown.proxy, question)


def test_a_flow_that_is_none_of_ours(shown: Shown) -> None:
    admin(shown.proxy, "GET", "/reflex/stats")
    shown.web.command("view.focus.go", "0")
    assert "no chat request" in shown.web.command("reflex.why", "@focus")
    assert "no chat request" in shown.web.command("reflex.wrong", "@focus")
