"""Who listens on a port of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_LISTEN = "0A"
"""TCP_LISTEN in /proc/net/tcp (proc(5))."""


def owner(port: int) -> str | None:
    """`name (pid N)`, or None where it cannot be told, as for another user's process."""
    if Path("/proc/net/tcp").exists():
        return _from_proc(port)
    return _from_lsof(port)


def _from_proc(port: int) -> str | None:
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(os.readlink(entry.path) in sockets for entry in os.scandir(folder)):
                name = (folder.parent / "comm").read_text().strip()
                return f"{name} (pid {folder.parent.name})"
        except OSError:
            continue  # not ours to see, or gone
    return None


def _inodes(port: int) -> list[str]:
    found: list[str] = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                found.append(columns[9])
    return found


def _from_lsof(port: int) -> str | None:
    lsof = shutil.which("lsof")
    if lsof is None:
        return None
    command = [lsof, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    fields = {line[:1]: line[1:] for line in output.splitlines()}
    return f"{fields['c']} (pid {fields['p']})" if {"c", "p"} <= fields.keys() else None
