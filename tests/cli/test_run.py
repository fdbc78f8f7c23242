"""`reflex-proxy run` from end to end: real agents, a real proxy, a provider behind TLS."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.provider import Answer, Provider
from tests.e2e.proxy import free_port
from tests.e2e.speech import act
from tests.e2e.test_clients_other import NODE, needs_node

from .conftest import Cli, needs_curl

AGENT = (sys.executable, str(Path(__file__).with_name("agent.py")))
ASKER = (sys.executable, str(Path(__file__).with_name("asker.py")))
"""The first uses the openai SDK, the second starts in no time."""


def python(code: str) -> tuple[str, str, str]:
    return sys.executable, "-c", code


SHOW = python(
    "import json, os; print(json.dumps({k: v for k, v in os.environ.items()"
    " if 'PROXY' in k.upper() or 'CA' in k or 'SSL' in k or k.startswith('OPENAI')}))"
)


# ---------------------------------------------------------------------- agents


def test_python(serving: Cli, provider: Provider, question: str) -> None:
    done = serving("run", "--", *AGENT, question)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["answers"] == [f"You said: {question}"] * 2
    assert seen["statuses"] == ["miss", "hit-l1-exact"]
    assert len(provider.received) == 1
    # 12 tokens, as the provider counts them.
    assert "reflex: 2 requests, 1 hit (50%), 1 call to providers, saved 12 tokens, $" in done.stderr


@needs_curl
def test_curl(serving: Cli, provider: Provider, question: str) -> None:
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": question}]})
    done = serving(
        "run", "--json", "--", "curl", "-sS", "https://api.openai.com/v1/chat/completions",
        "-H", "content-type: application/json", "-H", "authorization: Bearer sk-curl", "-d", body,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["choices"][0]["message"]["content"] == f"You said: {question}"
    saved = json.loads(done.stderr)
    assert (saved["requests"], saved["hits"], saved["upstream_calls"]) == (1, 0, 1)
    assert saved["tokens_saved"] == saved["usd_saved"] == saved["unpriced_answers"] == 0
    assert len(provider.received) == 1


@needs_node
def test_node(serving: Cli, provider: Provider, question: str) -> None:
    provider.reply = act
    done = serving("run", "--", "node", "client.js", question, cwd=NODE)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["json"] == seen["again"] == f"You said: {question}"
    assert seen["statuses"] == ["miss", "hit-l1-exact"]
    assert "reflex: 5 requests, 2 hits (40%), 3 calls to providers" in done.stderr


# ---------------------------------------------------------------------- what the command is given


def test_environment(serving: Cli, tmp_path: Path) -> None:
    own = {
        "NO_PROXY": "intra.example",
        "OPENAI_BASE_URL": "https://api.openai.com/v1",
        "GIT_SSL_CAINFO": "/git.pem",
        "SSL_CERT_DIR": "/certs",
    }
    done = serving("run", "--quiet", "--", *SHOW, environ=own)
    assert done.stderr == ""
    seen = json.loads(done.stdout)
    (proxy,) = serving.proxies()
    assert seen["HTTPS_PROXY"] == seen["https_proxy"] == proxy.state.url
    assert seen["NO_PROXY"] == "localhost,127.0.0.1,::1,intra.example"
    bundle = seen["SSL_CERT_FILE"]
    assert Path(proxy.state.ca).read_text().split()[3] in Path(bundle).read_text()
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
        assert seen[name] == bundle
    for name in ("OPENAI_BASE_URL", "GIT_SSL_CAINFO", "SSL_CERT_DIR"):
        assert seen[name] == own[name]


def test_traffic_that_would_be_missed_is_named(serving: Cli) -> None:
    own = {"OPENAI_BASE_URL": "https://llm.example/v1", "no_proxy": "openai.com"}
    done = serving("run", "-q", "--", "true", environ=own)
    first, second = done.stderr.splitlines()
    assert first.startswith("reflex: OPENAI_BASE_URL names llm.example")
    assert second == "reflex: NO_PROXY covers api.openai.com: its traffic goes past Reflex."


def test_other_hosts_are_not_decrypted(
    serving: Cli, provider_ca_file: Path, provider: Provider
) -> None:
    """The provider's own certificate reaches the command, and the CA that the user trusts is kept."""
    provider.reply = lambda request: Answer([b"{}"])
    code = (
        "import http.client, os, ssl; from urllib.parse import urlsplit\n"
        "proxy = urlsplit(os.environ['HTTPS_PROXY'])\n"
        "c = http.client.HTTPSConnection(proxy.hostname, proxy.port, timeout=10)\n"
        f"c.set_tunnel('localhost', {provider.port}); c.request('GET', '/models')\n"
        "print(c.getresponse().status)"
    )
    done = serving("run", "--", *python(code), environ={"SSL_CERT_FILE": str(provider_ca_file)})
    assert done.stdout == "200\n", done.stderr
    assert (
        done.stderr
        == "reflex: no OpenAI request came through the proxy (all users of this proxy)\n"
    )


# ---------------------------------------------------------------------- a proxy of its own


def test_starts_and_stops_its_own(cli: Cli, provider: Provider, question: str) -> None:
    ports = ("--port", str(free_port()), "--reverse-port", str(free_port()))
    code = f"""
import json, subprocess, sys
print(subprocess.run({[*ASKER, question]}, capture_output=True, text=True).stdout, end="")
sys.exit(7)
"""
    done = cli("run", *ports, "--", *python(code))
    assert done.returncode == 7
    assert json.loads(done.stdout)["statuses"] == ["miss", "hit-l1-exact"]
    assert "2 requests, 1 hit (50%)" in done.stderr
    assert "all users" not in done.stderr
    assert cli.proxies() == []
    assert [path.name for path in (cli.storage / "proxies").iterdir()] == ["start"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(ports[1])))
    # What was learnt stays.
    again = cli("run", *ports, "--", *ASKER, question)
    assert json.loads(again.stdout)["statuses"] == ["hit-l1-exact"] * 2
    assert len(provider.received) == 1


def test_other_ports_where_these_are_taken(cli: Cli) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = cli("run", "--port", str(port), "--", *SHOW)
    assert done.returncode == 0, done.stderr
    assert urlsplit(json.loads(done.stdout)["HTTPS_PROXY"]).port != port


def test_two_at_once_share_one(cli: Cli) -> None:
    """The one that came first may end first; the last one stops the proxy."""
    waits = python("import os; print(os.environ['HTTPS_PROXY'], flush=True); input()")
    runs = [cli.start("run", "--", *waits, stdin=subprocess.PIPE) for _ in range(2)]
    urls = {process.stdout.readline().strip() for process in runs if process.stdout}
    (proxy,) = cli.proxies()
    assert urls == {proxy.state.url}
    said = []
    for process in runs:
        assert proxy.is_alive()
        said.append(process.communicate("\n", timeout=30)[1])
        assert process.returncode == 0
    assert sum("(all users of this proxy)" in text for text in said) == 1
    assert not proxy.is_alive()


def test_left_over_by_a_killed_run(cli: Cli) -> None:
    process = cli.start(
        "run", "--", *python("print('up', flush=True); input()"), stdin=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.kill()
    process.communicate()
    (left,) = cli.proxies()
    done = cli("run", "-q", "--", *SHOW)
    assert json.loads(done.stdout)["HTTPS_PROXY"] == left.state.url
    assert not left.is_alive()


def test_another_one_for_other_settings(serving: Cli) -> None:
    (served,) = serving.proxies()
    done = serving("run", "-q", "--", *SHOW, reflex_ttl="3d")
    assert done.stderr == (
        f"reflex: the proxy at {served.state.url} was started with another reflex_ttl:"
        " starting one more.\n"
    )
    assert json.loads(done.stdout)["HTTPS_PROXY"] != served.state.url
    assert served.is_alive()


def test_its_own_addons_come_first(cli: Cli, tmp_path: Path) -> None:
    """A project may have a package of the name, on its PYTHONPATH or in its folder."""
    (tmp_path / "addons").mkdir()
    (tmp_path / "addons" / "__init__.py").write_text("raise RuntimeError('not this one')")
    path = os.pathsep.join([cli.environ["PYTHONPATH"], str(tmp_path)])
    done = cli(
        "run", "-q", "--", "true", environ={"PYTHONPATH": f"{tmp_path}:{path}"}, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")


# ---------------------------------------------------------------------- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_to_the_command(number: signal.Signals, serving: Cli) -> None:
    code = f"""
import signal, sys
signal.signal({number:d}, lambda *_: sys.exit(42))
print("up", flush=True)
signal.pause()
"""
    process = serving.start("run", "--", *python(code))
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 42
    assert err.startswith("reflex: ")


def test_a_command_that_a_signal_ends(cli: Cli) -> None:
    process = cli.start("run", "--", "sh", "-c", "echo up; exec sleep 60")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert cli.proxies() == []


def test_stopped_while_it_starts(cli: Cli) -> None:
    process = cli.start("run", "--", "true")
    folder = cli.storage / "proxies"
    for _ in range(1000):
        if any(folder.glob("*.log")):
            break
        threading.Event().wait(0.01)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert cli.proxies() == []
    for lock in folder.glob("*.lock"):
        with lock.open() as file:  # which a proxy that lives would hold
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# ---------------------------------------------------------------------- failures


def test_command_not_found(serving: Cli) -> None:
    done = serving("run", "-q", "--", "no-such-command")
    assert (done.returncode, done.stderr) == (
        127,
        "reflex-proxy: no-such-command: command not found.\n",
    )


def test_no_command(serving: Cli) -> None:
    done = serving("run")
    assert done.returncode == 2
    assert done.stderr == "reflex-proxy: Say what to run: reflex-proxy run -- COMMAND\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"reflex_ttl": "soon"}, "reflex_ttl=soon: must be a duration"),
        ({"listen_port": "none"}, "not an integer: none"),
        ({"reflex_storage_path": "/dev/null/store"}, "/dev/null/store: Not a directory."),
    ],
)
def test_own_failures_are_125(options: dict[str, str], said: str, cli: Cli) -> None:
    done = cli("run", "--", "true", **options)
    assert done.returncode == 125
    assert said in done.stderr
    assert done.stderr.startswith("reflex-proxy: ")
    assert done.stderr.count("\n") == 1


def test_a_proxy_that_dies(cli: Cli) -> None:
    process = cli.start(
        "run", "--", *python("print('up', flush=True); input()"), stdin=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    (proxy,) = cli.proxies()
    os.kill(proxy.state.pid, signal.SIGKILL)
    _, err = process.communicate("\n", timeout=30)
    assert process.returncode == 0
    assert err == "reflex: the proxy ended before the command did.\n"


# ---------------------------------------------------------------------- proxies of others


def test_named_proxy(serving: Cli, tmp_path: Path, question: str) -> None:
    """As a service or a container runs it: another storage folder, its CA fetched from it."""
    (served,) = serving.proxies()
    done = serving(
        "run", "--proxy", served.state.url, "--", *ASKER, question,
        reflex_storage_path=str(tmp_path / "mine"), confdir=str(tmp_path / "mine"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["statuses"] == ["miss", "hit-l1-exact"]
    assert "2 requests, 1 hit (50%)" in done.stderr


@pytest.mark.parametrize(
    ("proxy", "more", "said"),
    [
        ("ftp://127.0.0.1:1", (), "--proxy ftp://127.0.0.1:1: must be http://HOST:PORT."),
        ("127.0.0.1", (), "must be http://HOST:PORT."),
        ("http://127.0.0.1:99999", (), "must be http://HOST:PORT."),
        ("http://192.0.2.1:8080", (), "needs its CA as well: --ca FILE"),
        ("http://192.0.2.1:8080", ("--ca", "/no/file"), "--ca /no/file: there is no such file."),
        ("127.0.0.1:1", (), "http://127.0.0.1:1 does not give its CA"),
    ],
)
def test_named_proxy_that_is_none(proxy: str, more: tuple[str, ...], said: str, cli: Cli) -> None:
    done = cli("run", "--proxy", proxy, *more, "--", "true")
    assert done.returncode == 125
    assert said in done.stderr


class OuterProxy:
    """A company's proxy: carries CONNECT, and notes where to."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        target = head.split()[1].decode()
        self.targets.append(target)
        host, _, port = target.rpartition(":")
        server = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        threading.Thread(target=_copy, args=(server, client), daemon=True).start()
        _copy(client, server)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def outer() -> Iterator[OuterProxy]:
    proxy = OuterProxy()
    yield proxy
    proxy.close()


@pytest.mark.parametrize("user", ["", "me:secret@"])
def test_behind_a_proxy(
    user: str, cli: Cli, provider: Provider, question: str, outer: OuterProxy
) -> None:
    """The user's own HTTPS_PROXY is where Reflex goes out through."""
    url = f"http://{user}127.0.0.1:{outer.port}"
    done = cli("run", "--", *ASKER, question, environ={"HTTPS_PROXY": url})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["statuses"] == ["miss", "hit-l1-exact"]
    assert outer.targets == [f"localhost:{provider.port}"]
    assert ("HTTPS_PROXY has a password" in done.stderr) == bool(user)
    assert "secret" not in done.stderr


def test_inside_itself(serving: Cli, question: str) -> None:
    """A run within a run goes through the same proxy, once."""
    inner = serving.arguments("run", "-q", "--", *ASKER, question)
    done = serving("run", "--", *inner)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["statuses"] == ["miss", "hit-l1-exact"]
    assert "2 requests, 1 hit (50%)" in done.stderr
