"""How it starts: settings from everywhere, mitmproxy's other tools, client replay."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from mitmproxy import http, io
from mitmproxy.test import tflow

from .asking import AUTH, ask, body, client, status
from .conftest import Start
from .provider import Answer, Provider
from .proxy import BIN, ROOT, Proxy, free_port

# ---------------------------------------------------------------------- settings

WRONG: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "option": ({"reflex_ttl": "soon"}, {}, r"reflex_ttl=soon: must be a duration such as .*"),
    "environment": (
        {},
        {"REFLEX_SAMPLING": "loose"},
        r"REFLEX_SAMPLING=loose: must be one of relaxed, strict\.",
    ),
}


def test_a_wrong_setting_stops_the_start(confdir: Path, tmp_path: Path) -> None:
    """With one line that names it, its value and what is allowed."""
    tried = {
        name: Proxy(confdir, tmp_path / name, environ=environ, wait=False, **options)
        for name, (options, environ, _) in WRONG.items()
    }
    for name, proxy in tried.items():
        assert proxy.process.wait(60) != 0, name
        proxy.stop()
        line = re.compile(rf"^.*{WRONG[name][2]}$", re.MULTILINE)
        assert len(line.findall(proxy.log)) == 1, proxy.log
        assert "Traceback" not in proxy.log
        assert not (tmp_path / name).exists()


def test_settings_from_everywhere(start: Start, own_provider: Provider, tmp_path: Path) -> None:
    """The command line comes before the environment, which comes before the file."""
    config = tmp_path / "reflex.toml"
    config.write_text(
        f"""
        upstream = "{own_provider.url}/from-file"
        namespace = "from-file"
        max_answer = "from-file"
        ttl = "1h"

        [models]
        fast = "local::tiny"

        [providers.local]
        base_url = "{own_provider.url}/local"
        key_env = ["LOCAL_KEY"]
        quirks.developer_role = "system"
        """
    )
    proxy = start(
        reflex_upstream=f"{own_provider.url}/from-option",
        reflex_max_answer="1m",
        environ={
            "REFLEX_CONFIG": str(config),
            "REFLEX_UPSTREAM": f"{own_provider.url}/from-environment",
            "REFLEX_NAMESPACE": "from-environment",
            "REFLEX_L1_CAPACITY": "7",
            "LOCAL_KEY": "key-of-local",
        },
    )
    headers, _ = ask(proxy, "hi")
    seconds = int(re.findall(r"ttl=(\d+)", ask(proxy, "hi")[0]["cache-status"])[0])
    assert 3500 < seconds <= 3600
    assert status(headers) == "miss"
    ask(proxy, "hi", model="fast", messages=[{"role": "developer", "content": "be brief"}])
    to_default, to_local = own_provider.received
    assert to_default.path == "/from-option/chat/completions"
    assert to_local.path == "/local/chat/completions"
    assert to_local.headers["authorization"] == "Bearer key-of-local"
    assert to_local.json["model"] == "tiny"
    assert to_local.json["messages"][0]["role"] == "system"
    with client(proxy.base_url) as sdk:
        own_provider.reply = lambda request: Answer([b'{"data": [{"id": "gpt-9"}]}'])
        assert {"fast", "gpt-9"} <= {model.id for model in sdk.models.list()}


def test_the_mock_provider(start: Start) -> None:
    """No upstream at all; its answers are stored like any other's."""
    proxy = start(environ={"REFLEX_MOCK_PROVIDER": "1"})
    first = ask(proxy, "hello there")
    again = ask(proxy, "hello there")
    assert first[1].choices[0].message.content == "This is a mock answer to: hello there"
    assert (status(first[0]), status(again[0])) == ("miss", "hit-l1-exact")
    assert again[1] == first[1]
    with client(proxy.base_url) as sdk:
        assert [model.id for model in sdk.models.list()] == ["mock"]


# ---------------------------------------------------------------------- mitmproxy's other tools


def command(tool: str, confdir: Path, storage: Path, port: int, provider: Provider) -> list[str]:
    settings = {
        "confdir": confdir,
        "reflex_storage_path": storage,
        "reflex_semantic": "false",
        "reflex_upstream": provider.url + "/v1",
    }
    return [
        *(str(BIN / tool), "-s", str(ROOT / "addons" / "reflex.py")),
        *("--listen-host", "127.0.0.1", "--mode", f"reverse:https://api.openai.com@{port}"),
        *(part for name, value in settings.items() for part in ("--set", f"{name}={value}")),
    ]


def check_works(port: int) -> None:
    """Misses and hits as ever, though here flows are looked at."""
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(headers=AUTH, verify=False, timeout=20) as http:
        deadline = time.monotonic() + 30
        while True:
            try:
                http.get(f"{url}/healthz")
                break
            except httpx.ConnectError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        for expected in ("miss", "hit-l1-exact"):
            answer = http.post(f"{url}/v1/chat/completions", json=body("hi", stream=True))
            assert answer.headers["x-reflex-status"] == expected
            assert answer.text.endswith("data: [DONE]\n\n")


def test_mitmweb(confdir: Path, tmp_path: Path, own_provider: Provider) -> None:
    port, web_port = free_port(), free_port()
    args = command("mitmweb", confdir, tmp_path / "store", port, own_provider)
    args += ["--no-web-open-browser", "--web-port", str(web_port), "--set", "web_password=secret"]
    with (tmp_path / "log").open("w") as log:
        web = subprocess.Popen(args, stdout=log, stderr=log, env=_environ())
        try:
            check_works(port)
            with httpx.Client(verify=False) as http:
                flows = http.get(f"http://127.0.0.1:{web_port}/flows?token=secret").json()
            paths = [flow["request"]["path"] for flow in flows]
            assert paths.count("/v1/chat/completions") == 2, "hits are seen too"
        finally:
            web.send_signal(signal.SIGTERM)
            web.wait(30)
    assert web.returncode == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


@contextmanager
def terminal(args: list[str]) -> Iterator[list[bytes]]:
    """Runs a console program and stops it; gives what it has drawn so far."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    drawn: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while data := os.read(master, 65536):
                drawn.append(data)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    program = subprocess.Popen(
        args, stdin=slave, stdout=slave, stderr=slave, env=_environ(TERM="xterm")
    )
    os.close(slave)
    try:
        yield drawn
        program.send_signal(signal.SIGTERM)
        assert program.wait(30) == 0
    finally:
        program.kill()
        program.wait()
        reader.join(10)
        os.close(master)


def test_mitmproxy(confdir: Path, tmp_path: Path, own_provider: Provider) -> None:
    port = free_port()
    with terminal(command("mitmproxy", confdir, tmp_path / "store", port, own_provider)) as drawn:
        check_works(port)
    assert b"Traceback" not in b"".join(drawn)


def _environ(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("REFLEX_")}
    return {**kept, **more}


# ---------------------------------------------------------------------- replay


def test_client_replay(start: Start, own_provider: Provider, tmp_path: Path) -> None:
    """`-C`: a recorded request is asked anew, with no client at the other end."""
    recorded = tmp_path / "recorded.flow"
    with recorded.open("wb") as file:
        writer = io.FlowWriter(file)
        for stream in (False, True):
            flow = tflow.tflow()
            flow.request = http.Request.make(
                "POST",
                "https://api.openai.com/v1/chat/completions",
                httpx.Request("POST", "http://x", json=body("replayed", stream=stream)).content,
                {**AUTH, "content-type": "application/json"},
            )
            writer.add(flow)
    out = tmp_path / "out.flow"
    proxy = start(*("-C", str(recorded), "-w", str(out)), reflex_upstream=own_provider.url + "/v1")
    assert proxy.process.wait(30) == 0
    with out.open("rb") as file:
        answers = [flow.response for flow in io.FlowReader(file).stream()]
    assert [a.status_code for a in answers] == [200, 200]
    assert "You said: replayed" in answers[0].text
    assert answers[1].text.endswith("data: [DONE]\n\n")
    assert len(own_provider.received) == 1
