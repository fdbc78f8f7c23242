"""The service unit and the Dockerfile: safe, and in step with the command they start."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from reflex_core.cli import main
from reflex_core.options import OPTIONS

from .conftest import ROOT, Cli

UNIT = ROOT / "scripts" / "deploy" / "reflex-proxy.service"
DOCKERFILE = ROOT / "scripts" / "deploy" / "Dockerfile"
VARIABLES = {o.env for o in OPTIONS} | {
    "REFLEX_BIND",
    "REFLEX_PORT",
    "REFLEX_REVERSE_PORT",
    "REFLEX_UI",
}
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze"
)


def served(words: list[str]) -> None:
    """The words are a command line of ours that serves."""
    assert Path(words[0]).name == "reflex-proxy"
    args = main._parse(main.build_parser(), words[1:])
    assert (args.module, args.rest) == ("serve", [])


# ---------------------------------------------------------------------- systemd


def unit() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_unit() -> None:
    found = unit()
    served(shlex.split(found["ExecStart"][0]))
    assert "REFLEX_BIND=127.0.0.1" in found["Environment"]
    assert {
        v.partition("=")[0] for v in found["Environment"] if v.startswith("REFLEX")
    } <= VARIABLES
    assert found["DynamicUser"] == found["NoNewPrivileges"] == ["yes"]
    assert found["ProtectSystem"] == ["strict"]
    assert found["CapabilityBoundingSet"] == [""]
    # All that is written lies in the one folder that is writable.
    (state,) = found["StateDirectory"]
    paths = re.findall(r"%S/[\w-]+", UNIT.read_text())
    assert len(paths) == 2
    assert set(paths) == {f"%S/{state}"}


@needs_systemd
def test_unit_by_systemd(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    program = Path(sys.executable).parent / "reflex-proxy"
    copy.write_text(UNIT.read_text().replace("/opt/reflex/bin/reflex-proxy", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    # Exposure, from 0 to 100: 20 and below is "OK", what most services have is above 90.
    security = ["systemd-analyze", "security", "--offline=true", "--threshold=20", copy]
    done = subprocess.run(security, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# ---------------------------------------------------------------------- Docker


def instructions() -> Iterator[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.strip():
            name, _, value = line.partition(" ")
            yield name, value


def test_dockerfile() -> None:
    found = list(instructions())
    names = [name for name, _ in found]
    assert names[0] == "FROM"
    assert names[-1] == "ENTRYPOINT"
    assert set(names) <= {
        "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK",
        "STOPSIGNAL", "ENTRYPOINT",
    }  # fmt: skip
    values = dict(found)
    assert int(values["USER"].partition(":")[0]) > 0
    assert names.index("USER") > max(i for i, name in enumerate(names) if name == "RUN")
    served(json.loads(values["ENTRYPOINT"]))
    assert values["EXPOSE"].split() == ["8080", "8081"]
    # A tag that says what it is, and the same for what builds and what runs.
    images = {value.split()[0] for name, value in found if name == "FROM"}
    assert len(images) == 1
    assert re.fullmatch(r"python:3\.1\d-slim-\w+", images.pop())
    for name, value in found:
        if name == "RUN":
            assert "pip" not in value or "--no-cache-dir" in value
        if name == "ENV":
            given = dict(word.partition("=")[::2] for word in value.split())
            assert {v for v in given if v.startswith("REFLEX")} <= VARIABLES
            assert not any(re.search("KEY|TOKEN|SECRET", variable) for variable in given)


def test_docker_context() -> None:
    """What is copied is there, and not ignored."""
    let_in = {
        line[1:]
        for line in (DOCKERFILE.with_name("Dockerfile.dockerignore")).read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        source
        for name, value in instructions()
        if name == "COPY" and "--from" not in value
        for source in value.split()[:-1]
    }
    assert copied == let_in
    assert all((ROOT / source).exists() for source in copied)


def test_health_check(serving: Cli) -> None:
    (value,) = [value for name, value in instructions() if name == "HEALTHCHECK"]
    python, *rest = json.loads(value[value.index("[") :])
    assert python == "python"
    (proxy,) = serving.proxies()
    port = str(urlsplit(proxy.state.admin).port)
    for code, expected in ((rest[1].replace("8081", port), 0), (rest[1].replace("8081", "1"), 1)):
        done = subprocess.run([sys.executable, rest[0], code], capture_output=True, check=False)
        assert done.returncode == expected


# ---------------------------------------------------------------------- the wheel


def test_wheel(tmp_path: Path) -> None:
    """What the image installs has the command, and the addon beside the core."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    assert (tmp_path / "site" / "addons" / "reflex.py").is_file()
    (points,) = (tmp_path / "site").glob("*.dist-info/entry_points.txt")
    assert "reflex-proxy = reflex_core.cli.main:main" in points.read_text()
    code = "from reflex_core.cli import launch; print(launch.addon())"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path / "site")}, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == f"{tmp_path / 'site' / 'addons' / 'reflex.py'}\n", done.stderr
