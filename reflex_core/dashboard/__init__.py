"""The dashboard: one page with everything in it, and the page that asks for the token.

The parts lie beside this file; they are put together once, and the policy (CSP) names the style and
the script by their hashes, so that nothing else can run on the page.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Page:
    body: bytes
    policy: str
    """Value of Content-Security-Policy."""


@cache
def page(name: str) -> Page:
    """`index` or `login`."""
    style, script = _read("style.css"), _read(f"{name}.js")
    body = _read(f"{name}.html").replace("/*style*/", style).replace("/*script*/", script)
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)};"
        " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'"
    )
    return Page(body.encode(), policy)


def _read(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
