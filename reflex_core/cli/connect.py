"""Which proxy a command talks to: one that runs, one that the user names, or a new one."""

from __future__ import annotations

import ipaddress
import os
import time
from argparse import Namespace
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from . import instances, launch
from .errors import CliError
from .instances import Instance
from .launch import Ports
from .local_http import Endpoint, Refused
from .settings import Settings

_YOUNG = 30.0
"""Seconds in which a proxy may still be starting."""
_MITM_HOST, _MITM_CA = "mitm.it", "/cert/pem"
"""Where mitmproxy gives its CA to clients of the forward listener."""


@dataclass(frozen=True, slots=True)
class Connection:
    """`url` is of the forward listener, `reverse_url` of the reverse one where it is known."""

    url: str
    reverse_url: str | None
    ca: Path
    endpoint: Endpoint
    shared: bool
    """It was there before: others may use it at the same time."""
    notes: tuple[str, ...] = ()


def ports(args: Namespace) -> Ports:
    return Ports(args.port, args.reverse_port)


def running(settings: Settings) -> Instance | None:
    """A proxy on the storage folder that answers: one that stays, else one that `run` started."""
    living = instances.living(settings.config.storage_path)
    by_stay = sorted(living, key=lambda instance: instance.state.owner == "run")
    return next(filter(answers, by_stay), None)


def of_instance(
    instance: Instance,
    settings: Settings,
    *,
    shared: bool = True,
    notes: tuple[str, ...] = (),
) -> Connection:
    state = instance.state
    endpoint = Endpoint(state.admin, token=settings.config.admin_token)
    return Connection(state.url, state.admin, Path(state.ca), endpoint, shared, notes)


def named(args: Namespace, settings: Settings) -> Connection:
    """The proxy at `--proxy`, which another user, a service or a container runs. Raises CliError."""
    url = args.proxy if "://" in args.proxy else f"http://{args.proxy}"
    try:
        parts = urlsplit(url)
        wrong = parts.scheme != "http" or not parts.hostname or not parts.port
    except ValueError:
        parts, wrong = urlsplit(""), True
    if wrong:
        raise CliError(f"--proxy {args.proxy}: must be http://HOST:PORT.")
    endpoint = Endpoint(url, forward=True, token=settings.config.admin_token)
    ca = Path(args.ca).expanduser() if args.ca else _fetch_ca(endpoint, settings)
    if not ca.is_file():
        raise CliError(f"--ca {args.ca}: there is no such file.")
    return Connection(url, None, ca, endpoint, shared=True)


def _fetch_ca(endpoint: Endpoint, settings: Settings) -> Path:
    host = urlsplit(endpoint.url).hostname or ""
    if not _is_loopback(host):
        raise CliError(f"--proxy on another machine needs its CA as well: --ca FILE ({host}).")
    try:
        text = endpoint.text(_MITM_CA, _MITM_HOST)
    except Refused as error:
        raise CliError(f"{endpoint.url} does not give its CA: {error}.") from None
    if "BEGIN CERTIFICATE" not in text:
        raise CliError(f"{endpoint.url} is not a mitmproxy: name its CA with --ca FILE.")
    path = settings.config.storage_path / f"ca-of-port-{urlsplit(endpoint.url).port}.pem"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def in_use(settings: Settings, wanted: Ports, environ: Mapping[str, str]) -> Generator[Connection]:
    """A running proxy with these settings and keys, else a new one, for as long as it is used.

    Raises CliError.
    """
    try:
        with instances.starting(settings.config.storage_path) as folder:
            instance, handle, notes = _join(settings, environ)
            shared = instance is not None
            if instance is None:
                instance, more = _start(folder, settings, wanted, environ)
                handle = instance.join()
                notes += more
    except OSError as error:
        raise CliError(f"{settings.config.storage_path}: {error.strerror or error}.") from None
    if handle is None:
        raise CliError("The proxy ended at once; its log says why.")
    try:
        yield of_instance(instance, settings, shared=shared, notes=tuple(notes))
    finally:
        instance.leave(handle)


def _join(
    settings: Settings, environ: Mapping[str, str]
) -> tuple[Instance | None, int | None, list[str]]:
    notes: list[str] = []
    for instance in instances.living(settings.config.storage_path):
        if other := launch.differences(instance, settings, environ):
            notes.append(
                f"the proxy at {instance.state.url} was started with another"
                f" {', '.join(other)}: starting one more."
            )
            continue
        handle = instance.join()
        if handle is None:
            continue
        if answers(instance):
            return instance, handle, []
        os.close(handle)
    return None, None, notes


def answers(instance: Instance) -> bool:
    """Waits for one that is starting."""
    endpoint = Endpoint(instance.state.admin)
    while True:
        if endpoint.is_healthy():
            return True
        if time.time() - instance.state.started > _YOUNG or not instance.is_alive():
            return False
        time.sleep(0.1)


def _start(
    folder: Path, settings: Settings, wanted: Ports, environ: Mapping[str, str]
) -> tuple[Instance, list[str]]:
    ours = instances.living(settings.config.storage_path)
    outer = launch.outer_proxy(environ, ours)
    spoken, env, notes = launch.with_outer(outer, settings, environ)
    return launch.start_for_run(folder, settings, wanted, env, spoken), notes
