"""Real parts for the end-to-end tests: mitmdump, TLS, a provider that speaks given bytes.

Starting mitmdump takes seconds, so a few proxies serve a whole session, each with a provider of its
own. Tests that share one use distinct prompts (`question`), and reset the provider's answers.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from reflex_core.catalog_rows import PROVIDERS

from .asking import KEY
from .provider import Provider
from .proxy import Proxy
from .speech import echo

Start = Callable[..., Proxy]


@dataclass
class Stand:
    """A proxy and the provider behind it."""

    proxy: Proxy
    provider: Provider

    def fresh(self) -> Stand:
        """As it was at first, but for what the proxy has stored."""
        assert self.proxy.process.poll() is None, f"an earlier test killed it:\n{self.proxy.log}"
        self.provider.reset()
        self.provider.reply = echo
        return self

    def close(self) -> None:
        self.proxy.stop()
        self.provider.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the ends of its proxies' logs."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for name, value in item.funcargs.items():
            found = value.proxy if isinstance(value, Stand) else value
            if isinstance(found, Proxy):
                report.sections.append((f"log of {name}", found.log[-8000:]))
    return report


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own proxies are not meant for these tests."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def question(request: pytest.FixtureRequest) -> str:
    """A prompt that no other test uses."""
    return f"What about {request.node.nodeid.removeprefix('tests/e2e/')}?"


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


def server_tls(ca: trustme.CA) -> ssl.SSLContext:
    """For a server called localhost."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("localhost").configure_cert(context)
    return context


# ---------------------------------------------------------------------- shared by a session


@pytest.fixture(scope="session")
def _plain(confdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    provider = Provider()
    proxy = Proxy(
        confdir,
        tmp_path_factory.mktemp("plain") / "store",
        reflex_upstream=provider.url + "/v1",
        reflex_shared_namespaces="team",
        reflex_disconnect_grace="0s",
    )
    stand = Stand(proxy, provider)
    yield stand
    stand.close()


@pytest.fixture
def proxy(_plain: Stand) -> Proxy:
    """In front of `provider`, which speaks OpenAI's dialect over plain HTTP."""
    return _plain.fresh().proxy


@pytest.fixture
def provider(_plain: Stand) -> Provider:
    return _plain.provider


@pytest.fixture(scope="session")
def _secure(
    confdir: Path,
    tmp_path_factory: pytest.TempPathFactory,
    upstream_ca: trustme.CA,
    upstream_ca_file: Path,
) -> Iterator[Stand]:
    provider = Provider(server_tls(upstream_ca))
    proxy = Proxy(
        confdir,
        tmp_path_factory.mktemp("secure") / "store",
        reflex_upstream=provider.url + "/v1",
        reflex_disconnect_grace="0s",
        ssl_verify_upstream_trusted_ca=str(upstream_ca_file),
    )
    stand = Stand(proxy, provider)
    yield stand
    stand.close()


@pytest.fixture
def secure(_secure: Stand) -> Stand:
    """TLS on both sides."""
    return _secure.fresh()


@pytest.fixture(scope="session")
def _brisk(confdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    provider = Provider()
    proxy = Proxy(
        confdir,
        tmp_path_factory.mktemp("brisk") / "store",
        reflex_upstream=provider.url + "/v1",
        reflex_keepalive="100ms",
        reflex_first_byte_timeout="1s",
        reflex_idle_timeout="1s",
        reflex_connect_timeout="1s",
        reflex_ttl="1s",
    )
    stand = Stand(proxy, provider)
    yield stand
    stand.close()


@pytest.fixture
def brisk(_brisk: Stand) -> Stand:
    """All times are short."""
    return _brisk.fresh()


@pytest.fixture(scope="session")
def dead_ends() -> Iterator[dict[str, str]]:
    """URLs of places that cannot be reached, by what is wrong with them."""
    stranger = Provider(server_tls(trustme.CA()))
    refused, full = socket.socket(), socket.socket()
    refused.bind(("127.0.0.1", 0))
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    waiting = [socket.socket() for _ in range(2)]
    for one in waiting:  # Linux lets one more in than the backlog says.
        one.setblocking(False)
        one.connect_ex(full.getsockname())
    yield {
        "refused": f"http://127.0.0.1:{refused.getsockname()[1]}",
        "full": f"http://127.0.0.1:{full.getsockname()[1]}",
        "nodns": "http://there-is-no-such-host.invalid",
        "stranger": stranger.url,
    }
    stranger.close()
    for one in (refused, full, *waiting):
        one.close()


@pytest.fixture(scope="session")
def _world(
    confdir: Path, tmp_path_factory: pytest.TempPathFactory, dead_ends: dict[str, str]
) -> Iterator[Stand]:
    provider = Provider()
    folder = tmp_path_factory.mktemp("world")
    config = folder / "reflex.toml"
    config.write_text(world_toml(provider.url, dead_ends))
    proxy = Proxy(
        confdir,
        folder / "store",
        reflex_config=str(config),
        # Recorded JSON answers were answers to requests for JSON.
        reflex_stream_upstream="false",
        reflex_connect_timeout="1s",
        environ={**provider_keys(), "AWS_REGION": "us-east-1", "GOOGLE_CLOUD_PROJECT": "project"},
    )
    stand = Stand(proxy, provider)
    yield stand
    stand.close()


@pytest.fixture
def world(_world: Stand) -> Stand:
    """Every provider of the catalogue, as `name::model`, is the one fake, each below its own path."""
    return _world.fresh()


def world_toml(url: str, more: Mapping[str, str] | None = None) -> str:
    """Rows that move every provider to `url/NAME`, and more rows of compatible hosts without keys.

    `nokey` needs a key that is nowhere.
    """
    places = {name: f"{url}/{name}" for name in PROVIDERS if name != "mock"} | {**(more or {})}
    rows = [f'[providers.{name}]\nbase_url = "{place}"\n' for name, place in places.items()]
    rows.append(f'[providers.nokey]\nbase_url = "{url}/nokey"\nkey_env = "NOKEY_API_KEY"\n')
    return "\n".join(rows)


def provider_keys() -> dict[str, str]:
    """Keys by which a leak of the client's own would be seen."""
    keys = {row.key_env[0]: f"key-of-{name}" for name, row in PROVIDERS.items() if row.key_env}
    del keys["OPENAI_API_KEY"], keys["AWS_BEARER_TOKEN_BEDROCK"]
    return {
        **keys,
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret-of-bedrock",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@dataclass
class Way:
    """How clients reach `stand`: the environment is set, they need no code of their own."""

    name: str
    stand: Stand
    base_url: str


@pytest.fixture(params=["forward", "reverse"])
def way(request: pytest.FixtureRequest, secure: Stand, monkeypatch: pytest.MonkeyPatch) -> Way:
    """HTTPS_PROXY and the proxy's CA, or another base URL; TLS to the provider in both cases."""
    proxy = secure.proxy
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    if request.param == "reverse":
        monkeypatch.setenv("OPENAI_BASE_URL", proxy.base_url)
        return Way("reverse", secure, proxy.base_url)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(proxy.ca))
    return Way("forward", secure, "https://api.openai.com/v1")


# ---------------------------------------------------------------------- of one test


@pytest.fixture
def own_provider() -> Iterator[Provider]:
    """For tests that close it or start proxies of their own."""
    server = Provider()
    server.reply = echo
    yield server
    server.close()


@pytest.fixture
def start(confdir: Path, tmp_path: Path) -> Iterator[Start]:
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
