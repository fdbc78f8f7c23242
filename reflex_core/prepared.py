"""What is known of a chat request before anything is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .controls import Controls
from .journal import Record
from .types import ChatRequest, Keys, Target


@dataclass(frozen=True, slots=True)
class Prepared:
    """One chat request, understood. `headers` are the client's, with lower-case names."""

    request: ChatRequest
    target: Target
    keys: Keys
    wishes: Controls
    headers: Mapping[str, str] = field(repr=False)
    record: Record
