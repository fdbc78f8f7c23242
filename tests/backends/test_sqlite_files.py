from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from reflex_core.backends import sqlite_files as files
from reflex_core.errors import BackendError

NOW = 1_700_000_000.0


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_secret_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    old = os.umask(0)
    try:
        secret = files.tenant_secret(folder)
    finally:
        os.umask(old)
    assert len(secret) == 32
    assert files.tenant_secret(folder) == secret
    assert files.tenant_secret(tmp_path / "other") != secret
    assert mode(folder) == 0o700
    assert [(p.name, mode(p)) for p in folder.iterdir()] == [("tenant.key", 0o600)]


def test_secret_permissions_are_tightened(tmp_path: Path) -> None:
    files.tenant_secret(tmp_path)
    (tmp_path / "tenant.key").chmod(0o644)
    files.tenant_secret(tmp_path)
    assert mode(tmp_path / "tenant.key") == 0o600


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_damaged_secret_is_never_used(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tenant.key").write_bytes(content)
    with pytest.raises(BackendError, match="32 bytes"):
        files.tenant_secret(tmp_path)
    assert (tmp_path / "tenant.key").read_bytes() == content


def test_secret_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BackendError, match=r"tenant\.key"):
        files.tenant_secret(tmp_path / "file")
    (tmp_path / "tenant.key").mkdir()
    with pytest.raises(BackendError):
        files.tenant_secret(tmp_path)


def test_all_get_the_same_secret(tmp_path: Path) -> None:
    for round in range(10):
        folder = tmp_path / str(round)
        start = threading.Barrier(8)
        found: list[bytes] = []

        def work(folder: Path, start: threading.Barrier, found: list[bytes]) -> None:
            start.wait()
            found.append(files.tenant_secret(folder))

        threads = [threading.Thread(target=work, args=(folder, start, found)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert set(found) == {(folder / "tenant.key").read_bytes()}
        assert len(list(folder.iterdir())) == 1, "no drafts are left"


def test_prepare(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.db"
    old = os.umask(0)
    try:
        files.prepare(path)
    finally:
        os.umask(old)
    assert (mode(path.parent), mode(path)) == (0o700, 0o600)
    path.write_bytes(b"kept")
    path.chmod(0o666)
    files.prepare(path)
    assert (mode(path), path.read_bytes()) == (0o600, b"kept")


def test_identity(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    assert files.identity(path) is None
    path.touch()
    other.touch()
    first = files.identity(path)
    path.write_bytes(b"more")
    assert files.identity(path) == first
    other.replace(path)
    assert files.identity(path) not in (None, first)


@pytest.mark.parametrize("why", ["corrupt", "newer", "foreign"])
def test_set_aside(tmp_path: Path, why: str) -> None:
    path = tmp_path / "x.db"
    for number in range(2):
        for side in ("", "-wal", "-shm"):
            (tmp_path / f"x.db{side}").write_text(f"{number}{side}")
        message = files.set_aside(path, why, NOW)
        name = f"x.db.{why}-20231114T221320.000000Z" + ("-1" if number else "")
        assert str(tmp_path / name) in message
        for side in ("", "-wal", "-shm"):
            assert (tmp_path / (name + side)).read_text() == f"{number}{side}"
            assert not (tmp_path / f"x.db{side}").exists()


def test_set_aside_without_sides_and_without_file(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.touch()
    files.set_aside(path, "corrupt", NOW)
    assert [p.name for p in tmp_path.iterdir()] == ["x.db.corrupt-20231114T221320.000000Z"]
    with pytest.raises(FileNotFoundError):
        files.set_aside(path, "corrupt", NOW)


def test_only_two_corrupt_ones_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    for number in range(4):
        for side in ("", "-wal"):
            (tmp_path / f"x.db{side}").touch()
        files.set_aside(path, "newer", NOW + number)
        for side in ("", "-wal"):
            (tmp_path / f"x.db{side}").touch()
        files.set_aside(path, "corrupt", NOW + number)
    names = sorted(p.name for p in tmp_path.glob("*corrupt*"))
    assert names == [
        f"x.db.corrupt-20231114T2213{20 + n}.000000Z{side}" for n in (2, 3) for side in ("", "-wal")
    ]
    assert len(list(tmp_path.glob("*newer*"))) == 8


def test_remove_sides(tmp_path: Path) -> None:
    for name in ("x.db", "x.db-wal", "x.db-shm", "y.db-wal"):
        (tmp_path / name).touch()
    files.remove_sides(tmp_path / "x.db")
    files.remove_sides(tmp_path / "x.db")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.db", "y.db-wal"]
