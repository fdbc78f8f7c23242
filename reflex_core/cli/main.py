# PYTHON_ARGCOMPLETE_OK
"""The `reflex-proxy` command line."""

from __future__ import annotations

import argparse
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import argcomplete

from .. import __version__
from ..catalog_rows import PROVIDERS
from ..errors import ReflexError
from ..options import OPTIONS
from .environment import SHELLS

_FAILURE = 1
_RUN_FAILURE = 125
"""Reflex's, not the command's; as `env`, `timeout` and `docker run` have it."""
_COMPLETION_SHELLS = ("bash", "zsh", "fish", "powershell")
_PURGEABLE = ("all", "key", "model", "tenant", "namespace")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = build_parser()
    argcomplete.autocomplete(parser)
    args = _parse(parser, sys.argv[1:] if argv is None else argv)
    try:
        return _command(args.module, args.function)(args)
    except ReflexError as error:
        print(f"reflex-proxy: {error}", file=sys.stderr)
        return getattr(error, "code", None) or args.failure
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has left: nothing more is to be said, at the end of Python either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _command(module: str, function: str) -> Callable[[Namespace], int]:
    # One command's imports only: the shell's completion calls us at each Tab.
    from importlib import import_module

    return getattr(import_module(f"{__package__}.{module}"), function)


def _parse(parser: ArgumentParser, argv: Sequence[str]) -> Namespace:
    args, rest = parser.parse_known_args(argv)
    if rest and not args.takes_rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    args.rest = rest[1:] if rest[:1] == ["--"] else rest
    return args


# ---------------------------------------------------------------------- the parser


class _Adder:
    """Subcommands with what they have in common."""

    def __init__(self, parser: ArgumentParser) -> None:
        self._commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(
        self,
        name: str,
        module: str,
        function: str,
        help: str,
        examples: Iterable[str],
        **defaults: Any,
    ) -> ArgumentParser:
        parser = self._commands.add_parser(
            name,
            help=help,
            description=help[0].upper() + help[1:] + ".",
            epilog="examples:\n" + "".join(f"  {line}\n" for line in examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        settled = {"failure": _FAILURE, "takes_rest": False, **defaults}
        parser.set_defaults(module=module, function=function, **settled)
        return parser


def build_parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="reflex-proxy",
        description="Lets any OpenAI client talk to any provider, and answers repeats from a cache.",
        epilog="Every command says more, with examples: reflex-proxy run --help",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"reflex-proxy {__version__}")
    adder = _Adder(parser)
    _add_run(adder)
    _add_serve(adder)
    _add_env(adder)
    _add_doctor(adder)
    _add_admin(adder)
    _add_flows(adder)
    _add_completion(adder)
    return parser


def _add_run(adder: _Adder) -> None:
    parser = adder.add(
        "run",
        "run",
        "main",
        "run a command whose OpenAI traffic goes through Reflex",
        (
            "reflex-proxy run -- python agent.py",
            "reflex-proxy run --provider anthropic -- npx my-agent --task 'fix the tests'",
            "reflex-proxy run --set reflex_models=gpt-4o=groq::llama-3.3-70b-versatile -- pytest",
            "reflex-proxy run --proxy http://127.0.0.1:8080 -- ./agent   (a service's proxy)",
        ),
        failure=_RUN_FAILURE,
    )
    _settings_arguments(parser)
    _port_arguments(parser)
    _proxy_arguments(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="do not print the savings")
    parser.add_argument("--json", action="store_true", help="print the savings as JSON (to stderr)")
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="what to run"
    )


def _add_serve(adder: _Adder) -> None:
    parser = adder.add(
        "serve",
        "serve",
        "main",
        "run the proxy in the foreground; other arguments go on to mitmdump",
        (
            "reflex-proxy serve",
            "reflex-proxy serve --provider gemini --port 9000 --reverse-port 9001",
            "reflex-proxy serve --ui mitmweb",
            "reflex-proxy serve -w flows.mitm",
        ),
        takes_rest=True,
    )
    _settings_arguments(parser)
    _port_arguments(parser)
    parser.add_argument(
        "--bind",
        metavar="ADDRESS",
        default=os.environ.get("REFLEX_BIND") or "127.0.0.1",
        help="address to listen on (REFLEX_BIND; default: this machine only)",
    )
    parser.add_argument(
        "--ui",
        choices=("mitmdump", "mitmproxy", "mitmweb"),
        default=os.environ.get("REFLEX_UI") or "mitmdump",
        help="mitmproxy's program (REFLEX_UI; default: mitmdump)",
    )


def _add_env(adder: _Adder) -> None:
    parser = adder.add(
        "env",
        "env",
        "main",
        "print the exports that send a shell's OpenAI traffic through the running proxy",
        (
            'eval "$(reflex-proxy env)"',
            "reflex-proxy env --shell fish | source",
            "reflex-proxy env --shell powershell | Out-String | Invoke-Expression",
        ),
    )
    _settings_arguments(parser)
    _proxy_arguments(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--shell", choices=SHELLS, help="default: fish where $SHELL is, else bash")
    form.add_argument("--json", action="store_true", help="as a JSON object")


def _add_doctor(adder: _Adder) -> None:
    parser = adder.add(
        "doctor",
        "doctor",
        "main",
        "find out what is broken, and how to mend it; exit code 1 when something is",
        (
            "reflex-proxy doctor",
            "reflex-proxy doctor --provider anthropic",
            "reflex-proxy doctor --offline --json",
        ),
    )
    _settings_arguments(parser)
    _port_arguments(parser)
    parser.add_argument("--offline", action="store_true", help="ask no provider")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="SECONDS", help="for a provider's answer"
    )


def _add_admin(adder: _Adder) -> None:
    stats = adder.add(
        "stats",
        "admin",
        "stats",
        "show what the running proxy has counted, or else what is stored",
        ("reflex-proxy stats", "reflex-proxy stats --json | jq .tokens_saved"),
    )
    _settings_arguments(stats)
    _proxy_arguments(stats)
    stats.add_argument("--json", action="store_true", help="as JSON")
    purge = adder.add(
        "purge",
        "admin",
        "purge",
        "delete stored answers",
        (
            "reflex-proxy purge all",
            "reflex-proxy purge model gpt-4o",
            "reflex-proxy purge key 5f2a9c   (as Cache-Status shows it)",
        ),
    )
    purge.add_argument("what", choices=_PURGEABLE)
    purge.add_argument("value", nargs="?", help="a name, or hexadecimal digits")
    _settings_arguments(purge)
    _proxy_arguments(purge)
    purge.add_argument("--json", action="store_true", help="as JSON")


def _add_flows(adder: _Adder) -> None:
    plan = adder.add(
        "plan",
        "flows",
        "plan",
        "say what Reflex would have saved on recorded traffic; other arguments go on to mitmdump",
        (
            "reflex-proxy plan capture.mitm --html plan.html",
            "reflex-proxy plan session.har --json | jq .",
        ),
        takes_rest=True,
    )
    plan.add_argument("--html", metavar="FILE", help="write the report as one HTML page too")
    warm = adder.add(
        "warm",
        "flows",
        "warm",
        "fill the cache from recorded traffic; other arguments go on to mitmdump",
        (
            "reflex-proxy warm capture.mitm",
            "reflex-proxy warm session.har --set reflex_storage_path=ci/store",
        ),
        takes_rest=True,
    )
    for parser in (plan, warm):
        parser.add_argument("file", help="flows of mitmproxy or a HAR file; - for standard input")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")
        _settings_arguments(parser)
    adder.add(
        "eval",
        "flows",
        "evaluate",
        "measure the cache on labelled pairs; arguments go on to scripts/eval_hits.py",
        ("reflex-proxy eval", "reflex-proxy eval -- --help"),
        takes_rest=True,
    )


def _add_completion(adder: _Adder) -> None:
    parser = adder.add(
        "completion",
        "completion",
        "main",
        "print the completion script of a shell",
        (
            'eval "$(reflex-proxy completion bash)"',
            "reflex-proxy completion fish > ~/.config/fish/completions/reflex-proxy.fish",
        ),
    )
    parser.add_argument("shell", choices=_COMPLETION_SHELLS)


def _settings_arguments(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("settings")
    provider = group.add_argument(
        "--provider", metavar="NAME", help="same as --set reflex_provider=NAME"
    )
    provider.completer = lambda **_: PROVIDERS  # type: ignore[attr-defined]
    option = group.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="an option of Reflex or of mitmproxy; may come again",
    )
    option.completer = lambda **_: [f"{o.option}=" for o in OPTIONS]  # type: ignore[attr-defined]


def _port_arguments(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("listeners")
    for flag, variable, default, what in (
        ("--port", "REFLEX_PORT", 8080, "forward proxy"),
        ("--reverse-port", "REFLEX_REVERSE_PORT", 8081, "base URL"),
    ):
        group.add_argument(
            flag,
            type=_port,
            metavar="N",
            default=os.environ.get(variable) or default,
            help=f"of the {what} ({variable}; default {default})",
        )


def _port(text: str) -> int:
    number = int(text)
    if not 0 < number < 65536:
        raise ValueError
    return number


_port.__name__ = "port"


def _proxy_arguments(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("another proxy")
    group.add_argument(
        "--proxy", metavar="URL", help="a forward proxy that somebody else runs: a service, Docker"
    )
    group.add_argument("--ca", metavar="FILE", help="its CA, where it is on another machine")
