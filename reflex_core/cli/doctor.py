"""`reflex-proxy doctor`: everything that has to work, and how to mend what does not."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator

import orjson
from rich.console import Console
from rich.text import Text

from ..errors import ConfigError
from . import check_local, check_provider, check_store, connect, instances, settings
from .checks import Check, fail, ok

_SIGNS = {"ok": ("✓", "green"), "info": ("·", "dim"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


def main(args: Namespace) -> int:
    """1 when something is broken."""
    found: list[Check] = []
    console = Console(soft_wrap=True, highlight=False)
    for check in _all(args):
        found.append(check)
        if not args.json:
            _show(console, check)
    broken = sum(check.status == "fail" for check in found)
    if args.json:
        report = {"ok": not broken, "checks": [check.to_json() for check in found]}
        sys.stdout.write(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        console.print(f"{broken} broken" if broken else "Nothing is broken.")
    return 1 if broken else 0


def _all(args: Namespace) -> Iterator[Check]:
    yield from check_local.versions()
    try:
        loaded = settings.load(args)
    except ConfigError as error:
        yield fail("settings", str(error), "see docs/options.md")
        return
    yield ok(
        "settings", ", ".join(sorted(f"reflex_{n}" for n in loaded.given)) or "all as they come"
    )
    running = [i for i in instances.living(loaded.config.storage_path) if connect.answers(i)]
    yield from check_local.ports(connect.ports(args), running)
    yield from check_local.certificates(loaded)
    yield from check_local.interception(loaded, running)
    yield from check_local.shell(loaded, running)
    yield from check_store.store(loaded)
    yield from check_local.models(loaded)
    yield from check_provider.check(loaded, args.offline, args.timeout)


def _show(console: Console, check: Check) -> None:
    sign, color = _SIGNS[check.status]
    line = Text.assemble((f"{sign} ", color), (f"{check.name}: ", "bold"), check.detail)
    console.print(line)
    if check.fix:
        console.print(Text(f"    {check.fix}", style="cyan"))
