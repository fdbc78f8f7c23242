"""`plan`, `warm` and `eval`: captures made by mitmdump from the openai SDK."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.provider import Provider
from tests.e2e.proxy import free_port

from .conftest import COMMAND, ROOT, Cli, clean_environment
from .test_run import ASKER
from .test_serve import ready

QUESTION = "What is in the capture?"


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two equal questions, as answered by the mock provider with the cache off."""
    folder = tmp_path_factory.mktemp("capture")
    cli = Cli(
        {
            "confdir": str(folder / "mitmproxy"),
            "reflex_storage_path": str(folder / "store"),
            "reflex_mock_provider": "true",
            "reflex_cache": "false",
        }
    )
    cli.environ["OPENAI_API_KEY"] = "sk-capture"
    path = folder / "capture.mitm"
    ports = ("--port", str(free_port()), "--reverse-port", str(free_port()))
    process = cli.start("serve", *ports, "-w", str(path))
    ready(process)
    done = cli("run", "-q", "--", *ASKER, QUESTION)
    assert done.returncode == 0, done.stderr
    process.terminate()
    process.communicate(timeout=30)
    return path


def test_plan(cli: Cli, capture: Path, tmp_path: Path) -> None:
    page = tmp_path / "plan.html"
    done = cli("plan", str(capture), "--json", "--html", str(page))
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), dict)
    assert page.read_text().lower().startswith("<!doctype html>")
    text = cli("plan", str(capture)).stdout
    assert QUESTION in text


def test_warm(cli: Cli, capture: Path, provider: Provider) -> None:
    done = cli("warm", str(capture), reflex_mock_provider="true")
    assert done.returncode == 0, done.stderr
    assert json.loads(cli("stats", "--json").stdout)["store"]["entries"] == 1
    with capture.open("rb") as file:
        again = subprocess.run(
            cli.arguments("warm", "-", "--json", reflex_mock_provider="true"),
            stdin=file, env=cli.environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert isinstance(json.loads(again.stdout), dict)
    assert json.loads(cli("stats", "--json").stdout)["store"]["entries"] == 1
    assert provider.received == []


def test_no_such_capture(cli: Cli) -> None:
    for command in ("plan", "warm"):
        done = cli(command, "/no/such/file")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "reflex-proxy: /no/such/file: there is no such file.\n"


def test_a_file_that_is_no_capture(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(b"\x00garbage")
    done = cli("plan", str(path), "--json")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_eval_needs_a_checkout(tmp_path: Path) -> None:
    """A copy of the package alone, as pip installs it."""
    (tmp_path / "reflex_core").symlink_to(ROOT / "reflex_core")
    code = (
        "import sys; from reflex_core.cli import launch, main; from pathlib import Path\n"
        "launch.ROOT = Path(sys.argv[1]); sys.exit(main.main(['eval']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "reflex-proxy: eval needs a checkout of the repository: its pairs are not installed.\n"
    )


def test_eval() -> None:
    """Its arguments go on."""
    done = subprocess.run(
        [*COMMAND, "eval", "--", "--help"],
        env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "eval_hits.py" in done.stdout
