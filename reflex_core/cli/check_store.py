"""The doctor's look at the storage folder. Changes nothing."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from ..backends import sqlite_inspect
from ..backends.sqlite import FILE_NAME
from ..backends.sqlite_files import SECRET_BYTES, SECRET_NAME
from ..errors import BackendError
from .checks import Check, fail, info, ok, warn
from .settings import Settings

_CHECK_SECONDS = 10.0
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def store(settings: Settings) -> Iterator[Check]:
    folder = settings.config.storage_path
    if not settings.config.cache:
        yield info("store", "reflex_cache=false: nothing is stored")
        return
    try:
        yield from _folder(folder, settings.config.max_size)
    except OSError as error:
        text = f"{error.filename or folder} cannot be read: {error.strerror}"
        yield fail("store", text, f"chown or chmod {error.filename or folder}")


def _folder(folder: Path, max_size: int) -> Iterator[Check]:
    if not folder.exists():
        yield _can_be_made(folder)
        return
    problem = _folder_problem(folder)
    if problem is not None:
        yield problem
        return
    yield from _secret(folder / SECRET_NAME)
    yield from _file(folder / FILE_NAME, max_size)
    yield from _space(folder)


def _can_be_made(folder: Path) -> Check:
    parent = folder
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        text = f"{folder} cannot be made: {parent} is not writable"
        return fail("store", text, f"chown or chmod {parent}, or set reflex_storage_path")
    return info("store", f"{folder} is made when the proxy first starts")


def _folder_problem(folder: Path) -> Check | None:
    if not folder.is_dir():
        return fail("store", f"{folder} is not a folder", "set reflex_storage_path to a folder")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        text = f"{folder} is not writable: answers are kept in memory only"
        return fail("store", text, f"chown or chmod {folder}")
    if (
        folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        and not folder.stat().st_mode & stat.S_ISVTX
    ):
        return fail("store", f"{folder} can be written by others", f"chmod 700 {folder}")
    return None


def _secret(path: Path) -> Iterator[Check]:
    if not path.exists():
        return
    if (size := path.stat().st_size) != SECRET_BYTES:
        text = f"{path} has {size} bytes and not {SECRET_BYTES}: nothing can be stored"
        yield fail("tenant key", text, f"delete {path}: stored answers are lost, a new one is made")
    else:
        yield _private("tenant key", path) or ok("tenant key", str(path))


def _file(path: Path, max_size: int) -> Iterator[Check]:
    if not path.exists():
        yield info("store", f"{path} is made when the proxy first starts")
        return
    try:
        found = sqlite_inspect.summary(path, time.time())
        damage = sqlite_inspect.damage(path, _CHECK_SECONDS)
    except BackendError as error:
        yield fail("store", str(error), f"move {path} away: the next start makes an empty one")
        return
    if damage is not None:
        fix = "restart the proxy: it moves the file aside and begins an empty one"
        yield fail("store", f"{path} is damaged: {damage}", fix)
        return
    if problem := _private("store", path):
        yield problem
    share = found.bytes / max_size if max_size else 0
    yield ok(
        "store",
        f"{path}: {found.entries:,} answers, {_size(found.bytes)} ({share:.0%} of"
        f" reflex_max_size), schema {found.schema}",
    )


def _private(name: str, path: Path) -> Check | None:
    if path.stat().st_mode & _OTHERS:
        return warn(name, f"{path} can be read by others", f"chmod 600 {path}")
    return None


def _space(folder: Path) -> Iterator[Check]:
    free = shutil.disk_usage(folder).free
    if free < 64 * 2**20:
        text = f"only {_size(free)} are left on the disk of {folder}"
        yield fail("disk", text, "make room, or set reflex_storage_path to another disk")


def _size(count: float) -> str:
    units = iter(("bytes", "KiB", "MiB", "GiB"))
    unit = next(units)
    while count >= 1024 and (larger := next(units, None)):
        count, unit = count / 1024, larger
    return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
