"""Running the user's command in the foreground, as if Reflex were not there."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress

from .errors import CliError

_PASSED_ON = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
    }
)
_AWAITED = _PASSED_ON | {signal.SIGCHLD}
_FROM_TERMINAL = frozenset({signal.SIGINT, signal.SIGQUIT})
"""The terminal sends these to every process of the foreground job, the command among them."""
_SI_KERNEL = 0x80
"""`si_code` of a signal that no process sent (sigaction(2), Linux)."""
_PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
"""As POSIX shells, `env` and `timeout` say it."""


class Stopped(BaseException):
    """A signal came while there was no command to pass it on to."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def stoppable() -> Generator[None]:
    """SIGTERM, SIGHUP and SIGINT raise Stopped, so that what was started is stopped."""

    def stop(number: int, frame: object) -> None:
        raise Stopped(number)

    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    # One that is ignored (nohup) stays ignored.
    before = {n: signal.signal(n, stop) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def shielded() -> Generator[None]:
    """A signal that comes inside is seen at the end. Children need `release_signals`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def hold_signals() -> None:
    """From now on they wait: for `run`, which passes them on, or for the end of the process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)


def run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """The wait status of `command`. Signals must be held. Raises CliError (126, 127)."""
    try:
        pid = os.posix_spawnp(
            command[0], list(command), dict(environ), setsigmask=[], setsigdef=_PYTHON_IGNORES
        )
    except FileNotFoundError:
        raise CliError(f"{command[0]}: command not found.", _NOT_FOUND) from None
    except OSError as error:
        raise CliError(f"{command[0]}: {error.strerror}.", _NOT_EXECUTABLE) from None
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        number, from_terminal = _wait()
        if number != signal.SIGCHLD and not (from_terminal and number in _FROM_TERMINAL):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _wait() -> tuple[int, bool]:
    """(a signal, whether the terminal sent it)."""
    if hasattr(signal, "sigwaitinfo"):
        info = signal.sigwaitinfo(_AWAITED)
        return info.si_signo, info.si_code == _SI_KERNEL
    return signal.sigwait(_AWAITED), in_foreground()  # macOS does not say who sent it


def in_foreground() -> bool:
    """Whether the terminal's Ctrl-C reaches this process and what it started."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def leave_like(status: int) -> int:
    """The exit code for a wait status; a command that a signal ended ends us in the same way."""
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status)
    return die(os.WTERMSIG(status))


def die(number: int) -> int:
    """Of this signal, without a core file. Returns the exit code where it does not kill."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    return 128 + number
