"""The command as users have it: a process of its own, in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from reflex_core.cli import instances, settings
from reflex_core.cli.instances import Instance
from reflex_core.cli.settings import Settings
from tests.e2e.conftest import server_tls
from tests.e2e.provider import Provider
from tests.e2e.proxy import free_port
from tests.e2e.speech import echo

COMMAND = [sys.executable, "-m", "reflex_core.cli"]
ROOT = Path(__file__).resolve().parents[2]
_CAS = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


def clean_environment() -> dict[str, str]:
    """This one's, without what would change how Reflex behaves."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith(("_API_KEY", "_PROXY"))
        and not name.startswith(("REFLEX_", "AWS_", "GOOGLE_", "OPENAI_", "OLLAMA_"))
        and name not in (*_CAS, "CODEX_CA_CERTIFICATE", "NODE_USE_ENV_PROXY")
    } | {"PYTHONPATH": str(ROOT)}


@dataclass
class Cli:
    """Calls `reflex-proxy` for one storage folder. `options` become `--set`."""

    options: dict[str, str]
    environ: dict[str, str] = field(default_factory=clean_environment)

    @property
    def storage(self) -> Path:
        return Path(self.options["reflex_storage_path"])

    def arguments(self, *args: str, **options: str) -> list[str]:
        """`args`, with the settings after the command's name."""
        settings = {**self.options, **options}
        sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
        return [*COMMAND, args[0], *sets, *args[1:]]

    def __call__(
        self,
        *args: str,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        **options: str,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.arguments(*args, **options),
            env={**self.environ, **(environ or {})},
            capture_output=True,
            text=True,
            timeout=90,
            cwd=cwd,
            check=False,
        )

    def start(self, *args: str, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.arguments(*args),
            env=self.environ | more.pop("environ", {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def proxies(self) -> list[Instance]:
        return instances.living(self.storage)


@pytest.fixture(scope="session")
def provider_ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def provider_ca_file(provider_ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("provider") / "ca.pem"
    provider_ca.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="session")
def _tls_provider(provider_ca: trustme.CA) -> Iterator[Provider]:
    server = Provider(server_tls(provider_ca))
    yield server
    server.close()


@pytest.fixture
def provider(_tls_provider: Provider) -> Provider:
    """An OpenAI-speaking provider behind TLS."""
    _tls_provider.reset()
    _tls_provider.reply = echo
    return _tls_provider


@pytest.fixture(scope="session")
def mitmproxy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With mitmproxy's CA, as soon as a proxy has run."""
    return tmp_path_factory.mktemp("mitmproxy")


@pytest.fixture
def cli(
    tmp_path: Path, mitmproxy_folder: Path, provider: Provider, provider_ca_file: Path
) -> Iterator[Cli]:
    """Nothing runs. Proxies that are left are stopped at the end."""
    found = Cli(
        {
            "confdir": str(mitmproxy_folder),
            "reflex_storage_path": str(tmp_path / "store"),
            "reflex_upstream": provider.url + "/v1",
            "reflex_semantic": "false",  # starts faster
            "ssl_verify_upstream_trusted_ca": str(provider_ca_file),
        }
    )
    found.environ["OPENAI_API_KEY"] = "sk-client-very-secret"
    yield found
    for instance in found.proxies():
        instance.stop()


@pytest.fixture(scope="session")
def _serving(
    tmp_path_factory: pytest.TempPathFactory,
    mitmproxy_folder: Path,
    _tls_provider: Provider,
    provider_ca_file: Path,
) -> Iterator[Cli]:
    cli = Cli(
        {
            "confdir": str(mitmproxy_folder),
            "reflex_storage_path": str(tmp_path_factory.mktemp("serving") / "store"),
            "reflex_upstream": _tls_provider.url + "/v1",
            "reflex_semantic": "false",  # starts faster
            "ssl_verify_upstream_trusted_ca": str(provider_ca_file),
        }
    )
    ports = ("--port", str(free_port()), "--reverse-port", str(free_port()))
    process = cli.start("serve", *ports)
    assert process.stdout is not None
    for line in process.stdout:
        if "reflex: ready" in line:
            break
    else:
        raise AssertionError(f"serve did not start: {process.communicate()}")
    cli.environ["OPENAI_API_KEY"] = "sk-client-very-secret"
    yield cli
    process.terminate()
    process.communicate(timeout=30)


@pytest.fixture
def serving(_serving: Cli, provider: Provider) -> Cli:
    """A `serve` runs, shared by a session."""
    return _serving


@pytest.fixture
def question(request: pytest.FixtureRequest) -> str:
    """A prompt that no other test uses."""
    return f"What about {request.node.nodeid.removeprefix('tests/cli/')}?"


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process too nothing is set that a user might have."""
    clean = clean_environment()
    for name in set(os.environ) - set(clean):
        monkeypatch.delenv(name)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Settings]:
    """Settings on an own storage folder and mitmproxy folder."""

    def load_it(provider: str | None = None, **options: object) -> Settings:
        options = {
            "confdir": tmp_path / "mitmproxy",
            "reflex_storage_path": tmp_path / "store",
            **options,
        }
        return settings.load(
            Namespace(provider=provider, set=[f"{n}={v}" for n, v in options.items()])
        )

    return load_it


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
