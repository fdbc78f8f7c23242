"""Which proxies run on a storage folder, and who uses them.

Each proxy has in `proxies/`: ID.lock, which it holds locked for as long as it lives; ID.json, what
there is to know; ID.users, which every `run` that goes through it holds locked with others; ID.log.
A process that dies, however it dies, loses its locks, so nothing here is ever out of date.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import signal
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, cast

import orjson

from .. import __version__
from ..config import Config
from ..options import OPTIONS
from ..types import Provider

_FOLDER = "proxies"
_POLL = 0.05
"""Seconds."""


@dataclass(frozen=True, slots=True)
class State:
    """What ID.json holds. Settings and keys are there as keyed hashes only."""

    pid: int
    url: str
    """Of the forward listener."""
    admin: str
    """Of the reverse listener."""
    ca: str
    owner: Literal["run", "serve"]
    """One that `run` started ends with its last user."""
    started: float
    """Unix seconds."""
    salt: str
    settings: Mapping[str, str]
    keys: Mapping[str, str]
    version: str = __version__


@dataclass(frozen=True, slots=True)
class Instance:
    """A proxy that lives."""

    folder: Path
    id: str
    state: State

    @property
    def lock(self) -> Path:
        return self.folder / f"{self.id}.lock"

    def is_alive(self) -> bool:
        return _is_locked(self.lock)

    def join(self) -> int | None:
        """A handle to hold as long as the proxy is used; None when it is being stopped."""
        handle = os.open(self.folder / f"{self.id}.users", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return None
        return handle

    def leave(self, handle: int) -> None:
        """Give the handle back; the last user stops a proxy that `run` started."""
        try:
            if self.state.owner == "run":
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.stop()
        except BlockingIOError:
            pass  # others use it
        finally:
            os.close(handle)

    def stop(self, patience: float = 20.0) -> None:
        """Ends it; SIGKILL after `patience` seconds. Further Ctrl-C hurry it."""
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + patience
        hurried = False
        while self.is_alive():
            _reap(self.state.pid)
            impatient = signal.sigpending() & {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
            if impatient and not hurried:
                hurried = True
                self._signal(signal.SIGTERM)
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
                deadline += patience
            time.sleep(_POLL)
        _reap(self.state.pid)
        _remove(self.lock)

    def _signal(self, number: int) -> None:
        # The lock is held, so the pid is still the proxy's.
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.state.pid, number)


class Slot:
    """The place of a proxy that is about to start. `handle` must be inherited by it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = secrets.token_hex(6)
        self.log = folder / f"{self.id}.log"
        self.handle = os.open(folder / f"{self.id}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self.handle, fcntl.LOCK_EX)
        os.set_inheritable(self.handle, True)

    def publish(self, state: State) -> Instance:
        """From now on others find it."""
        draft = self.folder / f"{self.id}.draft"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(orjson.dumps(asdict(state)))
        draft.replace(self.folder / f"{self.id}.json")
        return Instance(self.folder, self.id, state)

    def close(self) -> None:
        """The proxy has its own copy of the handle."""
        os.close(self.handle)


@contextmanager
def starting(storage: Path) -> Generator[Path]:
    """One starter at a time. Gives the folder, cleared of what dead proxies left. Raises OSError."""
    storage.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = storage / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(folder / "start", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        _clear(folder)
        yield folder
    finally:
        os.close(handle)


def living(storage: Path) -> list[Instance]:
    """All that run, newest first. Changes nothing."""
    found: list[Instance] = []
    for path in (storage / _FOLDER).glob("*.json"):
        state = _read(path)
        if state is not None and _is_locked(path.with_suffix(".lock")):
            found.append(Instance(path.parent, path.stem, state))
    return sorted(found, key=lambda instance: instance.state.started, reverse=True)


def _read(path: Path) -> State | None:
    try:
        value: Any = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    if not isinstance(value, dict):
        return None
    given = cast(dict[str, Any], value)
    try:
        return State(**{f.name: given[f.name] for f in fields(State)})
    except KeyError:
        return None


def _is_locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _clear(folder: Path) -> None:
    for lock in folder.glob("*.lock"):
        if not _is_locked(lock):
            _remove(lock)


def _remove(lock: Path) -> None:
    """All that a dead proxy left."""
    for end in ("json", "users", "log", "draft", "lock"):
        lock.with_suffix(f".{end}").unlink(missing_ok=True)


def _reap(pid: int) -> None:
    """Take the exit status, in case the proxy is a child of ours."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


# ---------------------------------------------------------------------- what it was started with


def settings_digests(
    config: Config, mitmproxy: Mapping[str, tuple[str, ...]], salt: str
) -> dict[str, str]:
    """Every option's value, hashed: some hold passwords (`upstream_proxy`)."""
    values: dict[str, Any] = {
        option.name: getattr(config, option.name)
        for option in OPTIONS
        if hasattr(config, option.name)
    }
    # Rows of the user's own, which the TOML file may define.
    values["config"] = sorted(config.providers.items())
    values |= {f"mitmproxy {name}": value for name, value in mitmproxy.items()}
    return {name: _digest(repr(value), salt) for name, value in values.items()}


def key_digests(
    providers: Mapping[str, Provider], environ: Mapping[str, str], salt: str
) -> dict[str, str]:
    """The variables that hold providers' keys and addresses, hashed.

    OpenAI's and Azure's keys come with each request, from the client.
    """
    names: set[str] = set()
    for provider in providers.values():
        if provider.name not in ("openai", "azure"):
            names.update(provider.key_env)
        for variables in provider.options_env.values():
            names.update(variables)
    return {name: _digest(environ[name], salt) for name in sorted(names) if environ.get(name)}


def _digest(text: str, salt: str) -> str:
    return hashlib.blake2b(text.encode(), key=bytes.fromhex(salt), digest_size=16).hexdigest()
