"""`stats` and `purge`, against a proxy and against a store alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.e2e.provider import Provider

from .conftest import Cli
from .test_run import ASKER


def test_stats_of_a_proxy(serving: Cli, question: str) -> None:
    before = json.loads(serving("stats", "--json").stdout)
    assert serving("run", "-q", "--", *ASKER, question).returncode == 0
    after = json.loads(serving("stats", "--json").stdout)
    (proxy,) = serving.proxies()
    assert after["proxy"] == proxy.state.admin
    assert after["requests"]["total"] == before["requests"]["total"] + 2
    text = serving("stats").stdout
    assert "requests by status hit-l1-exact  " in text
    assert "saved prompt tokens" in text


def test_purge(serving: Cli, provider: Provider, question: str) -> None:
    ask = ("run", "-q", "--", *ASKER, question)
    assert json.loads(serving(*ask).stdout)["statuses"] == ["miss", "hit-l1-exact"]
    assert json.loads(serving("purge", "model", "no-such-model", "--json").stdout) == {"deleted": 0}
    done = serving("purge", "model", "gpt-4o")
    assert done.returncode == 0
    assert int(done.stdout.split()[0]) >= 1
    assert json.loads(serving(*ask).stdout)["statuses"] == ["miss", "hit-l1-exact"]
    assert len(provider.received) == 2


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("all", "gpt-4o"), 2, "Say `all`, or `key HEX`"),
        (("model",), 2, "Say `all`, or `key HEX`"),
        (("everything",), 2, "invalid choice: 'everything'"),
        (("key", "xyz"), 1, "reflex-proxy: "),
    ],
)
def test_purge_of_nonsense(args: tuple[str, ...], code: int, said: str, serving: Cli) -> None:
    done = serving("purge", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_through_another_proxys_port(serving: Cli, tmp_path: Path) -> None:
    (proxy,) = serving.proxies()
    elsewhere = {"reflex_storage_path": str(tmp_path), "confdir": str(tmp_path)}
    done = serving("stats", "--json", "--proxy", proxy.state.url, **elsewhere)
    assert json.loads(done.stdout)["requests"]["total"] >= 0
    done = serving("purge", "model", "no-such-model", "--proxy", proxy.state.url, **elsewhere)
    assert done.stdout == "0 stored answers deleted\n"


def test_nothing_runs(cli: Cli) -> None:
    done = cli("stats")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("reflex-proxy: No proxy is running, and there is no store yet")
    done = cli("purge", "all")
    assert done.returncode == 1
    assert done.stderr.startswith("reflex-proxy: No proxy is running: start one with")


def test_stats_of_a_store(cli: Cli, question: str) -> None:
    assert cli("run", "-q", "--", *ASKER, question).returncode == 0
    done = cli("stats", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["proxy"] is None
    assert (found["store"]["entries"], found["store"]["hits"]) == (1, 1)
    assert found["store"]["models"] == {"openai::gpt-4o": {"entries": 1, "hits": 1}}
    assert "store models openai::gpt-4o entries  1" in cli("stats").stdout
    (cli.storage / "reflex.db").write_bytes(b"garbage" * 1000)
    done = cli("stats")
    assert done.returncode == 1
    assert "cannot be read: file is not a database" in done.stderr


def test_token(cli: Cli) -> None:
    """What the admin surface asks for is sent along; without it nothing is shown."""
    token = "a-token-of-sixteen-characters"
    knows = cli.arguments("stats", "--json", reflex_admin_token=token)
    knows_not = cli.arguments("run", "--", "true")
    code = f"import subprocess; subprocess.call({knows}); subprocess.call({knows_not})"
    done = cli("run", "--", sys.executable, "-c", code, reflex_admin_token=token)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["requests"]["total"] == 0
    inner, outer = done.stderr.splitlines()
    assert inner.startswith("reflex: what is saved will not be shown: Send the token")
    assert outer == "reflex: no OpenAI request came through the proxy"
