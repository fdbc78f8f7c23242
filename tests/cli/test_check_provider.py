"""The doctor's questions to providers, every fault made for real."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Callable
from email.utils import format_datetime
from pathlib import Path

import certifi
import pytest

from reflex_core.cli import check_provider
from reflex_core.cli.checks import Check
from reflex_core.cli.settings import Settings
from tests.e2e.provider import Answer, Provider, Received
from tests.e2e.proxy import free_port

from .checking import Load, by_name, no_such_model

pytestmark = pytest.mark.usefixtures("no_settings")


def refusing(status: int, message: str, **headers: str) -> Callable[[Received], Answer]:
    body = json.dumps({"error": {"message": message, "type": "x", "code": "y"}}).encode()
    return lambda request: Answer([body], status=status, headers=headers)


@pytest.fixture
def asked(
    load: Load, provider: Provider, provider_ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> Load:
    """Settings for the provider of the tests."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-right")
    provider.reply = no_such_model

    def load_it(name: str | None = None, **options: object) -> Settings:
        return load(
            name,
            reflex_upstream=options.pop("upstream", provider.url + "/v1"),
            ssl_verify_upstream_trusted_ca=options.pop("ca", provider_ca_file),
            **options,
        )

    return load_it


def ask(loaded: Settings, offline: bool = False, timeout: float = 5) -> dict[str, Check]:
    return by_name(check_provider.check(loaded, offline, timeout))


def test_right_key(asked: Load, provider: Provider) -> None:
    found = ask(asked())
    assert {name: check.status for name, check in found.items()} == {
        "reach openai": "ok",
        "key openai": "ok",
        "clock": "info",
    }
    (request,) = provider.received
    # It can cost nothing.
    assert request.json["model"] == "reflex-doctor-no-such-model"
    assert request.json["max_tokens"] == 1


@pytest.mark.parametrize(
    ("status", "judged", "said"),
    [
        (401, "fail", "does not accept it: Nope."),
        (403, "fail", "knows it, but does not allow this: Nope."),
        (429, "warn", "accepted, but localhost says: Nope."),
        (402, "warn", "accepted, but localhost says: Nope."),
        (400, "ok", "accepts it"),
    ],
)
def test_key(status: int, judged: str, said: str, asked: Load, provider: Provider) -> None:
    provider.reply = refusing(status, "Nope.")
    found = ask(asked())
    assert found["reach openai"].status == "ok"
    assert found["key openai"].status == judged
    assert said in found["key openai"].detail
    assert not any("sk-right" in str(check) for check in found.values())


def test_wrong_key_of_gemini(
    asked: Load, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Google says 400."""
    monkeypatch.setenv("GEMINI_API_KEY", "wrong")
    error = {
        "code": 400,
        "message": "API key not valid.",
        "status": "INVALID_ARGUMENT",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
        ],
    }
    body = json.dumps({"error": error}).encode()
    provider.reply = lambda request: Answer([body], status=400)
    assert ask(asked("gemini"))["key gemini"].status == "fail"
    assert provider.received[0].headers["x-goog-api-key"] == "wrong"


def test_no_key(asked: Load, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    provider.reply = refusing(401, "You sent no key.")
    found = ask(asked("anthropic"))
    assert found["key anthropic"].status == "fail"
    assert found["key anthropic"].detail == "no key: ANTHROPIC_API_KEY is not set"
    # The way there is judged all the same.
    assert found["reach anthropic"].status == "ok"
    monkeypatch.delenv("OPENAI_API_KEY")
    found = ask(asked())
    assert found["key openai"].status == "warn"
    assert found["reach openai"].status == "ok"


def test_provider_that_needs_no_key(asked: Load, provider: Provider) -> None:
    provider.reply = lambda request: Answer([b"Ollama is running"])
    found = ask(asked("ollama"))
    assert {name: check.status for name, check in found.items()} == {
        "reach ollama": "ok",
        "clock": "info",
    }
    assert provider.received[0].method == "GET"


def test_key_that_is_not_needed(
    asked: Load, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not sent is not judged, and what is there is sent."""
    monkeypatch.setenv("OLLAMA_API_KEY", "wrong")
    provider.reply = lambda request: Answer([b'{"error": "unauthorized"}'], status=401)
    assert ask(asked("ollama"))["key ollama"].status == "fail"
    assert provider.received[0].headers["authorization"] == "Bearer wrong"


def test_bedrock(asked: Load, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed with AWS credentials."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    text = b'{"message": "The security token included in the request is invalid."}'
    kind = {"x-amzn-errortype": "UnrecognizedClientException"}
    provider.reply = lambda request: Answer([text], status=403, headers=kind)
    check = ask(asked("bedrock"))["key bedrock"]
    assert check.status == "fail"
    assert "or the AWS credentials" in check.fix
    assert provider.received[0].headers["authorization"].startswith("AWS4-HMAC-SHA256")
    monkeypatch.delenv("AWS_REGION")
    assert "set AWS_REGION" in ask(asked("bedrock"))["key bedrock"].detail


def test_azure_has_no_address_of_its_own(load: Load) -> None:
    found = ask(load("azure"))
    assert found["reach azure"].detail == "no address: AZURE_OPENAI_ENDPOINT is not set"
    assert found["reach azure"].status == "fail"


def test_all_that_may_be_asked(
    asked: Load, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ask(asked(reflex_models="a=groq::b", reflex_fallbacks="cohere::c"), offline=True)
    assert found["key groq"].status == found["key cohere"].status == "fail"
    assert found["reach openai"].detail == "not asked"
    assert provider.received == []


def test_trouble_at_the_provider(asked: Load, provider: Provider) -> None:
    provider.reply = refusing(503, "Overloaded.")
    found = ask(asked())
    assert found["reach openai"].status == "warn"
    assert "503" in found["reach openai"].detail


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"upstream": "https://no-such-host.invalid/v1"}, "no such host: "),
        ({"ca": "{certifi}"}, "TLS failed: "),
        ({"ca": "/no/such/file"}, "TLS failed: "),
        ({"upstream": "https://127.0.0.1:{closed}/v1"}, "no route: "),
        ({"reflex_upstream_proxy": "http://127.0.0.1:{closed}"}, "no route: "),
    ],
)
def test_unreachable(options: dict[str, str], said: str, asked: Load) -> None:
    places = {"certifi": certifi.where(), "closed": free_port()}
    found = ask(asked(**{name: value.format(**places) for name, value in options.items()}))
    assert found["reach openai"].status == "fail"
    assert found["reach openai"].detail.startswith(said)
    assert "key openai" not in found


def test_timeout(asked: Load, provider: Provider) -> None:
    leave = threading.Event()
    provider.reply = lambda request: Answer([b"{}"], gate=lambda piece: leave.wait(10))
    try:
        found = ask(asked(), timeout=0.3)
    finally:
        leave.set()
    assert found["reach openai"].detail.startswith("timed out: ")


@pytest.mark.parametrize(
    ("minutes", "status"), [(0, "ok"), (-10, "warn"), (10, "warn"), (-120, "fail"), (120, "fail")]
)
def test_clock(minutes: int, status: str, asked: Load, provider: Provider) -> None:
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
    date = format_datetime(then, usegmt=True)
    provider.reply = refusing(404, "No such model.", Date=date)
    check = ask(asked())["clock"]
    assert check.status == status
    assert ("behind" in check.detail) == (minutes > 0)


@pytest.mark.parametrize("date", ["yesterday", ""])
def test_clock_of_a_provider_that_has_none(date: str, asked: Load, provider: Provider) -> None:
    provider.reply = refusing(404, "No such model.", Date=date)
    assert ask(asked())["clock"].status == "info"
