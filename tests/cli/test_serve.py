"""`reflex-proxy serve`: mitmdump, and found by the other commands."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.e2e.proxy import free_port

from .conftest import Cli
from .test_run import ASKER


def ports() -> tuple[str, ...]:
    return "--port", str(free_port()), "--reverse-port", str(free_port())


def ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "OPENAI_BASE_URL" in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_from_start_to_end(number: signal.Signals, cli: Cli, tmp_path: Path, question: str) -> None:
    """Arguments go on to mitmdump, here -w; the process is mitmdump itself."""
    flows = tmp_path / "flows.mitm"
    chosen = ports()
    process = cli.start("serve", *chosen, "-w", str(flows))
    said = ready(process)
    assert f"HTTPS_PROXY=http://127.0.0.1:{chosen[1]}" in said
    (proxy,) = cli.proxies()
    assert (proxy.state.pid, proxy.state.owner) == (process.pid, "serve")
    done = cli("run", "--", *ASKER, question)
    assert json.loads(done.stdout)["statuses"] == ["miss", "hit-l1-exact"]
    assert "(all users of this proxy)" in done.stderr
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert cli.proxies() == []
    assert question.encode() in flows.read_bytes()


def test_port_in_use(cli: Cli) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        process = cli.start("serve", "--port", port, "--reverse-port", str(free_port()))
        out, err = process.communicate(timeout=30)
    # mitmproxy 12.2, without any addon too, ends this way by a crash in its native part one time in twelve.
    assert process.returncode in (1, -signal.SIGSEGV)
    assert "address already in use" in out + err
    assert cli.proxies() == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--port", "99999"), "argument --port: invalid port value: '99999'"),
        (("--ui", "mitmfoo"), "invalid choice: 'mitmfoo'"),
    ],
)
def test_wrong_arguments(args: tuple[str, ...], said: str, cli: Cli) -> None:
    done = cli("serve", *args)
    assert done.returncode == 2
    assert said in done.stderr


def test_wrong_port_in_the_environment(cli: Cli) -> None:
    done = cli("serve", environ={"REFLEX_PORT": "many"})
    assert done.returncode == 2
    assert "argument --port: invalid port value: 'many'" in done.stderr


def test_unusable_storage(cli: Cli) -> None:
    """It serves all the same; only the other commands cannot find it."""
    elsewhere = Cli({**cli.options, "reflex_storage_path": "/dev/null/store"}, cli.environ)
    process = elsewhere.start("serve", *ports())
    ready(process)
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert "`run` and `stats` will not find this proxy" in err
