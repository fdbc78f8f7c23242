"""`reflex-proxy env`, as a shell uses it."""

from __future__ import annotations

import json
import subprocess

from .conftest import Cli
from .test_run import ASKER


def test_a_shell_that_evaluates_it(serving: Cli, question: str) -> None:
    lines = serving("env", "--shell", "bash").stdout
    command = f"{lines}\n" + " ".join(f"'{part}'" for part in (*ASKER, question))
    done = subprocess.run(
        ["bash", "-ec", command], env=serving.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["statuses"] == ["miss", "hit-l1-exact"]


def test_json_says_the_same(serving: Cli) -> None:
    values = json.loads(serving("env", "--json").stdout)
    lines = serving("env", "--shell", "powershell").stdout.splitlines()
    assert [line.partition(" = ")[0] for line in lines] == [f"$env:{name}" for name in values]


def test_shell_is_guessed(serving: Cli) -> None:
    fish = serving("env", environ={"SHELL": "/usr/bin/fish"}).stdout
    assert fish.startswith("set -gx HTTPS_PROXY 'http://127.0.0.1:")
    other = serving("env", environ={"SHELL": "/bin/zsh"}).stdout
    assert other.startswith("export HTTPS_PROXY=http://127.0.0.1:")


def test_twice_in_one_shell(serving: Cli) -> None:
    once = json.loads(serving("env", "--json").stdout)
    again = json.loads(serving("env", "--json", environ=once).stdout)
    assert again == once


def test_nothing_runs(cli: Cli) -> None:
    done = cli("env")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "reflex-proxy: No proxy is running: start one with `reflex-proxy serve`.\n"
    )


def test_a_proxy_that_will_not_stay(cli: Cli) -> None:
    inner = cli.arguments("env", "--json")
    done = cli("run", "-q", "--", *inner)
    assert json.loads(done.stdout)["HTTPS_PROXY"].startswith("http://127.0.0.1:")
    assert done.stderr == "reflex: this proxy ends with the command that it was started for.\n"
