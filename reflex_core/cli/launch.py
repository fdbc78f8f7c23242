"""Starting the proxy: the command, its ports, waiting until it is ready."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from .. import __version__
from . import child, instances
from .errors import CliError
from .instances import Instance, Slot, State
from .local_http import Endpoint
from .settings import Settings

ROOT = Path(__file__).resolve().parents[2]
"""Where `addons` and `reflex_core` lie side by side, installed or not."""
_PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_WEB_PORT = 8082
"""mitmweb's own, 8081, is where our reverse listener is."""
_READY = "reflex: ready"
_START_TIMEOUT = 60.0
_POLL = 0.05
"""Seconds."""
_TRIES = 3
_ERROR = re.compile(r"error|failed|exception", re.IGNORECASE)
_PORT_TAKEN = re.compile(r"address already in use", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ports:
    forward: int
    reverse: int


def program(name: str = "mitmdump") -> Path:
    """mitmproxy's program that belongs to this Python. Raises CliError."""
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if (folder / name).is_file():
            return folder / name
    raise CliError(
        f"{name} is not beside {sys.executable}: install mitmproxy into the same environment"
        " (pip install mitmproxy-reflex)."
    )


def addon() -> Path:
    """Raises CliError."""
    path = ROOT / "addons" / "reflex.py"
    if not path.is_file():
        raise CliError(f"{path} is missing: install mitmproxy-reflex again.")
    return path


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """For the proxy: a package of the user's called `addons` must not stand before ours."""
    path = [str(ROOT), *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def command(
    settings: Settings, host: str, ports: Ports, *, outer: str = "", ui: str = "mitmdump"
) -> list[str]:
    """`outer`: a proxy on the way out, without credentials."""
    forward = f"upstream:{outer}" if outer else "regular"
    return [
        str(program(ui)),
        *("--listen-host", host),
        *("--mode", f"{forward}@{ports.forward}"),
        *("--mode", f"reverse:https://api.openai.com@{ports.reverse}"),
        *("-s", str(addon())),
        *settings.arguments,
        *(("--web-port", str(_WEB_PORT)) if _needs_web_port(settings, ui) else ()),
    ]


def _needs_web_port(settings: Settings, ui: str) -> bool:
    return ui == "mitmweb" and settings.own("web_port") is None


def outer_proxy(environ: Mapping[str, str], ours: Sequence[Instance]) -> str:
    """The proxy that the user has to go through anyway, or "". One of ours is none."""
    url = next(filter(None, map(environ.get, _PROXY_VARIABLES)), "")
    parts = urlsplit(url if "://" in url else f"http://{url}" if url else "")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    return "" if any(_same_listener(parts.geturl(), i.state.url) for i in ours) else parts.geturl()


def _same_listener(one: str, other: str) -> bool:
    a, b = urlsplit(one), urlsplit(other)
    return (a.hostname, a.port) == (b.hostname, b.port)


def with_outer(
    outer: str, settings: Settings, environ: Mapping[str, str]
) -> tuple[str, dict[str, str], list[str]]:
    """(proxy for mitmproxy's mode, environment of the proxy, warnings).

    A proxy with a password stands in the environment only, which others cannot read as they can a
    command line; so only calls to providers go through it.
    """
    env = environment(environ)
    if not outer or settings.config.upstream_proxy:
        return "", env, []
    if urlsplit(outer).username is None:
        return outer, env, []
    env["REFLEX_UPSTREAM_PROXY"] = outer
    text = (
        "HTTPS_PROXY has a password: only calls to providers go through it, other hosts directly."
    )
    return "", env, [text]


def state(
    settings: Settings,
    host: str,
    ports: Ports,
    owner: Literal["run", "serve"],
    pid: int,
    environ: Mapping[str, str],
) -> State:
    salt = secrets.token_hex(16)
    reached = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    shown = f"[{reached}]" if ":" in reached else reached
    return State(
        pid=pid,
        url=f"http://{shown}:{ports.forward}",
        admin=f"http://{shown}:{ports.reverse}",
        ca=str(settings.ca),
        owner=owner,
        started=time.time(),
        salt=salt,
        settings=instances.settings_digests(settings.config, settings.mitmproxy, salt),
        keys=instances.key_digests(settings.config.providers, environ, salt),
    )


# ---------------------------------------------------------------------- finding and starting


def differences(instance: Instance, settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """Options and keys that this user has, and the running proxy has not, by name."""
    known = instance.state
    if known.version != __version__:
        return [f"version ({known.version})"]
    mine = instances.settings_digests(settings.config, settings.mitmproxy, known.salt)
    asked = {name for name in mine if name in settings.given or name.startswith("mitmproxy ")}
    if "config" in settings.given:
        asked = set(mine)
    wrong = [
        name.removeprefix("mitmproxy ") if " " in name else f"reflex_{name}"
        for name in sorted(asked)
        if mine[name] != known.settings.get(name)
    ]
    keys = instances.key_digests(settings.config.providers, environ, known.salt)
    return wrong + [name for name, digest in keys.items() if known.keys.get(name) != digest]


def start_for_run(
    folder: Path, settings: Settings, ports: Ports, environ: Mapping[str, str], outer: str
) -> Instance:
    """A proxy on loopback that outlives Ctrl-C. Other ports are taken where these are in use.

    Raises CliError.
    """
    for attempt in range(_TRIES):
        chosen = ports if attempt == 0 and _is_free(ports) else _free_ports()
        slot = Slot(folder)
        try:
            return _start(slot, settings, chosen, environ, outer)
        except _PortTaken:
            continue
        finally:
            slot.close()
    raise CliError("No free ports were found for the proxy.")


class _PortTaken(Exception):
    pass


def _start(
    slot: Slot, settings: Settings, ports: Ports, environ: Mapping[str, str], outer: str
) -> Instance:
    host = "127.0.0.1"
    quiet = ("--set", "flow_detail=0", "--set", "termlog_verbosity=info")
    line = [*command(settings, host, ports, outer=outer), *quiet]
    process: subprocess.Popen[bytes] | None = None
    try:
        # Stopped in between, it would be there and nobody would know.
        with child.shielded():
            process = _spawn(line, slot, environ)
        found = state(settings, host, ports, "run", process.pid, environ)
        _wait_ready(process, slot.log, found.admin)
        return slot.publish(found)
    except BaseException:
        if process is not None:
            _end(process)
        raise


def _spawn(line: list[str], slot: Slot, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """In a session of its own: the terminal's Ctrl-C is for the user's command."""
    with open(os.open(slot.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as log:
        return subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(environ),
            pass_fds=(slot.handle,),
            start_new_session=True,
            preexec_fn=child.release_signals,  # noqa: PLW1509  there are no threads
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_ready(process: subprocess.Popen[bytes], log: Path, admin: str) -> None:
    """The log is read first: before it is ready the proxy would send /healthz upstream."""
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        text = log.read_text(encoding="utf-8", errors="replace")
        if _PORT_TAKEN.search(text):
            raise _PortTaken
        if ended:
            raise CliError(f"The proxy did not start: {_complaint(text)}. Its log: {log}")
        if _READY in text and Endpoint(admin).is_healthy():
            return
        time.sleep(_POLL)
    raise CliError(f"The proxy was not ready after {_START_TIMEOUT:g} s. Its log: {log}")


def _complaint(text: str) -> str:
    """The line of the log that says what is wrong, as far as one can tell."""
    lines = [re.sub(r"^\[[\d:.]+\] ", "", line.strip()) for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("Error logged during startup")]
    errors = [line for line in lines if _ERROR.search(line)]
    return (errors or lines or ["it said nothing"])[-1].rstrip(".")


def is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _is_free(ports: Ports) -> bool:
    return is_free("127.0.0.1", ports.forward) and is_free("127.0.0.1", ports.reverse)


def _free_ports() -> Ports:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return Ports(one.getsockname()[1], two.getsockname()[1])
