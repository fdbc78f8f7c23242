"""Settings are read as mitmproxy reads them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from mitmproxy import optmanager
from mitmproxy.options import Options

from reflex_core import config
from reflex_core.cli import settings
from reflex_core.cli.settings import Settings
from reflex_core.errors import ConfigError
from reflex_core.options import OPTIONS

_TYPES = {"bool": bool, "int": int, "list": Sequence[str]}
"""As in addons/reflex.py."""


def load(
    *items: str, provider: str | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    return settings.load(Namespace(set=list(items), provider=provider), environ or {})


def by_mitmproxy(items: Sequence[str], confdir: Path) -> config.Config:
    """What the addon would make of the same command line and config.yaml."""
    options = Options()
    options.set(*items, f"confdir={confdir}", defer=True)
    optmanager.load_paths(options, confdir / "config.yaml", confdir / "config.yml")

    for o in OPTIONS:
        default = list(o.default) if o.kind == "list" else o.default
        kind = _TYPES.get(o.kind, str)
        options.add_option(o.option, kind, str(default) if kind is str else default, "")
    options.process_deferred()
    found = {
        o.name: getattr(options, o.option)
        for o in OPTIONS
        if options._options[o.option].has_changed()
    }
    return config.build(found, {})


@pytest.mark.parametrize(
    "items",
    [
        [],
        ["reflex_provider=groq", "reflex_ttl=7d", "reflex_cache=false"],
        ["reflex_models=a=groq::b", "reflex_models=c=groq::d", "reflex_mock_provider"],
        [
            "reflex_shared_namespaces=team",
            "reflex_retries=0",
            "reflex_upstream=https://x.example/v1",
        ],
    ],
)
@pytest.mark.parametrize(
    "text", ["", "reflex_namespace: team\nreflex_hosts: [a.example]\nweb_port: 1"]
)
def test_as_mitmproxy_reads_it(items: list[str], text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    found = load(*items, f"confdir={tmp_path}")
    assert found.config == by_mitmproxy(items, tmp_path)
    assert found.confdir == tmp_path
    assert found.ca == tmp_path / "mitmproxy-ca-cert.pem"
    assert found.own("web_port") == ("1" if text else None)


def test_given(tmp_path: Path) -> None:
    found = load(
        "reflex_ttl=7d",
        f"confdir={tmp_path}",
        provider="groq",
        environ={"REFLEX_NAMESPACE": "team"},
    )
    assert found.given == {"ttl", "provider", "namespace"}
    assert found.config.namespace == "team"
    assert found.config.provider == "groq"
    assert found.arguments[-2:] == ("--set", "reflex_provider=groq")


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("reflex_ttl=soon", "reflex_ttl=soon: must be a duration"),
        (
            "reflex_provder=groq",
            "There is no option reflex_provder (did you mean reflex_provider?).",
        ),
        ("reflex_xyzzy=1", "There is no option reflex_xyzzy."),
        ("reflex_provider=nobody", "reflex_provider=nobody: must be one of"),
    ],
)
def test_errors(item: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(item, f"confdir={tmp_path}")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_set_twice(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reflex_ttl is set more than once"):
        load("reflex_ttl=1d", "reflex_ttl=2d", f"confdir={tmp_path}")


def test_config_yaml_wins(tmp_path: Path) -> None:
    """mitmproxy sets what it does not know yet after the file: better said than found out."""
    (tmp_path / "config.yaml").write_text("reflex_ttl: 1d")
    assert load(f"confdir={tmp_path}").config.ttl == 86400
    assert load("reflex_ttl=1d", f"confdir={tmp_path}").config.ttl == 86400
    with pytest.raises(ConfigError, match=r"reflex_ttl stands in .*config.yaml"):
        load("reflex_ttl=2d", f"confdir={tmp_path}")
    assert by_mitmproxy(["reflex_ttl=2d"], tmp_path).ttl == 86400


@pytest.mark.parametrize(
    "text", ["reflex_ttl: [", "\t", "reflex_ttl: !!python/object:os.system {}"]
)
def test_broken_config_yaml(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"config.yaml cannot be read") as caught:
        load(f"confdir={tmp_path}")
    assert "\n" not in str(caught.value)
