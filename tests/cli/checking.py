"""What the tests of the doctor's checks have in common."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reflex_core.cli.checks import Check
from reflex_core.cli.settings import Settings
from tests.e2e.provider import Answer, Received

from .conftest import COMMAND, clean_environment

Load = Callable[..., Settings]


def by_name(checks: Iterator[Check]) -> dict[str, Check]:
    found: dict[str, Check] = {}
    for check in checks:
        # What needs mending is said with how.
        assert check.fix or check.status in ("ok", "info")
        assert "\n" not in check.detail
        found[check.name] = check
    return found


def only(checks: Iterator[Check]) -> Check:
    (check,) = by_name(checks).values()
    return check


def doctor_in(python: Path | str, path: str, *args: str) -> dict[str, Any]:
    """Checks by name, from another Python or other packages."""
    done = subprocess.run(
        [str(python), *COMMAND[1:], "doctor", "--offline", "--json", *args],
        env={**clean_environment(), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout, done.stderr
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def distribution(folder: Path, name: str, version: str) -> None:
    """A package that claims to be installed."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def no_such_model(request: Received) -> Answer:
    """What OpenAI says to a right key."""
    error = {"message": "The model does not exist.", "type": "invalid_request_error", "code": None}
    return Answer([json.dumps({"error": error}).encode()], status=404)
