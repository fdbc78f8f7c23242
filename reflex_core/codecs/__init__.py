"""Wire protocols by name. A codec's module is imported when it is first used."""

from __future__ import annotations

from importlib import import_module

from .base import Codec, Decoder

_MODULES = {
    "openai-chat": "openai_chat",
    "anthropic-messages": "anthropic_messages",
    "gemini": "gemini",
    "ollama-chat": "ollama_chat",
    "cohere-v2": "cohere_v2",
    "bedrock-converse": "bedrock_converse",
}

NAMES = tuple(_MODULES)
_loaded: dict[str, Codec] = {}


def get(name: str) -> Codec:
    """The codec called `name`. Raises KeyError for an unknown one, ImportError for a missing extra."""
    codec = _loaded.get(name)
    if codec is None:
        module = import_module(f".{_MODULES[name]}", __name__)
        codec = _loaded[name] = module.CODEC
    return codec


__all__ = ["NAMES", "Codec", "Decoder", "get"]
