"""Signals and exit codes, without a proxy: a small parent that does what `run` does."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reflex_core.cli import child

PARENT = """
import os, sys
from reflex_core.cli import child
from reflex_core.errors import ReflexError
try:
    with child.stoppable():
        child.hold_signals()
        status = child.run(sys.argv[1:], dict(os.environ, MARK="yes"))
except ReflexError as error:
    print(error, file=sys.stderr)
    sys.exit(error.code)
print("parent ends", flush=True)
sys.exit(child.leave_like(status))
"""
LISTENER = """
import signal, sys
for n in (1, 2, 3, 10, 12, 15):
    signal.signal(n, lambda n, frame: print("got", n, flush=True))
print("up", flush=True)
sys.stdin.readline()
sys.exit(33)
"""


def start(*command: str, **more: Any) -> subprocess.Popen[str]:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-c", PARENT, *command], text=True, **pipes, **more)


def run(*command: str) -> tuple[int, str, str]:
    process = start(*command)
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def python(code: str) -> tuple[str, str, str]:
    return sys.executable, "-c", code


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_exit_code(code: int) -> None:
    assert run(*python(f"exit({code})")) == (code, "parent ends\n", "")


def test_environment_and_streams() -> None:
    process = start(*python("import os; print(os.environ['MARK'], input())"))
    assert process.communicate("typed\n", timeout=20) == ("yes typed\nparent ends\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGUSR1])
def test_ended_by_a_signal(number: signal.Signals) -> None:
    # The shell sees the same as without us.
    assert run("sh", "-c", f"kill -{number:d} $$")[:2] == (-number, "parent ends\n")


def test_signals_are_passed_on() -> None:
    process = start(*python(LISTENER))
    assert lines(process, 1) == ["up"]
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
    ):
        process.send_signal(number)
        assert lines(process, 1) == [f"got {number:d}"]
    out, err = process.communicate("\n", timeout=20)
    assert (process.returncode, out, err) == (33, "parent ends\n", "")


def test_signals_are_as_ever_in_the_command() -> None:
    """Nothing is blocked or ignored there that was not before."""
    code = "import signal; print(signal.pthread_sigmask(0, [])); signal.raise_signal(15)"
    assert run(*python(code))[:2] == (-15, "set()\nparent ends\n")
    # Python ignores SIGPIPE; a shell's own child must die of it.
    assert run("sh", "-c", "kill -PIPE $$; echo alive")[0] == -signal.SIGPIPE


def test_what_was_ignored_stays_ignored() -> None:
    """As under nohup."""
    command = [sys.executable, "-c", PARENT, *python(LISTENER.replace("(1, ", "("))]
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert lines(process, 1) == ["up"]
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGUSR1)
    assert lines(process, 1) == [f"got {signal.SIGUSR1:d}"]
    out, _ = process.communicate("\n", timeout=20)
    assert (process.returncode, out) == (33, "parent ends\n")


def test_not_found() -> None:
    code, out, err = run("no-such-command-at-all")
    assert (code, out, err) == (127, "", "no-such-command-at-all: command not found.\n")


def test_not_executable(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o600)
    code, _, err = run(str(script))
    assert (code, err) == (126, f"{script}: Permission denied.\n")


class Terminal:
    """A parent in the foreground of a terminal of its own.

    The terminal's first process stays to the end: with it what is not yet read would be lost.
    """

    _FIRST = (
        "import signal, subprocess, sys; signal.signal(2, lambda *_: None)\n"
        "parent = subprocess.Popen(sys.argv[1:]); print('pid', parent.pid, flush=True)\n"
        "print('left', parent.wait(), flush=True); signal.pause()"
    )

    def __init__(self, *command: str) -> None:
        self._first, self.master = pty.fork()
        if self._first == 0:
            words = [sys.executable, "-c", PARENT, *command]
            os.execv(sys.executable, [sys.executable, "-c", self._FIRST, *words])
        self.text = ""
        self.pid = int(self.read_until(r"pid (\d+)\r\n"))

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def read_until(self, pattern: str) -> str:
        """What the pattern's group matches."""
        while not (found := re.search(pattern, self.text)):
            self.text += os.read(self.master, 4096).decode()
        return found[found.re.groups]

    def exit_code(self) -> int:
        code = int(self.read_until(r"left (-?\d+)\r\n"))
        os.close(self.master)
        os.kill(self._first, signal.SIGKILL)
        os.waitpid(self._first, 0)
        return code


def test_ctrl_c_reaches_the_command_once() -> None:
    terminal = Terminal(*python(LISTENER))
    terminal.read_until("up")
    terminal.type("\x03")
    terminal.read_until("got 2\r\n")
    # In order: had the first been passed on as well, it would stand before this one.
    os.kill(terminal.pid, signal.SIGUSR1)
    terminal.read_until("got 10\r\n")
    assert terminal.text.count("got 2\r\n") == 1
    os.kill(terminal.pid, signal.SIGINT)
    os.kill(terminal.pid, signal.SIGUSR2)
    terminal.read_until("got 12\r\n")
    assert terminal.text.count("got 2\r\n") == 2
    terminal.type("\n")
    assert terminal.exit_code() == 33


def test_ctrl_c_ends_what_does_not_handle_it() -> None:
    terminal = Terminal("sh", "-c", "echo up; exec sleep 30")
    terminal.read_until("up")
    terminal.type("\x03")
    assert terminal.exit_code() == -signal.SIGINT
    assert "parent ends" in terminal.text


def test_in_foreground() -> None:
    code = "from reflex_core.cli import child; print('answer', child.in_foreground())"
    terminal = Terminal(*python(code))
    assert terminal.exit_code() == 0
    assert "answer True" in terminal.text
    process = start(*python(code), start_new_session=True)
    assert process.communicate(timeout=20)[0] == "answer False\nparent ends\n"


def test_stopped_while_nothing_runs() -> None:
    with pytest.raises(child.Stopped) as caught, child.stoppable():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_shielded() -> None:
    done = []
    with pytest.raises(child.Stopped), child.stoppable(), child.shielded():
        signal.raise_signal(signal.SIGTERM)
        done.append(True)
    assert done
