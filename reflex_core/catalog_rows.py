"""Providers as data: where each lives, where its key is, and how it deviates from OpenAI.

A quirk is in a row only where the provider's documents, its own SDK or a reproducible report say
so; `docs` names the source. What each quirk does is in `catalog.QUIRKS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .types import Provider

_SYSTEM = {"developer_role": "system"}
"""For hosts whose models know no `developer` role."""
_MAX_TOKENS = {"rename": {"max_completion_tokens": "max_tokens"}}


def _compatible(
    name: str,
    base_url: str,
    *key_env: str,
    docs: str,
    models: tuple[str, ...] = (),
    quirks: Mapping[str, Any] | None = None,
) -> Provider:
    """An OpenAI-compatible host with a bearer key."""
    return Provider(
        name, "openai-chat", base_url, key_env, models=models, quirks=quirks or {}, docs=docs
    )


def _local(name: str, port: int, docs: str, key_env: str) -> Provider:
    """A server on this machine that needs no key unless it was started with one."""
    return Provider(
        name,
        "openai-chat",
        f"http://127.0.0.1:{port}/v1",
        (key_env,),
        key_required=False,
        quirks=_SYSTEM,
        docs=docs,
    )


_ROWS = (
    _compatible(
        "openai",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        models=("gpt-5", "gpt-5-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-4o", "gpt-4o-mini"),
        docs="https://platform.openai.com/docs/api-reference/chat",
    ),
    Provider(
        "azure",
        "openai-chat",
        "https://azure-resource-not-set.invalid",
        ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"),
        auth="api-key",
        quirks={"azure": True},
        options_env={
            "base_url": ("AZURE_OPENAI_ENDPOINT",),
            "api_version": ("OPENAI_API_VERSION", "AZURE_OPENAI_API_VERSION"),
        },
        docs="https://learn.microsoft.com/azure/ai-foundry/openai/reference",
    ),
    Provider(
        "anthropic",
        "anthropic-messages",
        "https://api.anthropic.com/v1",
        ("ANTHROPIC_API_KEY",),
        auth="x-api-key",
        models=("claude-opus-4-7", "claude-sonnet-4-6", "claude-sonnet-4-5", "claude-haiku-4-5"),
        quirks={
            "continues": "prefill",
            "continues_models": r"claude-(?:3-|(?:opus|sonnet|haiku)-4(?:-[0-5](?!\d)|-\d{8}|$))",
        },
        docs="https://platform.claude.com/docs/en/api/messages"
        " (prefill: about-claude/models/whats-new-claude-4-6#prefill-removal)",
    ),
    Provider(
        "gemini",
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        auth="x-goog-api-key",
        models=("gemini-3.5-flash", "gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite"),
        docs="https://ai.google.dev/api/generate-content",
    ),
    Provider(
        "vertex",
        "gemini",
        "https://aiplatform.googleapis.com/v1",
        ("VERTEX_ACCESS_TOKEN", "GOOGLE_OAUTH_ACCESS_TOKEN"),
        quirks={"vertex": True},
        options_env={
            "project": ("GOOGLE_CLOUD_PROJECT", "VERTEX_PROJECT"),
            "location": ("GOOGLE_CLOUD_LOCATION", "VERTEX_LOCATION"),
        },
        models=("gemini-3.5-flash", "gemini-2.5-pro", "gemini-2.5-flash"),
        docs="https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference",
    ),
    Provider(
        "ollama",
        "ollama-chat",
        "http://127.0.0.1:11434",
        ("OLLAMA_API_KEY",),
        key_required=False,
        options_env={"base_url": ("OLLAMA_BASE_URL",)},
        docs="https://docs.ollama.com/api/chat",
    ),
    Provider(
        "cohere",
        "cohere-v2",
        "https://api.cohere.com/v2",
        ("COHERE_API_KEY", "CO_API_KEY"),
        models=("command-a-03-2025", "command-a-reasoning-08-2025", "command-r7b-12-2024"),
        docs="https://docs.cohere.com/v2/reference/chat",
    ),
    Provider(
        "bedrock",
        "bedrock-converse",
        "https://bedrock-runtime.{region}.amazonaws.com",
        ("AWS_BEARER_TOKEN_BEDROCK",),
        auth="sigv4",
        key_required=False,
        options_env={
            "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
            "profile": ("AWS_PROFILE",),
        },
        models=("us.anthropic.claude-sonnet-4-6", "us.amazon.nova-2-lite-v1:0"),
        docs="https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html",
    ),
    _compatible(
        "groq",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        models=("llama-3.3-70b-versatile", "openai/gpt-oss-120b", "openai/gpt-oss-20b"),
        quirks={"drop": ("prompt_cache_key", "safety_identifier"), "reasoning_input": "reasoning"},
        docs="https://console.groq.com/docs/openai; parameters of the groq SDK 1.7",
    ),
    _compatible(
        "deepseek",
        "https://api.deepseek.com",
        "DEEPSEEK_API_KEY",
        models=("deepseek-v4-pro", "deepseek-v4-flash"),
        docs="https://api-docs.deepseek.com/api/create-chat-completion",
        quirks={**_SYSTEM, **_MAX_TOKENS},
    ),
    _compatible(
        "mistral",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        models=("mistral-large-latest", "mistral-medium-latest", "mistral-small-latest"),
        quirks={
            **_SYSTEM,
            "stream_options": False,
            "rename": {"max_completion_tokens": "max_tokens", "seed": "random_seed"},
            "drop": ("user", "store", "safety_identifier"),
            "reasoning_input": "drop",
            "continues": "prefix",
        },
        docs="https://docs.mistral.ai/api (unknown fields are refused: parameters of the mistralai"
        " SDK 3.7; avante-corp/avante.nvim#2347, charmbracelet/crush#1590)",
    ),
    _compatible(
        "xai",
        "https://api.x.ai/v1",
        "XAI_API_KEY",
        models=("grok-4", "grok-4-1-fast-reasoning", "grok-3-mini"),
        docs="https://docs.x.ai/docs/api-reference",
    ),
    _compatible(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        quirks={"reasoning_input": "reasoning"},
        docs="https://openrouter.ai/docs/api-reference/overview",
    ),
    _compatible(
        "together",
        "https://api.together.xyz/v1",
        "TOGETHER_API_KEY",
        quirks={**_SYSTEM, **_MAX_TOKENS, "early_finish": True},
        docs="https://docs.together.ai/reference/chat-completions-1 (early_finish: recorded)",
    ),
    _compatible(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        docs="https://docs.fireworks.ai/api-reference/post-chatcompletions"
        " (developer role: cloudflare/cloudflare-os#154)",
        quirks=_SYSTEM,
    ),
    _compatible(
        "cerebras",
        "https://api.cerebras.ai/v1",
        "CEREBRAS_API_KEY",
        models=("gpt-oss-120b", "zai-glm-4.7"),
        quirks={
            **_SYSTEM,
            "rename": {"max_tokens": "max_completion_tokens"},
            "reasoning_input": "reasoning",
        },
        docs="https://inference-docs.cerebras.ai/resources/openai",
    ),
    _compatible(
        "nebius",
        "https://api.tokenfactory.nebius.com/v1",
        "NEBIUS_API_KEY",
        docs="https://docs.tokenfactory.nebius.com/api-reference/introduction",
        quirks=_SYSTEM,
    ),
    _compatible(
        "moonshot",
        "https://api.moonshot.ai/v1",
        "MOONSHOT_API_KEY",
        models=("kimi-k3", "kimi-k2.6"),
        docs="https://platform.kimi.ai/docs/api/chat",
        quirks=_SYSTEM,
    ),
    _compatible(
        "zai",
        "https://api.z.ai/api/paas/v4",
        "ZAI_API_KEY",
        models=("glm-5.3-flash", "glm-4.7"),
        docs="https://docs.z.ai/api-reference/llm/chat-completion"
        " (developer role: vastsa/PI-Desktop#30)",
        quirks={**_SYSTEM, **_MAX_TOKENS},
    ),
    _compatible(
        "minimax",
        "https://api.minimax.io/v1",
        "MINIMAX_API_KEY",
        models=("MiniMax-M2.7",),
        docs="https://platform.minimax.io/docs/api-reference/text-openai-api",
        quirks=_SYSTEM,
    ),
    _compatible(
        "perplexity",
        "https://api.perplexity.ai",
        "PERPLEXITY_API_KEY",
        "PPLX_API_KEY",
        models=("sonar", "sonar-pro", "sonar-reasoning-pro"),
        docs="https://docs.perplexity.ai/api-reference/chat-completions-post",
        quirks={**_SYSTEM, **_MAX_TOKENS},
    ),
    _compatible(
        "github",
        "https://models.github.ai/inference",
        "GITHUB_TOKEN",
        docs="https://docs.github.com/rest/models/inference",
    ),
    _compatible(
        "nvidia",
        "https://integrate.api.nvidia.com/v1",
        "NVIDIA_API_KEY",
        docs="https://docs.api.nvidia.com/nim/reference",
        quirks={**_SYSTEM, **_MAX_TOKENS},
    ),
    _compatible(
        "huggingface",
        "https://router.huggingface.co/v1",
        "HF_TOKEN",
        docs="https://huggingface.co/docs/inference-providers/tasks/chat-completion",
        quirks=_SYSTEM,
    ),
    _compatible(
        "sambanova",
        "https://api.sambanova.ai/v1",
        "SAMBANOVA_API_KEY",
        docs="https://docs.sambanova.ai/cloud/api-reference",
        quirks=_SYSTEM,
    ),
    _local(
        "llamacpp",
        8080,
        "https://github.com/ggml-org/llama.cpp/tree/master/tools/server",
        "LLAMA_API_KEY",
    ),
    _local("vllm", 8000, "https://docs.vllm.ai/en/latest/serving/online_serving", "VLLM_API_KEY"),
    _local("lmstudio", 1234, "https://lmstudio.ai/docs/developer/openai-compat", "LM_API_TOKEN"),
    Provider(
        "mock",
        "openai-chat",
        "mock:",
        auth="none",
        key_required=False,
        models=("mock",),
        docs="reflex_core/mock.py",
    ),
)

PROVIDERS: Mapping[str, Provider] = {row.name: row for row in _ROWS}
