"""`reflex-proxy env`: the environment for a shell."""

from __future__ import annotations

import os
import sys
from argparse import Namespace

import orjson

from . import bundle, connect, environment, settings
from .errors import CliError


def main(args: Namespace) -> int:
    loaded = settings.load(args)
    if args.proxy:
        connection = connect.named(args, loaded)
    else:
        instance = connect.running(loaded)
        if instance is None:
            raise CliError("No proxy is running: start one with `reflex-proxy serve`.")
        if instance.state.owner == "run":
            _say("this proxy ends with the command that it was started for.")
        connection = connect.of_instance(instance, loaded)
    path = bundle.build(connection.ca, loaded.config.storage_path, os.environ)
    values = environment.variables(connection.url, path, os.environ)
    for hint in environment.warnings(os.environ, loaded.config.hosts, connection.reverse_url):
        _say(hint)
    if args.json:
        print(orjson.dumps(values, option=orjson.OPT_INDENT_2).decode())
    else:
        print(environment.exports(values, args.shell or _shell()), end="")
    return 0


def _shell() -> str:
    return "fish" if os.environ.get("SHELL", "").endswith("fish") else "bash"


def _say(text: str) -> None:
    print(f"reflex: {text}", file=sys.stderr)
