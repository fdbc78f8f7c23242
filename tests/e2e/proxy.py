"""The real mitmdump with the addon, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def free_port() -> int:
    """A port that nobody listens on right now: mitmproxy refuses 0 for two modes at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    """Started with the addon's options as keyword arguments; `log` is all it printed."""

    def __init__(
        self,
        confdir: Path,
        storage: Path,
        *args: str,
        environ: dict[str, str] | None = None,
        wait: bool = True,
        program: str = "mitmdump",
        script: Path = ROOT / "addons" / "reflex.py",
        **options: str,
    ) -> None:
        self.storage = storage
        options = {"reflex_storage_path": str(storage), "reflex_semantic": "false", **options}
        settings = [
            part for name, value in options.items() for part in ("--set", f"{name}={value}")
        ]
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().endswith(("_API_KEY", "_PROXY"))
            and not name.startswith(("REFLEX_", "AWS_"))
        }
        self._lines: list[str] = []
        self.process = subprocess.Popen(
            [
                str(BIN / program),
                "--set",
                f"confdir={confdir}",
                "--listen-host",
                "127.0.0.1",
                "--mode",
                f"regular@{free_port()}",
                "--mode",
                f"reverse:https://api.openai.com@{free_port()}",
                "-s",
                str(script),
                *settings,
                *args,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**inherited, "PYTHONUNBUFFERED": "1", **(environ or {})},
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        if wait:
            self.url = self._found(r"HTTPS_PROXY=(\S+)")
            self.base_url = self._found(r"OPENAI_BASE_URL=(\S+)")
            self.ca = confdir / "mitmproxy-ca-cert.pem"

    @property
    def log(self) -> str:
        return "".join(self._lines)

    @property
    def root(self) -> str:
        return self.base_url.removesuffix("/v1")

    def wait_for(self, text: str, seconds: float = 10) -> None:
        """Until the log has `text`."""
        self._found(re.escape(text), seconds)

    def stop(self, sig: int = signal.SIGTERM) -> int:
        """The exit code; the log is complete afterwards."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(30)
        self._thread.join(10)
        return code

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                self._lines.append(line)

    def _found(self, pattern: str, seconds: float = 30) -> str:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if match := re.search(pattern, self.log):
                return match[match.re.groups and 1]
            if self.process.poll() is not None:
                self._thread.join(5)
                if match := re.search(pattern, self.log):
                    return match[match.re.groups and 1]
                break
            time.sleep(0.02)
        raise AssertionError(f"no {pattern!r} in the proxy's log:\n{self.log}")
