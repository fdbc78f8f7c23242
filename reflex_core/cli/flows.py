"""`reflex-proxy plan`, `warm` and `eval`: recorded traffic, and the labelled pairs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from . import launch, settings
from .errors import CliError


def plan(args: Namespace) -> int:
    return _replay(args, "plan", [args.html] if args.html else [])


def warm(args: Namespace) -> int:
    return _replay(args, "warm", [])


def _replay(args: Namespace, mode: str, reports: list[str]) -> int:
    """mitmdump reads the file, without a network."""
    loaded = settings.load(args)
    path = args.file if args.file == "-" else str(Path(args.file).expanduser())
    if path != "-" and not Path(path).is_file():
        raise CliError(f"{args.file}: there is no such file.")
    command = [
        *(str(launch.program()), "-nr", path, "-s", str(launch.addon())),
        *("--set", f"reflex_replay={mode}", *loaded.arguments, *args.rest),
    ]
    if args.json:
        return _as_json(command, reports)
    return _become(command + _reports(reports), launch.environment(os.environ))


def _reports(files: list[str]) -> list[str]:
    return [part for file in files for part in ("--set", f"reflex_report={file}")]


def _as_json(command: list[str], reports: list[str]) -> int:
    """Nothing but JSON on stdout."""
    with tempfile.TemporaryDirectory(prefix="reflex-") as folder:
        report = Path(folder) / "report.json"
        done = subprocess.run(
            command + _reports([*reports, str(report)]),
            env=launch.environment(os.environ),
            stdout=subprocess.PIPE,
            check=False,
        )
        if not report.is_file():
            sys.stderr.buffer.write(done.stdout)
            raise CliError("mitmdump made no report.", done.returncode or None)
        sys.stdout.write(report.read_text(encoding="utf-8"))
    return done.returncode


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
