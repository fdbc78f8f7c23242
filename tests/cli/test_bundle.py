"""The CA bundle: complete, stable, loadable."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi
import pytest
import trustme

from reflex_core.cli import bundle
from reflex_core.cli.errors import CliError


@pytest.fixture(scope="module")
def cas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Certificates of the proxy and of a company, and one file with its key."""
    folder = tmp_path_factory.mktemp("cas")
    paths = {name: folder / f"{name}.pem" for name in ("proxy", "company")}
    for name, path in paths.items():
        ca = trustme.CA(organization_name=name)
        ca.cert_pem.write_to_path(str(path))
        if name == "company":
            ca.private_key_pem.write_to_path(str(path), append=True)
    return paths


def trusted(path: Path) -> set[bytes]:
    return set(ssl.create_default_context(cafile=str(path)).get_ca_certs(binary_form=True))


def der(path: Path) -> bytes:
    text = path.read_text()
    end = "-----END CERTIFICATE-----\n"
    return ssl.PEM_cert_to_DER_cert(text[: text.index(end) + len(end)])


def test_what_is_in_it(cas: dict[str, Path], tmp_path: Path) -> None:
    path = bundle.build(cas["proxy"], tmp_path / "new", {"SSL_CERT_FILE": str(cas["company"])})
    assert trusted(Path(certifi.where())) | {der(cas["proxy"]), der(cas["company"])} <= trusted(
        path
    )
    assert "PRIVATE KEY" not in path.read_text()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert bundle.holds(path, cas["proxy"])
    assert not bundle.holds(Path(certifi.where()), cas["proxy"])


def test_the_same_content_has_the_same_name(cas: dict[str, Path], tmp_path: Path) -> None:
    own = {"NODE_EXTRA_CA_CERTS": str(cas["company"])}
    first = bundle.build(cas["proxy"], tmp_path, own)
    # In a shell that has it already.
    inside = dict.fromkeys(bundle.VARIABLES, str(first))
    again = bundle.build(cas["proxy"], tmp_path, inside)
    assert trusted(again) == trusted(first)
    text = again.read_text()
    assert text.count("BEGIN CERTIFICATE") == len(trusted(again))
    other = bundle.build(cas["proxy"], tmp_path, {})
    assert other != first
    assert first.exists()
    assert bundle.build(cas["proxy"], tmp_path, own) == first


@pytest.mark.parametrize("value", ["/no/such/file", "", "/etc"])
def test_other_values_are_passed_over(value: str, cas: dict[str, Path], tmp_path: Path) -> None:
    path = bundle.build(cas["proxy"], tmp_path, {"REQUESTS_CA_BUNDLE": value})
    assert path == bundle.build(cas["proxy"], tmp_path, {})


def test_windows_line_ends_and_comments(cas: dict[str, Path], tmp_path: Path) -> None:
    odd = tmp_path / "odd.pem"
    text = "# Company é\n" + cas["company"].read_text().replace("\n", "\r\n")
    odd.write_bytes(text.encode("latin-1"))
    path = bundle.build(cas["proxy"], tmp_path, {"SSL_CERT_FILE": str(odd)})
    assert der(cas["company"]) in trusted(path)


def test_failures_are_one_line(cas: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"The CA bundle cannot be made: .*gone.pem"):
        bundle.build(tmp_path / "gone.pem", tmp_path, {})
    (tmp_path / "file").touch()
    with pytest.raises(CliError, match="The CA bundle cannot be made"):
        bundle.build(cas["proxy"], tmp_path / "file", {})
