"""What the models behind Bedrock's Converse accept, as data."""

from __future__ import annotations

from dataclasses import dataclass

from .claude_models import Claude, claude

_NATIVE = (
    "qwen.qwen3",
    "openai.gpt-oss",
    "deepseek.v3",
    "google.gemma-3",
    "minimax.",
    "mistral.magistral",
    "mistral.ministral",
    "mistral.mistral-large-3",
    "mistral.voxtral",
    "moonshot",
    "nvidia.nemotron",
)
"""Open-weight models with `outputConfig.textFormat` (userguide, "structured outputs")."""


@dataclass(frozen=True, slots=True)
class Family:
    """What the model's family takes. `claude` is None for other vendors' models."""

    claude: Claude | None
    nova: bool
    nova_thinks: bool
    gpt_oss: bool
    mistral: bool
    structured: bool

    @property
    def forced_tools(self) -> bool:
        """Whether one named tool can be forced."""
        return self.nova or (self.claude is not None and self.claude.forced_tools)


def family(model: str) -> Family:
    """Facts for a model id, with or without its region prefix, or within an ARN."""
    name = model.lower()
    facts = claude(name) if "anthropic" in name or "claude" in name else None
    # AWS documents structured outputs of Claude for 4.5 and 4.6 only.
    middle = facts is not None and facts.structured and not facts.hides_thinking
    return Family(
        claude=facts,
        nova="amazon.nova" in name,
        nova_thinks="amazon.nova-2" in name,
        gpt_oss="openai.gpt-oss" in name,
        mistral="mistral." in name,
        structured=middle or any(prefix in name for prefix in _NATIVE),
    )
