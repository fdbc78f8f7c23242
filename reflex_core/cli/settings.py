"""What the command line, mitmproxy's config.yaml and the environment say, as the proxy will see it."""

from __future__ import annotations

import difflib
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from .. import config as configuration
from ..config import Config
from ..errors import ConfigError
from ..options import BY_NAME

_PREFIX = "reflex_"
_CONFDIR = "~/.mitmproxy"
"""mitmproxy's own default."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`given` are the options of the command line and the environment, by name without `reflex_`."""

    config: Config
    confdir: Path
    """mitmproxy's folder: its CA and config.yaml."""
    given: frozenset[str]
    mitmproxy: Mapping[str, tuple[str, ...]]
    """mitmproxy's own options of the command line and config.yaml."""
    arguments: tuple[str, ...] = field(repr=False)
    """The same settings as arguments of mitmdump."""

    @property
    def ca(self) -> Path:
        return self.confdir / "mitmproxy-ca-cert.pem"

    def own(self, name: str) -> str | None:
        """One of mitmproxy's own options, or None."""
        values = self.mitmproxy.get(name)
        return values[-1] if values else None


def load(args: Namespace, environ: Mapping[str, str] | None = None) -> Settings:
    """Raises ConfigError with one line."""
    environ = os.environ if environ is None else environ
    items: list[str] = list(args.set)
    if args.provider:
        items.append(f"{_PREFIX}provider={args.provider}")
    told = _split(items)
    confdir = Path(told.get("confdir", (_CONFDIR,))[-1]).expanduser().absolute()
    written = _read_yaml(confdir)
    for name in told.keys() & written.keys():
        if name.startswith(_PREFIX) and told[name] != written[name]:
            raise ConfigError(
                f"{name} stands in {confdir / 'config.yaml'}, which mitmproxy lets win over the"
                " command line: change it there."
            )
    merged = {**written, **told}
    ours = {name.removeprefix(_PREFIX): v for name, v in merged.items() if name.startswith(_PREFIX)}
    given = {name.removeprefix(_PREFIX) for name in told if name.startswith(_PREFIX)}
    given |= {name for name, option in BY_NAME.items() if option.env in environ}
    return Settings(
        config=configuration.build(_values(ours), environ),
        confdir=confdir,
        given=frozenset(given),
        mitmproxy={n: v for n, v in merged.items() if not n.startswith(_PREFIX)},
        arguments=tuple(part for item in items for part in ("--set", item)),
    )


def _split(items: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`NAME=VALUE` or `NAME` (a switch), as mitmproxy reads `--set`."""
    found: dict[str, tuple[str, ...]] = {}
    for item in items:
        name, equals, value = item.partition("=")
        found[name] = (*found.get(name, ()), value if equals else "true")
    return found


def _read_yaml(confdir: Path) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for path in (confdir / "config.yaml", confdir / "config.yml"):
        if path.is_file():
            found |= {name: _texts(value) for name, value in _load_yaml(path).items()}
    return found


def _load_yaml(path: Path) -> dict[str, Any]:
    # mitmproxy's own YAML library; slow to import, and few have the file.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        value: Any = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        line = str(error).replace("\n", " ")
        raise ConfigError(f"{path} cannot be read: {line}") from None
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _texts(value: Any) -> tuple[str, ...]:
    values = cast(list[Any], value) if isinstance(value, list) else [value]
    return tuple("" if v is None else str(v) for v in values)


def _values(ours: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, values in ours.items():
        option = BY_NAME.get(name)
        if option is None:
            near = difflib.get_close_matches(name, BY_NAME, 1)
            hint = f" (did you mean {_PREFIX}{near[0]}?)" if near else ""
            raise ConfigError(f"There is no option {_PREFIX}{name}{hint}.")
        if option.kind != "list" and len(values) > 1:
            raise ConfigError(f"{_PREFIX}{name} is set more than once.")
        out[name] = list(values) if option.kind == "list" else "".join(values)
    return out
