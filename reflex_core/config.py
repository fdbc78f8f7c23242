"""Options + environment + TOML file -> one frozen Config.

Precedence: what was set (command line, mitmproxy's config.yaml), the environment, the TOML file, the default.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from . import catalog, pricing
from .errors import ConfigError
from .options import BY_NAME, OPTIONS, Option
from .pricing import Price
from .types import Provider


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, typed. Durations are in seconds, sizes in bytes; names as in OPTIONS."""

    provider: str
    upstream: str
    models: Mapping[str, str]
    hosts: tuple[str, ...]
    storage_path: Path
    cache: bool
    ttl: float
    l1_capacity: int
    l1_size: int
    max_size: int
    max_answer: int
    semantic: bool
    max_wrong: float
    verify: bool
    min_cosine: float
    embedder: str
    embedder_model: str
    embedder_key: str
    embedder_dim: int
    embedder_pooling: str
    embedder_prefix: str
    embedder_max_tokens: int
    reranker_path: str
    reranker_threshold: float
    judge: str
    judge_band: float
    judge_per_minute: int
    recheck: float
    index: str
    l2_capacity: int
    l2_candidates: int
    sampling: str
    shared_namespaces: frozenset[str]
    namespace: str
    connect_timeout: float
    first_byte_timeout: float
    idle_timeout: float
    keepalive: float
    stream_upstream: bool
    on_disconnect: str
    disconnect_grace: float
    join_similar: float
    retries: int
    resumptions: int
    partial_ttl: float
    fallbacks: tuple[tuple[str, str], ...]
    """(model name or "*", what to ask)."""
    breaker_failures: int
    breaker_reset: float
    stale_if_error: float
    shutdown_grace: float
    fast_hits: str
    admin_token: str = field(repr=False)
    admin_hosts: frozenset[str]
    dashboard_prompts: bool
    otel_endpoint: str
    log_json: bool
    keep_requests: bool
    offline: bool
    replay: str
    report: tuple[Path, ...]
    scrub: bool
    upstream_proxy: str
    mock_provider: bool
    mock_delay: float
    providers: Mapping[str, Provider] = field(default_factory=dict[str, Provider])
    """The catalogue with the user's own rows."""
    prices: Mapping[str, Price] = field(default_factory=dict[str, Price])
    """The user's own, by model or `provider::model`."""


MIN_TOKEN = 16
"""Characters: nobody limits guesses."""

_FIELDS = {f.name for f in fields(Config)}


def build(values: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Config:
    """`values` holds only what was set, by option name without `reflex_`.

    Raises ConfigError with one line that names the option, the value and what is allowed.
    """
    environ = os.environ if environ is None else environ
    path = values.get("config") or environ.get("REFLEX_CONFIG") or ""
    file = _read_toml(str(path)) if path else {}
    rows, prices = file.pop("providers", {}), pricing.table(file.pop("prices", {}))
    found: dict[str, Any] = {}
    for option in OPTIONS:
        found[option.name] = _find(option, values, environ, file)
    providers = _providers(rows)
    found["models"] = _model_map(found["models"])
    found["fallbacks"] = _fallbacks(found["fallbacks"])
    found["shared_namespaces"] = frozenset(found["shared_namespaces"])
    found["admin_hosts"] = frozenset(host.lower() for host in found["admin_hosts"])
    found["hosts"] = tuple(host.lower().rstrip(".") for host in found["hosts"])
    found["storage_path"] = _folder(found["storage_path"])
    found["report"] = tuple(Path(path).expanduser() for path in found["report"])
    if found["mock_provider"]:
        found["provider"] = "mock"
    if found["model_path"]:
        found["embedder"] = found["model_path"]
    _check(found, providers)
    kept = {name: value for name, value in found.items() if name in _FIELDS}
    return Config(**kept, providers=providers, prices=prices)


def _find(
    option: Option, values: Mapping[str, Any], environ: Mapping[str, str], file: dict[str, Any]
) -> Any:
    if option.name in values:
        value, source = values[option.name], option.option
    elif option.env in environ:
        value, source = environ[option.env], option.env
    elif option.name in file:
        value, source = file[option.name], f"{option.name} in the TOML file"
        if option.name == "models" and isinstance(value, dict):
            value = [f"{k}={v}" for k, v in value.items()]
    else:
        value, source = option.default, option.option
    try:
        return option.parse(value)
    except (ValueError, TypeError):
        raise ConfigError(f"{source}={value}: must be {option.allowed()}.") from None


def _read_toml(path: str) -> dict[str, Any]:
    try:
        with Path(path).expanduser().open("rb") as file:
            data = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"reflex_config={path}: cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"reflex_config={path}: not valid TOML: {error}.") from None
    allowed = {*BY_NAME, "prices", "providers"} - {"config"}
    for name in data:
        if name not in allowed:
            known = ", ".join(sorted(allowed))
            raise ConfigError(f"reflex_config={path}: unknown setting {name!r}; known: {known}.")
    return data


def _providers(rows: Any) -> dict[str, Provider]:
    if not isinstance(rows, dict):
        raise ConfigError("[providers.NAME] in the TOML file must be tables.")
    out = dict(catalog.PROVIDERS)
    for name, row in rows.items():
        if not isinstance(row, dict):
            raise ConfigError(f"[providers.{name}] in the TOML file must be a table.")
        out[str(name)] = catalog.custom_provider({"name": name, **row})
    return out


def _model_map(items: tuple[str, ...]) -> dict[str, str]:
    out: dict[str, str] = {}
    for item in items:
        name, equals, target = item.partition("=")
        if not (name.strip() and equals and target.strip()):
            raise ConfigError(f"reflex_models={item}: must be NAME=PROVIDER::MODEL or NAME=MODEL.")
        out[name.strip()] = target.strip()
    return out


def _fallbacks(items: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    out: list[tuple[str, str]] = []
    for item in items:
        name, equals, target = item.partition("=")
        name, target = (name.strip(), target.strip()) if equals else ("*", item.strip())
        if not name or not all(target.partition("::")):
            raise ConfigError(
                f"reflex_fallbacks={item}: must be PROVIDER::MODEL or NAME=PROVIDER::MODEL."
            )
        out.append((name, target))
    return tuple(out)


def _folder(path: str) -> Path:
    if path:
        return Path(path).expanduser()
    return Path(platformdirs.user_data_dir("mitmproxy-reflex", appauthor=False))


def _check(found: dict[str, Any], providers: Mapping[str, Provider]) -> None:
    if 0 < len(found["admin_token"]) < MIN_TOKEN:
        raise ConfigError(f"reflex_admin_token: must have at least {MIN_TOKEN} characters.")
    _check_replay(found)
    _check_judge(found["judge"])
    name = found["provider"]
    if name and name not in providers:
        known = ", ".join(sorted(providers))
        raise ConfigError(f"reflex_provider={name}: must be one of {known}.")
    named = [("reflex_models", target) for target in found["models"].values()]
    named += [("reflex_fallbacks", target) for _, target in found["fallbacks"]]
    named.append(("reflex_judge", found["judge"]))
    for option, target in named:
        prefix, separator, _ = target.partition("::")
        if separator and prefix not in providers:
            raise ConfigError(f"{option}={target}: unknown provider {prefix!r}.")
    for option in ("upstream", "upstream_proxy", "otel_endpoint"):
        value = found[option]
        if value and (
            urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).netloc
        ):
            raise ConfigError(f"reflex_{option}={value}: must be an http:// or https:// URL.")


def _check_judge(judge: str) -> None:
    if judge and not all(judge.partition("::")):
        raise ConfigError(f"reflex_judge={judge}: must be PROVIDER::MODEL.")


def _check_replay(found: dict[str, Any]) -> None:
    if found["offline"] and not found["cache"]:
        raise ConfigError(
            "reflex_offline=true: needs reflex_cache=true, there is nothing else to ask."
        )
    kinds = {"warm": (".json",), "plan": (".json", ".html")}.get(found["replay"], ())
    for path in found["report"]:
        if not kinds:
            raise ConfigError(f"reflex_report={path}: needs reflex_replay=warm or plan.")
        if path.suffix not in kinds:
            raise ConfigError(f"reflex_report={path}: must end in {' or '.join(kinds)}.")
        if not path.parent.is_dir():
            raise ConfigError(f"reflex_report={path}: there is no folder {path.parent}.")
