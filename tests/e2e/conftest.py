"""Real parts for the end-to-end tests: mitmdump, TLS, a provider that speaks given bytes."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from .provider import Provider
from .proxy import Proxy


@pytest.fixture(scope="session")
def confdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mitmproxy's CA, made once a session."""
    return tmp_path_factory.mktemp("mitmproxy")


@pytest.fixture(scope="session")
def upstream_ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def upstream_ca_file(upstream_ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    upstream_ca.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    yield server
    server.close()


@pytest.fixture
def tls_provider(upstream_ca: trustme.CA) -> Iterator[Provider]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    upstream_ca.issue_cert("localhost").configure_cert(context)
    server = Provider(context)
    yield server
    server.close()


@pytest.fixture
def start(confdir: Path, tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    """Starts proxies that share one storage folder; all are stopped at the end."""
    running: list[Proxy] = []

    def start_one(*args: str, **options: object) -> Proxy:
        storage = Path(str(options.pop("storage", tmp_path / "store")))
        proxy = Proxy(confdir, storage, *args, **options)  # type: ignore[arg-type]
        running.append(proxy)
        return proxy

    yield start_one
    for proxy in running:
        proxy.stop()
