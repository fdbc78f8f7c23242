"""What an answer costs: prices from genai-prices or the user's own table. Nothing is guessed.

The user's table is `[prices]` in the TOML file: model name, or `provider::model`, to US dollars for a
million tokens.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, cast

from .errors import ConfigError
from .types import Json, Provider

_NAMES = {
    "anthropic": "anthropic",
    "azure": "azure",
    "bedrock": "aws",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "gemini": "google",
    "groq": "groq",
    "minimax": "minimax",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "vertex": "google",
    "xai": "x-ai",
    "zai": "zai",
}
"""Our providers, as genai-prices calls them. Others are found by their base URL or not at all."""


class Tokens(NamedTuple):
    """Counts of one answer. `cached`, `written` and `audio_in` are parts of `prompt`."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    written: int = 0
    audio_in: int = 0
    audio_out: int = 0


def tokens(usage: Json | None) -> Tokens:
    """From usage in OpenAI's shape, whatever is in it."""
    if not usage:
        return Tokens()
    more, out = _details(usage, "prompt"), _details(usage, "completion")
    prompt = _count(usage, "prompt_tokens")
    return Tokens(
        prompt,
        _count(usage, "completion_tokens"),
        min(_count(more, "cached_tokens"), prompt),
        min(_count(more, "cache_write_tokens"), prompt),
        min(_count(more, "audio_tokens"), prompt),
        _count(out, "audio_tokens"),
    )


def _details(usage: Json, side: str) -> Json:
    details = usage.get(f"{side}_tokens_details")
    return cast(Json, details) if isinstance(details, dict) else {}


def _count(fields: Json, name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) and value > 0 else 0


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    input: float
    output: float
    cached: float | None = None
    """Prompt tokens read from the provider's own cache; None: like the others."""

    def of(self, count: Tokens) -> float:
        cached = self.input if self.cached is None else self.cached
        fresh = count.prompt - count.cached
        dollars = fresh * self.input + count.cached * cached + count.completion * self.output
        return dollars / 1e6


def table(rows: Any) -> dict[str, Price]:
    """The `[prices]` table of the TOML file. Raises ConfigError."""
    if not isinstance(rows, dict):
        raise ConfigError("[prices] in the TOML file must be a table.")
    return {str(name): _price(str(name), row) for name, row in cast(Json, rows).items()}


def _price(name: str, row: Any) -> Price:
    fields = cast(Json, row) if isinstance(row, dict) else {}
    good = {"input", "output"} <= fields.keys() <= {"input", "output", "cached"}
    numbers = [v for v in fields.values() if type(v) in (int, float) and 0 <= v < 1e9]
    if not good or len(numbers) != len(fields):
        raise ConfigError(
            f"[prices] {name}: must be {{ input = 2.5, output = 10, cached = 1.25 }},"
            " US dollars for a million tokens; cached may be left out."
        )
    return Price(**{field: float(value) for field, value in fields.items()})


class Prices:
    """Thread-safe. The first call loads genai-prices, which takes more than a second: not on the loop."""

    def __init__(self, own: Mapping[str, Price], providers: Mapping[str, Provider]) -> None:
        self._own = own
        self._providers = providers
        self._found: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def cost(
        self, provider: str, model: str, count: Tokens, when: datetime | None = None
    ) -> float | None:
        """US dollars; None for a model without a known price. `when`: prices change over time."""
        own = self._own.get(f"{provider}::{model}") or self._own.get(model)
        if own is not None:
            return own.of(count)
        with self._lock:
            if (provider, model) not in self._found:
                self._found[provider, model] = self._find(provider, model)
            found = self._found[provider, model]
        return None if found is None else _calculate(found, count, when)

    def known(self, provider: str, model: str, count: Tokens) -> float | None:
        """The same, but at once: None also where the price was not looked up yet."""
        own = self._own.get(f"{provider}::{model}") or self._own.get(model)
        if own is not None:
            return own.of(count)
        found = self._found.get((provider, model))
        return None if found is None else _calculate(found, count, None)

    def _find(self, provider: str, model: str) -> Any:
        """genai-prices' (provider, model)."""
        from genai_prices.data_snapshot import get_snapshot

        known = _NAMES.get(provider)
        row = self._providers.get(provider)
        url = row.base_url if row is not None and known is None else None
        if known is None and url is None:
            return None
        try:
            return get_snapshot().find_provider_model(model, None, known, url)
        except LookupError:
            return None


def _calculate(found: Any, count: Tokens, when: datetime | None) -> float | None:
    from datetime import UTC

    from genai_prices import Usage

    provider, model = found
    parts = {
        "input_tokens": count.prompt,
        "output_tokens": count.completion,
        "cache_read_tokens": count.cached,
        "cache_write_tokens": count.written,
        "input_audio_tokens": count.audio_in,
        "output_audio_tokens": count.audio_out,
    }
    usage = Usage(**{name: value for name, value in parts.items() if value})
    try:
        price = model.calc_price(
            usage, provider, genai_request_timestamp=when or datetime.now(tz=UTC)
        )
    except (LookupError, ValueError):
        return None
    return float(price.total_price)
