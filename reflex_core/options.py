"""Every setting as data: the mitmproxy options, the environment, the TOML file and the docs read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .units import parse_bool, parse_duration, parse_float, parse_int, parse_size

Kind = Literal["str", "choice", "bool", "int", "float", "duration", "size", "list"]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting. `default` is as a user would write it; lists are tuples of strings."""

    name: str
    kind: Kind
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def option(self) -> str:
        return f"reflex_{self.name}"

    @property
    def env(self) -> str:
        return f"REFLEX_{self.name.upper()}"

    def allowed(self) -> str:
        """What a value may be, for error messages and the reference page."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        words = {
            "str": "text",
            "bool": "true or false",
            "int": "a whole number",
            "float": "a number",
            "duration": "a duration such as 90s, 15m, 12h, 7d",
            "size": "a size such as 512k, 64m, 2g",
            "list": "a list of texts",
        }[self.kind]
        if self.low is not None and self.high is not None:
            return f"{words} from {self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"{words}, at least {self.low:g}"
        return words

    def parse(self, value: Any) -> Any:
        """The typed value. Raises ValueError."""
        if self.kind == "list":
            return _parse_list(value)
        if self.kind == "choice":
            if str(value).lower() not in self.choices:
                raise ValueError
            return str(value).lower()
        if self.kind == "str":
            return str(value)
        parsed = _PARSERS[self.kind](value)
        too_low = self.low is not None and parsed < self.low
        if too_low or (self.high is not None and parsed > self.high):
            raise ValueError
        return parsed


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "bool": parse_bool,
    "int": parse_int,
    "float": parse_float,
    "duration": parse_duration,
    "size": parse_size,
}


def _parse_list(value: Any) -> tuple[str, ...]:
    """Items are also separated by commas and line ends: `--set` gives such a text as one item."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple):
        raise ValueError
    items = [item for text in texts for item in str(text).replace("\n", ",").split(",")]
    return tuple(item.strip() for item in items if item.strip())


OPTIONS: tuple[Option, ...] = (
    Option(
        "provider",
        "str",
        "",
        "Provider for models that name none: openai, anthropic, gemini, ollama, ... or a row of your"
        " own. Empty: chosen by the model's name, else openai.",
    ),
    Option("upstream", "str", "", "Base URL used instead of the default provider's own."),
    Option(
        "models",
        "list",
        (),
        "Model map: `gpt-4o=anthropic::claude-sonnet-4-5`, also `*=groq::llama-3.3-70b-versatile`.",
    ),
    Option(
        "hosts",
        "list",
        ("api.openai.com",),
        "Hosts that are intercepted in forward mode. All other TLS passes through undecrypted.",
    ),
    Option("storage_path", "str", "", "Folder for the store. Empty: the platform's data folder."),
    Option("config", "str", "", "TOML file with these settings and rows for more providers."),
    Option("cache", "bool", True, "Answer repeats. With false every request goes upstream."),
    Option("ttl", "duration", "30d", "How long an answer may be served. 0 means for ever."),
    Option("l1_capacity", "int", 10_000, "Answers kept in memory.", low=1),
    Option("l1_size", "size", "256m", "Bytes of answers kept in memory.", low=0),
    Option("max_size", "size", "4g", "Size of the store; least recently used answers go first."),
    Option("max_answer", "size", "4m", "Answers larger than this are not stored.", low=1024),
    Option("semantic", "bool", True, "Answer similar questions too, where the verifier agrees."),
    Option(
        "max_wrong",
        "float",
        0.01,
        "Share of wrong answers among similar-but-different questions that you accept.",
        low=0.0001,
        high=0.5,
    ),
    Option(
        "verify",
        "bool",
        True,
        "Verify similar questions. With false a cosine of reflex_min_cosine alone decides.",
    ),
    Option(
        "min_cosine",
        "float",
        0.95,
        "Cosine that is enough where verification is off.",
        low=0,
        high=1,
    ),
    Option(
        "embedder",
        "str",
        "bundled",
        "What turns questions into vectors: `bundled` (bge-small-en-v1.5), a folder with an ONNX"
        " model, or the base URL of an OpenAI-compatible /v1/embeddings endpoint.",
    ),
    Option("embedder_model", "str", "", "Model name for an embeddings endpoint."),
    Option(
        "embedder_key",
        "str",
        "REFLEX_EMBEDDER_API_KEY",
        "Name of the variable that holds the key of an embeddings endpoint.",
    ),
    Option("embedder_dim", "int", 0, "Dimensions to use. 0: as the model has.", low=0),
    Option(
        "embedder_pooling",
        "choice",
        "auto",
        "How a folder's model makes one vector of many, where its files do not say.",
        choices=("auto", "cls", "mean", "max", "last", "output"),
    ),
    Option(
        "embedder_prefix",
        "str",
        "",
        "Text put before a question, where a folder's files name none.",
    ),
    Option(
        "embedder_max_tokens",
        "int",
        128,
        "Longer questions are left to the exact tier: nothing is ever cut.",
        low=8,
        high=8192,
    ),
    Option("model_path", "str", "", "Same as a folder in reflex_embedder (the ancestor's name)."),
    Option(
        "reranker_path",
        "str",
        "",
        "Folder with weights for the verifier, as scripts/verifier/train.py makes them. Empty: those"
        " that come along.",
    ),
    Option(
        "reranker_threshold",
        "float",
        0.0,
        "Score the verifier demands. 0: what reflex_max_wrong asks for.",
        low=0,
        high=1,
    ),
    Option(
        "judge",
        "str",
        "",
        "Model that is asked, in the background, about similar questions that the verifier nearly"
        " accepted: `provider::model`, with that provider's own key. Its verdict counts the next time."
        " It sees both questions, and for rechecks both answers. Empty: none.",
    ),
    Option(
        "judge_band",
        "float",
        0.5,
        "How far below the verifier's threshold a score may be for the judge to be asked.",
        low=0,
        high=1,
    ),
    Option("judge_per_minute", "int", 30, "Most questions to the judge in a minute.", low=1),
    Option(
        "recheck",
        "float",
        0.01,
        "Share of answers to similar questions that is also asked upstream, in the background and with"
        " the client's key, to measure how many were wrong. Above reflex_max_wrong thresholds are"
        " tightened. 0: none.",
        low=0,
        high=1,
    ),
    Option("l2_capacity", "int", 1_000_000, "Entries in the semantic index.", low=1),
    Option(
        "index",
        "choice",
        "exact",
        "How neighbours are found: `exact` compares a whole scope (64 bytes an entry), `usearch` walks a"
        " graph (about 430), quicker where one scope holds a million.",
        choices=("exact", "usearch"),
    ),
    Option("l2_candidates", "int", 64, "Neighbours that are looked at closely.", low=1, high=1000),
    Option(
        "sampling",
        "choice",
        "relaxed",
        "Whether temperature, top_p and seed must be equal for a similar question to be answered.",
        choices=("relaxed", "strict"),
    ),
    Option(
        "shared_namespaces",
        "list",
        (),
        "Namespaces (X-Reflex-Namespace) whose answers are shared between credentials.",
    ),
    Option("namespace", "str", "", "Namespace for requests that name none."),
    Option(
        "connect_timeout", "duration", "10s", "Longest wait for a connection upstream.", low=0.1
    ),
    Option(
        "first_byte_timeout",
        "duration",
        "10m",
        "Longest wait for the first byte of an answer.",
        low=0.1,
    ),
    Option("idle_timeout", "duration", "5m", "Longest silence inside an answer.", low=0.1),
    Option(
        "keepalive",
        "duration",
        "15s",
        "Interval of SSE comments while the provider is silent. 0 sends none.",
    ),
    Option(
        "stream_upstream",
        "bool",
        True,
        "Ask providers for a stream also where the client wants JSON, so that streaming clients can"
        " join the answer and a broken one can be continued.",
    ),
    Option(
        "on_disconnect",
        "choice",
        "cancel",
        "What happens to an upstream call when its last client has left: stop paying, or finish it"
        " to fill the cache.",
        choices=("cancel", "finish"),
    ),
    Option(
        "disconnect_grace",
        "duration",
        "2s",
        "How long a call goes on after its last client left, for one that reconnects at once.",
    ),
    Option(
        "join_similar",
        "duration",
        "0s",
        "How long a question may wait for the answer to a similar one that is on its way, where the"
        " verifier accepts the pair, before it goes upstream itself. 0: not at all.",
    ),
    Option(
        "retries",
        "int",
        2,
        "Further tries, before the first token, of a call that several clients wait for. A single"
        " client does its own.",
        low=0,
        high=10,
    ),
    Option(
        "resumptions",
        "int",
        2,
        "How often a broken answer is continued by another call, where the provider can. 0 turns"
        " continuing off.",
        low=0,
        high=10,
    ),
    Option("partial_ttl", "duration", "10m", "How long the text of a broken answer is kept."),
    Option(
        "fallbacks",
        "list",
        (),
        "What to ask, in this order, when a call fails before its first token: `provider::model` for"
        " every model, `name=provider::model` for one.",
    ),
    Option(
        "breaker_failures",
        "int",
        5,
        "Failures in a row after which a provider is passed over, where there is a fallback.",
        low=1,
    ),
    Option("breaker_reset", "duration", "30s", "How long a provider is passed over.", low=1),
    Option(
        "stale_if_error",
        "duration",
        "0s",
        "How long after its TTL an answer may still be served when everything fails (RFC 5861).",
    ),
    Option(
        "shutdown_grace",
        "duration",
        "10s",
        "How long open answers may go on when the proxy is stopped. A second signal ends it at once.",
    ),
    Option(
        "fast_hits",
        "choice",
        "auto",
        "Answer exact hits before mitmproxy's hooks run. auto: unless something consumes the flows"
        " (console, mitmweb, -w, other scripts).",
        choices=("auto", "on", "off"),
    ),
    Option(
        "admin_token",
        "str",
        "",
        "Token for the dashboard, /metrics and the other admin paths, at least 16 characters. Empty:"
        " they answer clients on the proxy's own machine only.",
    ),
    Option(
        "admin_hosts",
        "list",
        (),
        "Host names the admin paths may be asked by, beside localhost, 127.0.0.1, [::1] and"
        " reflex.local.",
    ),
    Option(
        "dashboard_prompts",
        "bool",
        False,
        "Keep the questions of recent requests in memory and show them on the dashboard and in `why`.",
    ),
    Option(
        "otel_endpoint",
        "str",
        "",
        "OTLP/HTTP endpoint that gets a span for each request, such as http://localhost:4318. Needs"
        " the extra `otel`. Empty: none.",
    ),
    Option(
        "log_json",
        "bool",
        False,
        "One JSON object a request on standard output, instead of a line in mitmproxy's log.",
    ),
    Option(
        "keep_requests",
        "bool",
        True,
        "Keep each stored answer's request beside it, so that a miss can be compared with what is"
        " stored. Deflated; those over 256 KiB are left out.",
    ),
    Option(
        "offline",
        "bool",
        False,
        "Answer from the cache only, expired answers too. A miss is a 504 that names the nearest"
        " stored request and what differs from it. No provider is ever asked.",
    ),
    Option(
        "replay",
        "choice",
        "off",
        "What is done with flows read from a capture (`mitmdump -nr FILE`). warm: fill the cache from"
        " them. plan: report what the cache would have saved, storing nothing.",
        choices=("off", "warm", "plan"),
    ),
    Option(
        "report",
        "list",
        (),
        "Files for the report of reflex_replay, beside the terminal: names ending in .json, and for"
        " a plan in .html.",
    ),
    Option(
        "scrub",
        "bool",
        False,
        "Hide credentials in the flows of OpenAI requests once they are answered, so that a capture"
        " (`-w`) can be shared. Such a capture needs a shared namespace to be of use to others.",
    ),
    Option(
        "upstream_proxy",
        "str",
        "",
        "HTTP proxy on the way to providers, but for hosts in NO_PROXY. Empty: none.",
    ),
    Option(
        "mock_provider", "bool", False, "Same as reflex_provider=mock, with no upstream at all."
    ),
    Option(
        "mock_delay", "duration", "0s", "Time the mock provider takes between two pieces of text."
    ),
)

BY_NAME = {option.name: option for option in OPTIONS}
