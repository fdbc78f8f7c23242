"""`reflex-proxy plan`, `warm` and `eval`: recorded traffic, and the labelled pairs."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

from . import launch, settings
from .errors import CliError


def plan(args: Namespace) -> int:
    return _replay(args, "plan")


def warm(args: Namespace) -> int:
    return _replay(args, "warm")


def _replay(args: Namespace, mode: str) -> int:
    """Becomes mitmdump, which reads the file, without a network."""
    loaded = settings.load(args)
    path = Path(args.file).expanduser()
    if not path.is_file():
        raise CliError(f"{args.file}: there is no such file.")
    command = [
        *(str(launch.program()), "-nr", str(path), "-s", str(launch.addon())),
        *("--set", f"reflex_replay={mode}", *loaded.arguments, *args.rest),
    ]
    return _become(command, launch.environment(os.environ))


def evaluate(args: Namespace) -> int:
    script = launch.ROOT / "scripts" / "eval_hits.py"
    if not script.is_file():
        raise CliError("eval needs a checkout of the repository: its pairs are not installed.")
    return _become([sys.executable, str(script), *args.rest], launch.environment(os.environ))


def _become(command: list[str], env: dict[str, str]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(command[0], command, env)
    except OSError as error:
        raise CliError(f"{command[0]}: {error.strerror}.") from None
