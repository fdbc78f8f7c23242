"""`reflex-proxy serve`: the proxy itself, in the foreground."""

from __future__ import annotations

import os
import sys
from argparse import Namespace

from . import connect, instances, launch, settings
from .errors import CliError


def main(args: Namespace) -> int:
    """Becomes mitmdump (or mitmproxy, mitmweb), with the rest of the command line."""
    loaded = settings.load(args)
    ports = connect.ports(args)
    ours = instances.living(loaded.config.storage_path)
    outer = launch.outer_proxy(os.environ, ours)
    spoken, env, notes = launch.with_outer(outer, loaded, os.environ)
    for note in notes:
        print(f"reflex: {note}", file=sys.stderr)
    command = launch.command(loaded, args.bind, ports, outer=spoken, ui=args.ui) + args.rest
    try:
        with instances.starting(loaded.config.storage_path) as folder:
            slot = instances.Slot(folder)
            # The process stays the same, and with it the lock that says it lives.
            slot.publish(launch.state(loaded, args.bind, ports, "serve", os.getpid(), env))
    except OSError as error:
        print(
            f"reflex: {error}; `run` and `stats` will not find this proxy.",
            file=sys.stderr,
        )
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(command[0], command, env)
    except OSError as error:
        raise CliError(f"{command[0]}: {error.strerror}.") from None
