"""The environment that sends a program's OpenAI traffic through the proxy."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from .bundle import VARIABLES as CA_VARIABLES

SHELLS = ("bash", "fish", "powershell")
_LOCAL = ("localhost", "127.0.0.1", "::1")


def variables(url: str, bundle: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """What to set, beside what `environ` holds. OPENAI_BASE_URL and GIT_SSL_CAINFO stay as they are."""
    no_proxy = ",".join(dict.fromkeys([*_LOCAL, *no_proxy_hosts(environ)]))
    return {
        "HTTPS_PROXY": url,
        "https_proxy": url,
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        **dict.fromkeys(CA_VARIABLES, str(bundle)),
        "NODE_USE_ENV_PROXY": "1",
    }


def applied(url: str, bundle: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a program."""
    return {**environ, **variables(url, bundle, environ)}


def no_proxy_hosts(environ: Mapping[str, str]) -> list[str]:
    """The user's own list, in lower and upper case spelling alike."""
    text = f"{environ.get('no_proxy', '')},{environ.get('NO_PROXY', '')}"
    return [part for item in text.split(",") if (part := item.strip())]


def warnings(
    environ: Mapping[str, str], hosts: tuple[str, ...], reverse_url: str | None
) -> list[str]:
    """What in the user's environment keeps traffic from the proxy, one line each."""
    found: list[str] = []
    base = environ.get("OPENAI_BASE_URL", "")
    host = (urlsplit(base).hostname or "").lower()
    if host and host not in hosts and not _same_place(base, reverse_url):
        found.append(
            f"OPENAI_BASE_URL names {host}, whose traffic Reflex does not see: unset it,"
            f" or add --set reflex_hosts={host}."
        )
    found += [
        f"NO_PROXY covers {host}: its traffic goes past Reflex."
        for host in hosts
        if any(_covers(item, host) for item in no_proxy_hosts(environ))
    ]
    return found


def _same_place(base: str, reverse_url: str | None) -> bool:
    if reverse_url is None:
        return False
    ours, theirs = urlsplit(reverse_url), urlsplit(base)
    local = theirs.hostname == ours.hostname or theirs.hostname in _LOCAL
    return local and theirs.port == ours.port


def _covers(item: str, host: str) -> bool:
    """As most clients read NO_PROXY: a name covers itself and all below it."""
    name = item.lower().lstrip("*").lstrip(".").rpartition(":")
    bare = name[0] if name[2].isdigit() and name[0] and not _is_ipv6(item) else "".join(name)
    return item == "*" or host == bare or (bool(bare) and host.endswith("." + bare))


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text.strip("[]")).version == 6
    except ValueError:
        return False


def exports(values: Mapping[str, str], shell: str) -> str:
    """Lines for the shell to evaluate."""
    form = {"bash": _bash, "fish": _fish, "powershell": _powershell}[shell]
    return "".join(f"{form(name, value)}\n" for name, value in values.items())


def _bash(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"


def _fish(name: str, value: str) -> str:
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {name} '{quoted}'"


def _powershell(name: str, value: str) -> str:
    quoted = value.replace("'", "''")
    return f"$env:{name} = '{quoted}'"
