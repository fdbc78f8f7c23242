"""The store's files: who may read them, the tenant secret, moving a broken store aside."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

from ..errors import BackendError

SECRET_NAME = "tenant.key"
SECRET_BYTES = 32
_SIDES = ("-wal", "-shm")
_KEPT_CORRUPT = 2
"""Corrupt stores that are kept for a look; older ones are deleted."""


def prepare(path: Path) -> None:
    """Make the folder (0700 when new) and the file (0600, whatever the umask). Raises OSError.

    SQLite gives its -wal and -shm files the permissions of the database file.
    """
    _make_folder(path.parent)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    _only_owner(path)


def _make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _only_owner(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)


def identity(path: Path) -> tuple[int, int] | None:
    """What tells this file from another one put in its place; None when it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def remove_sides(path: Path) -> None:
    """Delete the -wal and -shm files of a database that is gone. Raises OSError.

    A new database must not share them with connections to the old one that are still in use.
    """
    for side in _SIDES:
        path.with_name(path.name + side).unlink(missing_ok=True)


def set_aside(path: Path, why: str, now: float) -> str:
    """Rename the store to `<name>.<why>-<utc>`; returns a message for the log. Raises OSError.

    The database goes first: a -wal left alone beside no database, or an empty one, is dropped by
    SQLite, so that being killed in between does no harm.
    """
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.{why}-{stamp}")
    number = 1
    while aside.exists():
        aside = path.with_name(f"{path.name}.{why}-{stamp}-{number}")
        number += 1
    path.rename(aside)
    for side in _SIDES:
        try:
            path.with_name(path.name + side).rename(aside.with_name(aside.name + side))
        except FileNotFoundError:
            pass
    _forget_oldest(path)
    reason = {
        "corrupt": "The store is damaged",
        "newer": "The store was written by a newer Reflex",
        "foreign": "The store's file belongs to another program",
    }[why]
    return f"{reason}. It was moved to {aside} and an empty one was started."


def _forget_oldest(path: Path) -> None:
    names = [p for p in path.parent.glob(f"{path.name}.corrupt-*") if not p.name.endswith(_SIDES)]
    for old in sorted(names)[:-_KEPT_CORRUPT]:
        for name in ("", *_SIDES):
            old.with_name(old.name + name).unlink(missing_ok=True)


def tenant_secret(folder: Path) -> bytes:
    """The 32 bytes that key the tenants' hashes, made at the first call. Raises BackendError.

    Two processes that start at once get the same: the file appears whole or not at all, and the
    first one wins. Losing it makes every stored answer unreachable, and harms nothing else.
    """
    path = folder / SECRET_NAME
    try:
        _make_folder(folder)
        try:
            return _read_secret(path)
        except FileNotFoundError:
            _create_secret(path)
            return _read_secret(path)
    except OSError as error:
        raise BackendError(f"cannot read or make {path}: {error}") from error


def _read_secret(path: Path) -> bytes:
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise BackendError(f"{path} is not {SECRET_BYTES} bytes long; remove it to make a new one")
    _only_owner(path)
    return secret


def _create_secret(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
    finally:
        draft.unlink(missing_ok=True)
