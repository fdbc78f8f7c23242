"""The CA bundle that a program needs to trust Reflex and all that it trusted before."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

import certifi

from .errors import CliError

VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "CODEX_CA_CERTIFICATE",
)
"""Those that name a CA file."""

# Private keys and OpenSSL's "TRUSTED CERTIFICATE" stay out.
_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END CERTIFICATE-----"
)


def build(ca: Path, folder: Path, environ: Mapping[str, str]) -> Path:
    """A file of certifi's, the system's and the user's own CAs, and the proxy's. Raises CliError.

    What the file names' variables hold now is kept: a program behind Reflex still reaches hosts
    with a company's own CA, whose TLS is passed through. The name follows from the content, so
    that no program's bundle changes while it runs.
    """
    try:
        return _write(content(ca, environ).encode(), folder)
    except OSError as error:
        raise CliError(f"The CA bundle cannot be made: {error}.") from None


def content(ca: Path, environ: Mapping[str, str]) -> str:
    """What stands in the file. Raises OSError."""
    seen: dict[str, None] = {}
    for path in (certifi.where(), _system_file(), *(environ.get(name) for name in VARIABLES)):
        if path and Path(path).is_file():
            seen |= dict.fromkeys(_certificates(Path(path)))
    seen |= dict.fromkeys(_certificates(ca))
    return "".join(map(_pem, seen))


def _write(text: bytes, folder: Path) -> Path:
    target = folder / f"ca-bundle-{hashlib.sha256(text).hexdigest()[:16]}.pem"
    if not target.is_file():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = folder / f".{target.name}.{secrets.token_hex(4)}"
        draft.write_bytes(text)
        os.replace(draft, target)
    return target


def holds(bundle: Path, ca: Path) -> bool:
    """Whether every certificate of `ca` is in `bundle`. Raises OSError."""
    return set(_certificates(ca)) <= set(_certificates(bundle))


def _system_file() -> str:
    return ssl.get_default_verify_paths().openssl_cafile


def _certificates(path: Path) -> Iterator[str]:
    """The base64 text of each certificate, without white space."""
    for match in _CERTIFICATE.finditer(path.read_text(encoding="utf-8", errors="replace")):
        yield re.sub(r"\s+", "", match[1])


def _pem(text: str) -> str:
    lines = "\n".join(text[i : i + 64] for i in range(0, len(text), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"
