"""What a check of the doctor finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from ..types import Json

Status = Literal["ok", "info", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """`fix` says what to do, where something is to be done."""

    name: str
    status: Status
    detail: str
    fix: str = ""

    def to_json(self) -> Json:
        return asdict(self)


def ok(name: str, detail: str) -> Check:
    return Check(name, "ok", detail)


def info(name: str, detail: str, fix: str = "") -> Check:
    """Nothing is wrong, and nothing was proved."""
    return Check(name, "info", detail, fix)


def warn(name: str, detail: str, fix: str) -> Check:
    """It works, but not as well or as safely as it could."""
    return Check(name, "warn", detail, fix)


def fail(name: str, detail: str, fix: str) -> Check:
    """Broken."""
    return Check(name, "fail", detail, fix)
