"""The doctor as a whole: `reflex-proxy doctor`."""

from __future__ import annotations

import json
import os
import socket

from tests.e2e.provider import Provider
from tests.e2e.proxy import free_port

from .checking import no_such_model
from .conftest import Cli


def test_all_is_well(serving: Cli, provider: Provider) -> None:
    (proxy,) = serving.proxies()
    ports = [url.rpartition(":")[2] for url in (proxy.state.url, proxy.state.admin)]
    args = ("--port", ports[0], "--reverse-port", ports[1])
    provider.reply = no_such_model
    done = serving("doctor", "--json", *args)
    report = json.loads(done.stdout)
    checks = {check["name"]: check for check in report["checks"]}
    assert {check["status"] for check in checks.values()} <= {"ok", "info"}, done.stdout
    assert (done.returncode, report["ok"], done.stderr) == (0, True, "")
    assert checks["interception"]["detail"].startswith("a client trusts")
    assert f"pid {proxy.state.pid}" in checks[f"port {ports[0]}"]["detail"]
    assert "sk-client-very-secret" not in done.stdout


def test_something_is_broken(cli: Cli) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = cli("doctor", "--offline", "--port", port, "--reverse-port", str(free_port()))
    assert done.returncode == 1
    # By name: the test itself.
    assert f"✗ port {port}: in use by " in done.stdout
    assert f"(pid {os.getpid()})" in done.stdout
    assert "choose another port with --port" in done.stdout
    assert done.stdout.endswith("1 broken\n")
    # A look changes nothing.
    assert not cli.storage.exists()


def test_wrong_settings(cli: Cli) -> None:
    done = cli("doctor", "--offline", reflex_ttl="soon")
    assert done.returncode == 1
    assert "✗ settings: reflex_ttl=soon: must be a duration" in done.stdout
