"""`reflex-proxy run -- COMMAND`: one command behind the proxy."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from contextlib import AbstractContextManager, nullcontext

import orjson

from ..types import Json
from . import bundle, child, connect, environment, savings, settings
from .connect import Connection
from .errors import CliError
from .local_http import Refused
from .settings import Settings


def main(args: Namespace) -> int:
    """The command's own exit code, or its signal."""
    command: list[str] = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise CliError("Say what to run: reflex-proxy run -- COMMAND", 2)
    try:
        with child.stoppable():
            status = _run(args, command)
    except child.Stopped as stopped:
        return child.die(stopped.number)
    return child.leave_like(status)


def _run(args: Namespace, command: list[str]) -> int:
    environ = dict(os.environ)
    loaded = settings.load(args)
    with _connection(args, loaded, environ) as connection:
        path = bundle.build(connection.ca, loaded.config.storage_path, environ)
        hints = environment.warnings(environ, loaded.config.hosts, connection.reverse_url)
        for note in (*connection.notes, *hints):
            _say(note)
        before = None if args.quiet else _counters(connection)
        child.hold_signals()
        try:
            return child.run(command, environment.applied(connection.url, path, environ))
        finally:
            if before is not None:
                _report(args.json, connection, before)


def _connection(
    args: Namespace, loaded: Settings, environ: dict[str, str]
) -> AbstractContextManager[Connection]:
    if args.proxy:
        return nullcontext(connect.named(args, loaded))
    return connect.in_use(loaded, connect.ports(args), environ)


def _counters(connection: Connection) -> Json | None:
    try:
        return savings.look(connection.endpoint)
    except Refused as error:
        _say(f"what is saved will not be shown: {error}")
        return None


def _report(as_json: bool, connection: Connection, before: Json) -> None:
    try:
        after = savings.look(connection.endpoint)
    except Refused:
        _say("the proxy ended before the command did.")
        return
    saved = savings.between(before, after)
    if as_json:
        print(orjson.dumps(saved.to_json()).decode(), file=sys.stderr, flush=True)
    else:
        _say(saved.line() + (" (all users of this proxy)" if connection.shared else ""))


def _say(text: str) -> None:
    """To stderr: stdout is the command's."""
    print(f"reflex: {text}", file=sys.stderr, flush=True)
