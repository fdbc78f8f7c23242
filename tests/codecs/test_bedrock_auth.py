"""Who a Bedrock request says it is from."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from reflex_core.codecs.bedrock_auth import Signer, region
from reflex_core.codecs.bedrock_converse import BedrockConverse
from reflex_core.errors import BadRequest
from reflex_core.types import ProviderRequest, Target
from tests.codecs.oracle_contract import chat_request, target_for

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
STATIC = {
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": SECRET,
    "region": "eu-west-3",
}
MODEL = "us.anthropic.claude-sonnet-5:0"


@pytest.fixture(autouse=True)
def no_aws_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither this machine's AWS settings nor its instance's identity."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def target(base: str = "https://bedrock.test", key: str | None = None, **options: Any) -> Target:
    return target_for("bedrock-converse", model=MODEL, base_url=base, api_key=key, options=options)


def encode(where: Target) -> ProviderRequest:
    return BedrockConverse().encode(chat_request(), where)


def check_signature(request: ProviderRequest, secret: str, area: str) -> dict[str, str]:
    """Verify AWS Signature Version 4 as AWS documents it; returns the headers."""
    headers = dict(request.headers)
    scheme, _, rest = headers["authorization"].partition(" ")
    assert scheme == "AWS4-HMAC-SHA256"
    fields = dict(item.strip().split("=", 1) for item in rest.split(","))
    key_id, date, *scope = fields["Credential"].split("/")
    assert scope == [area, "bedrock", "aws4_request"]
    assert headers["x-amz-date"].startswith(date)
    url = urlsplit(request.url)
    values = {**headers, "host": url.netloc}
    names = fields["SignedHeaders"].split(";")
    assert {"content-type", "host", "x-amz-date"} <= set(names)
    canonical = "\n".join(
        [
            request.method,
            quote(url.path, safe="/~"),
            "",
            *(f"{name}:{values[name]}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    signing = f"AWS4{secret}".encode()
    for part in (date, *scope):
        signing = hmac.digest(signing, part.encode(), "sha256")
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], "/".join([date, *scope]), digest])
    assert hmac.digest(signing, text.encode(), "sha256").hex() == fields["Signature"]
    return {**headers, "key": key_id}


def test_api_key() -> None:
    request = encode(target(key="bedrock-key"))
    assert dict(request.headers) == {
        "content-type": "application/json",
        "authorization": "Bearer bedrock-key",
    }


def test_keys_of_the_options() -> None:
    headers = check_signature(encode(target(**STATIC)), SECRET, "eu-west-3")
    assert headers["key"] == "AKIDEXAMPLE"
    assert SECRET not in str(headers)
    request = encode(target("http://127.0.0.1:8099", **STATIC, aws_session_token="tok"))
    assert check_signature(request, SECRET, "eu-west-3")["x-amz-security-token"] == "tok"


def test_keys_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "env-secret")
    headers = check_signature(encode(target(region="us-west-2")), "env-secret", "us-west-2")
    assert headers["key"] == "AKIDENV"


def test_profile(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        "[work]\naws_access_key_id = AKIDWORK\naws_secret_access_key = work-secret\n"
    )
    (tmp_path / "config").write_text("[profile work]\nregion = ap-south-1\n")
    codec, where = BedrockConverse(), target(profile="work")
    codec.prepare(where)
    request = codec.encode(chat_request(), where)
    assert check_signature(request, "work-secret", "ap-south-1")["key"] == "AKIDWORK"
    (tmp_path / "credentials").unlink()
    again = codec.encode(chat_request(), where)
    assert check_signature(again, "work-secret", "ap-south-1")["key"] == "AKIDWORK"


@pytest.mark.parametrize("options", [{}, {"profile": "missing"}])
def test_no_credentials(options: dict[str, Any]) -> None:
    codec, where = BedrockConverse(), target(region="us-east-1", **options)
    codec.prepare(where)
    with pytest.raises(BadRequest, match="AWS_BEARER_TOKEN_BEDROCK") as caught:
        codec.encode(chat_request(), where)
    assert caught.value.error.status == 401


def test_credentials_found_later(monkeypatch: pytest.MonkeyPatch) -> None:
    signer, where = Signer(), target(region="us-east-1")
    signer.prepare(where)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "env-secret")
    signer.prepare(where)
    assert "AKIDENV" in dict(signer.headers(where, "https://x.test/", b""))["authorization"]


def test_region(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequest, match="AWS_REGION"):
        region(target())
    with pytest.raises(BadRequest, match="AWS_REGION"):
        region(target(profile="missing"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "sa-east-1")
    assert region(target()) == "sa-east-1"
    host = "https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com"
    assert region(target(host)) == "us-gov-west-1"
    assert region(target(host, region="eu-central-1")) == "eu-central-1"
    url = encode(target("https://bedrock-runtime.{region}.amazonaws.com", key="k")).url
    assert url.startswith("https://bedrock-runtime.sa-east-1.amazonaws.com/model/")
