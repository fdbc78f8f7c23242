"""The command line itself: help, errors, completion."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reflex_core.cli import main
from reflex_core.options import OPTIONS

from .conftest import COMMAND, ROOT, clean_environment

PAGE = ROOT / "docs" / "cli.md"
COMMANDS = {
    "run", "serve", "env", "doctor", "stats", "purge", "plan", "warm", "eval", "completion",
}  # fmt: skip


def call(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *args], env=clean_environment(), capture_output=True, text=True, check=False
    )


def test_installed() -> None:
    """As a program beside this Python, which `pip install` put there."""
    program = Path(sys.executable).parent / "reflex-proxy"
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    assert done.stdout == call("--version").stdout
    assert done.stdout.startswith("reflex-proxy ")


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_has_examples(command: str) -> None:
    text = call(command, "--help").stdout
    examples = text.partition("examples:\n")[2].splitlines()
    assert len(examples) >= 2
    assert all("reflex-proxy " in line for line in examples)


def test_every_command_has_help() -> None:
    text = call("--help").stdout
    assert set(re.findall(r"^    ([a-z]+)\b", text, re.MULTILINE)) == COMMANDS


@pytest.mark.parametrize(
    "args", [(), ("frob",), ("stats", "--no-such"), ("run", "--no-such", "--", "true"), ("plan",)]
)
def test_usage_errors(args: tuple[str, ...]) -> None:
    done = call(*args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_the_reader_leaves(tmp_path: Path) -> None:
    """As in `reflex-proxy ... | head -1`."""
    command = " ".join([*COMMAND, "completion", "bash"])
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; exit ${{PIPESTATUS[0]}}"],
        env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 141)
    assert done.stderr == ""


# ---------------------------------------------------------------------- the page


def test_documented() -> None:
    """Commands, and what they have beside --help."""
    text = PAGE.read_text()
    commands = main.build_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    assert set(commands) == COMMANDS
    flags = {
        f for sub in commands.values() for action in sub._actions for f in action.option_strings
    }
    words = {f"reflex-proxy {name}" for name in COMMANDS}
    words |= {flag for flag in flags if flag.startswith("--")} - {"--help"}
    assert {word for word in words if word not in text} == set()


# ---------------------------------------------------------------------- completion


def completions(line: str) -> list[str]:
    """What bash would offer, by its own means."""
    script = f"""
eval "$({" ".join([*COMMAND, "completion", "bash"])})"
reflex-proxy() {{ {" ".join(COMMAND)} "$@"; }}
COMP_LINE="$1"; COMP_POINT=${{#COMP_LINE}}; COMP_TYPE=9
COMP_WORDS=($COMP_LINE); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_python_argcomplete reflex-proxy "${{COMP_WORDS[COMP_CWORD]}}" ""
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "-c", script, "bash", line],
        env=clean_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [word.strip() for word in done.stdout.splitlines() if word.strip()]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("reflex-proxy do", ["doctor"]),
        ("reflex-proxy run --prov", ["--provider"]),
        ("reflex-proxy run --provider anth", ["anthropic"]),
        ("reflex-proxy env --shell f", ["fish"]),
        ("reflex-proxy purge na", ["namespace"]),
    ],
)
def test_bash_completes(line: str, offered: list[str]) -> None:
    assert completions(line) == offered


def test_every_option_is_offered() -> None:
    found = completions("reflex-proxy serve --set reflex_")
    assert found == [f"{option.option}=" for option in OPTIONS]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_scripts(shell: str) -> None:
    assert "reflex-proxy" in call("completion", shell).stdout
