"""Which provider and model a name means, and the user's own rows.

The rows themselves are in `catalog_rows`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast
from urllib.parse import urlsplit

from . import codecs
from .catalog_rows import PROVIDERS
from .errors import BadRequest, ConfigError
from .types import Json, Provider

QUIRKS: Mapping[str, str] = {
    "azure": "Azure's paths: deployment in the path, `api-version`, or the v1 API (true)",
    "continues": "an assistant message at the end is continued exactly: `prefill` as it is,"
    " `prefix` when it has `prefix: true`",
    "continues_models": "regular expression for the only models that `continues` holds for",
    "developer_role": "role that `developer` messages are sent with",
    "drop": "parameters that the host refuses and whose loss does not change the answer",
    "early_finish": "the host goes on after a finish reason, so it is held back to the end (true)",
    "max_tokens": "limit sent when the client names none, for protocols that demand one",
    "options": "fixed model options of Ollama (`num_ctx`...)",
    "reasoning_input": "name for `reasoning_content` in earlier assistant messages, or `drop`",
    "rename": "parameters under another name",
    "stream_options": "false where the host refuses `stream_options`; it reports usage unasked",
    "vertex": "Vertex AI's paths: project and location (true)",
}
"""Every quirk a row may have. Codecs read those that concern their protocol."""

_AUTHS = ("bearer", "x-api-key", "api-key", "x-goog-api-key", "sigv4", "none")

_BEDROCK = (
    r"(?:(?:us|us-gov|eu|apac|jp|au|ca|sa|me|global)\.)?"
    r"(?:ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshotai|nvidia"
    r"|openai|qwen|stability|twelvelabs|writer|zai)\.[a-z]"
)
_BY_NAME: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), provider)
    for pattern, provider in (
        (_BEDROCK, "bedrock"),
        (r"claude-", "anthropic"),
        (r"(?:models/)?gemini-", "gemini"),
        (r"(?:command|c4ai)-", "cohere"),
        (
            r"(?:open-)?(?:mistral|ministral|codestral|magistral|devstral|pixtral|voxtral)-",
            "mistral",
        ),
        (r"deepseek-", "deepseek"),
        (r"grok-", "xai"),
        (r"sonar(?:-|$)", "perplexity"),
        (r"(?:kimi|moonshot)-", "moonshot"),
        (r"glm-", "zai"),
        (r"(?i:minimax)-", "minimax"),
        (r"mock(?:-|$)", "mock"),
    )
)


# --------------------------------------------------------------------------- names


def resolve(
    model: str,
    *,
    default_provider: str | None,
    aliases: Mapping[str, str],
    providers: Mapping[str, Provider],
) -> tuple[Provider, str]:
    """(provider, its model name) for the name a client used.

    An alias for exactly this name comes first, then `provider::model`, then aliases with `*` (the
    longest first; a `*` in their value is the client's name), then the configured default, then
    the name's own prefix (`claude-`...), then OpenAI. Raises BadRequest (404) for an unknown
    provider.
    """
    name = aliases.get(model)
    if name is None and "::" not in model:
        name = _by_pattern(model, aliases)
    name = model if name is None else name
    prefix, separator, rest = name.partition("::")
    if separator:
        if prefix not in providers:
            raise BadRequest(
                f"The model '{name}' names an unknown provider '{prefix}'.",
                param="model",
                code="model_not_found",
                status=404,
            )
        return providers[prefix], rest
    return providers[default_provider or provider_for(name)], name


def provider_for(model: str) -> str:
    """The provider that a model's name speaks of."""
    return next((name for pattern, name in _BY_NAME if pattern.match(model)), "openai")


def _by_pattern(model: str, aliases: Mapping[str, str]) -> str | None:
    patterns = sorted((name for name in aliases if "*" in name), key=len, reverse=True)
    for pattern in patterns:
        if re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), model, re.DOTALL):
            return aliases[pattern].replace("*", model)
    return None


def models_list(provider: Provider, aliases: Mapping[str, str]) -> Json:
    """The answer to GET /v1/models: the names that were mapped, and some of the provider's."""
    owners = dict.fromkeys(provider.models, provider.name)
    for name, target in aliases.items():
        if "*" not in name:
            prefix, separator, _ = target.partition("::")
            owners[name] = prefix if separator else provider.name
    data = [
        {"id": name, "object": "model", "created": 0, "owned_by": owner}
        for name, owner in sorted(owners.items())
    ]
    return {"object": "list", "data": data}


# --------------------------------------------------------------------------- the user's rows


def custom_provider(table: Json) -> Provider:
    """A row from `[providers.NAME]` of the TOML file, with `name` set to NAME.

    A known name changes that row. Raises ConfigError that names the key, its value and what is
    allowed.
    """
    given = dict(table)
    name = str(given.pop("name", ""))
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name):
        raise ConfigError(
            f"[providers.{name}]: a provider's name has small letters, digits, - . _ only."
        )
    values: dict[str, Any] = {}
    for key, value in given.items():
        check = _CHECKS.get(key)
        if check is None:
            raise ConfigError(
                f"providers.{name}.{key}: unknown key; known: {', '.join(sorted(_CHECKS))}."
            )
        values[key] = check(f"providers.{name}.{key}", value)
    old = PROVIDERS.get(name)
    if old is None:
        if "base_url" not in values:
            raise ConfigError(f"providers.{name}.base_url: must be set.")
        old = Provider(name, "openai-chat", "")
        values.setdefault("key_required", bool(values.get("key_env")))
    if "base_url" in values and "base_url" in old.options_env:
        rest = {option: env for option, env in old.options_env.items() if option != "base_url"}
        values["options_env"] = rest | values.get("options_env", {})
    return replace(old, **values)


def _fail(key: str, value: Any, allowed: str) -> ConfigError:
    return ConfigError(f"{key}={value!r}: must be {allowed}.")


def _codec(key: str, value: Any) -> str:
    if value not in codecs.NAMES:
        raise _fail(key, value, f"one of {', '.join(codecs.NAMES)}")
    return value


def _auth(key: str, value: Any) -> str:
    if value not in _AUTHS:
        raise _fail(key, value, f"one of {', '.join(_AUTHS)}")
    return value


def _url(key: str, value: Any) -> str:
    parts = urlsplit(value) if isinstance(value, str) else None
    if not parts or parts.scheme not in ("http", "https") or not parts.netloc:
        raise _fail(key, value, "an http:// or https:// URL")
    return cast(str, value).rstrip("/")


def _names(key: str, value: Any) -> tuple[str, ...]:
    items: Any = [value] if isinstance(value, str) else value
    if isinstance(items, list):
        names = cast(list[Any], items)
        if all(isinstance(item, str) and item for item in names):
            return tuple(names)
    raise _fail(key, value, "a name or a list of names")


def _bool(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _fail(key, value, "true or false")
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _fail(key, value, "text")
    return value


def _table(key: str, value: Any) -> Json:
    if not isinstance(value, dict):
        raise _fail(key, value, "a table")
    return cast(Json, value)


def _headers(key: str, value: Any) -> tuple[tuple[str, str], ...]:
    return tuple((name, _text(f"{key}.{name}", text)) for name, text in _table(key, value).items())


def _options_env(key: str, value: Any) -> dict[str, tuple[str, ...]]:
    return {name: _names(f"{key}.{name}", env) for name, env in _table(key, value).items()}


def _renames(key: str, value: Any) -> Json:
    return dict(_headers(key, value))


def _tokens(key: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise _fail(key, value, "a number of tokens")
    return value


def _continues(key: str, value: Any) -> str:
    if value not in ("prefill", "prefix"):
        raise _fail(key, value, "prefill or prefix")
    return value


def _pattern(key: str, value: Any) -> str:
    try:
        re.compile(_text(key, value))
    except re.error as error:
        raise _fail(key, value, f"a regular expression ({error})") from None
    return value


_QUIRK_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "azure": _bool,
    "continues": _continues,
    "continues_models": _pattern,
    "developer_role": _text,
    "drop": _names,
    "early_finish": _bool,
    "max_tokens": _tokens,
    "options": _table,
    "reasoning_input": _text,
    "rename": _renames,
    "stream_options": _bool,
    "vertex": _bool,
}


def _quirks(key: str, value: Any) -> Json:
    out: Json = {}
    for name, setting in _table(key, value).items():
        check = _QUIRK_CHECKS.get(name)
        if check is None:
            known = ", ".join(sorted(QUIRKS))
            raise ConfigError(f"{key}.{name}: unknown quirk; known: {known}.")
        out[name] = check(f"{key}.{name}", setting)
    return out


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "codec": _codec,
    "base_url": _url,
    "key_env": _names,
    "auth": _auth,
    "key_required": _bool,
    "headers": _headers,
    "models": _names,
    "quirks": _quirks,
    "options_env": _options_env,
    "docs": _text,
}
