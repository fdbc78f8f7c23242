"""Who asks, what is asked, and what must be equal for a similar question to share its answer.

All hashes are BLAKE2b with a `person` that names their use, over length-prefixed parts, so that no
two different inputs run together. Bodies are what `orjson.loads` gives; anything may be malformed
below the top level, and nothing here raises for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, cast

import orjson

from .types import Json

IGNORED = frozenset(
    [
        "stream",
        "stream_options",
        "user",
        "metadata",
        "store",
        "service_tier",
        "prompt_cache_key",
        "safety_identifier",
    ]
)
"""Fields of the body that cannot change the answer."""

SAMPLING = frozenset(["temperature", "top_p", "seed"])
"""May differ between neighbours unless sampling is strict."""

_NULLABLE = frozenset(
    [
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "n",
        "presence_penalty",
        "reasoning_effort",
        "seed",
        "stop",
        "temperature",
        "top_logprobs",
        "top_p",
    ]
)
"""Documented as "or null, optional": null says the same as leaving it out."""

_OPTIONAL_IN_MESSAGES = frozenset(
    ["annotations", "audio", "function_call", "name", "refusal", "tool_calls"]
)
"""Members of a message that say nothing when they are null or an empty list.

SDKs send answers back as they got them, and hosts differ in which of these they fill in.
"""

_NUMBERS = frozenset(["frequency_penalty", "presence_penalty", "temperature", "top_p"])
"""Documented as numbers, so 1 and 1.0 are one value. Elsewhere (in a schema, say) they stay apart."""


# --------------------------------------------------------------------------- hashes


def tenant(
    secret: bytes,
    credential: str | None,
    namespace: str | None = None,
    shared: frozenset[str] = frozenset(),
) -> bytes:
    """16 bytes that stand for whoever may read an entry.

    A namespace divides the credential's own entries further: naming another's namespace leads
    nowhere. Only those in `shared`, which comes from the configuration and never from a request,
    are the same for every credential.
    """
    if namespace is not None and namespace in shared:
        parts = [b"shared", _utf8(namespace)]
    else:
        parts = [b"own", b"\0" if credential is None else b"\1" + _utf8(credential)]
        if namespace is not None:
            parts.append(_utf8(namespace))
    return _digest(b"reflex.tenant.1", parts, size=16, secret=secret)


def exact_key(tenant: bytes, provider_name: str, upstream_model: str, body: Json) -> bytes:
    """32 bytes over everything that can change the answer.

    `body["model"]` is left out: `upstream_model` is what answers. Texts are taken as they are: a
    string and a list with one text part have different keys, since providers need not treat them
    alike. Give `provider_name` something that tells two base URLs of one provider apart.
    """
    parts = [tenant, _utf8(provider_name), _utf8(upstream_model), canonical(meaningful(body))]
    return _digest(b"reflex.exact.1", parts)


def scope(
    tenant: bytes, provider_name: str, upstream_model: str, body: Json, *, strict: bool = False
) -> bytes:
    """32 bytes over all that must be equal for a similar question to share an answer.

    That is the whole body but for the text of the last user message and, unless `strict`, the
    sampling parameters. In messages a string and a single text part count as the same text.
    """
    fields = meaningful(body)
    if not strict:
        fields = {name: value for name, value in fields.items() if name not in SAMPLING}
    messages = fields.get("messages")
    if isinstance(messages, list) and messages:
        items = cast(list[Any], messages)
        fields["messages"] = [*map(_plain, items[:-1]), _without_text(items[-1])]
    parts = [tenant, _utf8(provider_name), _utf8(upstream_model), canonical(fields)]
    return _digest(b"reflex.scope.1", parts)


def _digest(person: bytes, parts: list[bytes], *, size: int = 32, secret: bytes = b"") -> bytes:
    digest = blake2b(digest_size=size, key=secret, person=person)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# --------------------------------------------------------------------------- canonical JSON


def canonical(value: Any) -> bytes:
    """The same bytes for the same JSON value whatever the order of its keys, and only for it.

    Sorted JSON from orjson; where it cannot (nesting over 254 levels, integers over 64 bits, lone
    surrogates) an own notation that starts with a zero byte. NaN and infinity, which orjson neither
    reads nor tells from null, must not be in `value` below its first level.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return b"\0" + _utf8(_notation(value))


def _notation(value: Any) -> str:
    out: list[str] = []
    todo: list[Any] = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            fields = cast(Json, item)
            out.append(f"d{len(fields)}:")
            for name in sorted(fields, reverse=True):
                todo += (fields[name], name)
        elif isinstance(item, list):
            items = cast(list[Any], item)
            out.append(f"l{len(items)}:")
            todo.extend(reversed(items))
        elif isinstance(item, str):
            out.append(f"s{len(item)}:{item}")
        elif isinstance(item, int) and not isinstance(item, bool):
            out.append(f"i{item:x};")
        else:
            out.append(f"v{item!r};")
    return "".join(out)


def meaningful(body: Json) -> Json:
    """The fields that can change the answer; those documented to say nothing are left out."""
    out: Json = {}
    for name, value in body.items():
        if name in IGNORED or name == "model" or (value is None and name in _NULLABLE):
            continue
        if isinstance(value, float):
            if value.is_integer() and name in _NUMBERS:
                value = int(value)
            elif value != value or value in (float("inf"), float("-inf")):
                value = {"not finite": repr(value)}
        out[name] = value
    messages = out.get("messages")
    if isinstance(messages, list):
        out["messages"] = [_without_empty(turn) for turn in cast(list[Any], messages)]
    if out.get("logprobs") is False:
        del out["logprobs"]
    if out.get("n") == 1 and type(out["n"]) is int:
        del out["n"]
    return out


# --------------------------------------------------------------------------- messages


def _without_empty(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    fields = cast(Json, message)
    if _OPTIONAL_IN_MESSAGES.isdisjoint(fields):
        return fields
    return {
        name: value
        for name, value in fields.items()
        if name not in _OPTIONAL_IN_MESSAGES or value not in (None, [])
    }


def _plain(message: Any) -> Any:
    """The message with a single plain text part written as a string."""
    if isinstance(message, dict):
        fields = cast(Json, message)
        text = _single_text(fields.get("content"))
        if text is not None:
            return {**fields, "content": text}
    return message


def _without_text(message: Any) -> Any:
    """The last message without what may vary: the text, when it is the user's."""
    if not isinstance(message, dict):
        return message
    fields = cast(Json, message)
    content = fields.get("content")
    if fields.get("role") != "user" or not isinstance(content, str | list):
        return _plain(fields)
    if isinstance(content, str) or _single_text(content) is not None:
        return {**fields, "content": 0}
    parts = [_part_without_text(part) for part in cast(list[Any], content)]
    return {**fields, "content": parts}


def _part_without_text(part: Any) -> Any:
    if _part_type(part) != "text":
        return part
    return {name: value for name, value in part.items() if name != "text"}


def _part_type(part: Any) -> Any:
    return cast(Json, part).get("type") if isinstance(part, dict) else None


def _single_text(content: Any) -> str | None:
    """`t` for `[{"type": "text", "text": t}]`, None for everything else."""
    if isinstance(content, list) and len(cast(list[Any], content)) == 1:
        part: Any = content[0]
        if _part_type(part) == "text" and len(part) == 2 and isinstance(part.get("text"), str):
            return part["text"]
    return None


def _text(content: Any) -> str | None:
    """All text of a message; None when there is anything that is not text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts: list[str] = []
    for part in cast(list[Any], content):
        text = part.get("text") if _part_type(part) == "text" else None
        if not isinstance(text, str):
            return None
        texts.append(text)
    return "\n".join(texts)


def last_text(body: Json) -> str | None:
    """The text of the last message, whoever's it is; None where there is none."""
    messages = body.get("messages")
    last: Any = messages[-1] if isinstance(messages, list) and messages else None
    return _text(cast(Json, last).get("content")) if isinstance(last, dict) else None


# --------------------------------------------------------------------------- semantic tier


def semantic_text(body: Json) -> str | None:
    """The last user message, or None where only an equal request may be answered."""
    return None if exact_only_reason(body) else _text(body["messages"][-1]["content"])


def exact_only_reason(body: Json) -> str | None:
    """Why the semantic tier must not see this request; None when it may.

    One of: malformed, several-choices, logprobs, legacy-functions, audio-output, not-from-user,
    tool-results, not-text, empty-question, context-dependent.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "malformed"
    turns = cast(list[Any], messages)
    reason = _parameters_reason(body) or _turns_reason(turns)
    if reason:
        return reason
    text = _text(turns[-1].get("content"))
    if text is None:
        return "malformed"
    if not text.strip():
        return "empty-question"
    conversation = any(turn["role"] not in ("system", "developer") for turn in turns[:-1])
    if conversation and depends_on_context(text):
        return "context-dependent"
    return None


def _parameters_reason(body: Mapping[str, Any]) -> str | None:
    n = body.get("n")
    if n is not None and (type(n) is not int or n < 1):
        return "malformed"
    if n is not None and n > 1:
        return "several-choices"
    if body.get("logprobs") or body.get("top_logprobs"):
        return "logprobs"
    if body.get("functions") or body.get("function_call"):
        return "legacy-functions"
    modalities = body.get("modalities")
    if body.get("audio") or (modalities is not None and modalities != ["text"]):
        return "audio-output"
    return None


def _turns_reason(turns: list[Any]) -> str | None:
    for turn in turns:
        if not isinstance(turn, dict):
            return "malformed"
        fields = cast(Json, turn)
        if not isinstance(fields.get("role"), str):
            return "malformed"
        if fields["role"] in ("tool", "function"):
            return "tool-results"
        content = fields.get("content")
        if isinstance(content, list):
            kinds = [_part_type(part) for part in cast(list[Any], content)]
            if any(kind not in ("text", "refusal") for kind in kinds):
                return "not-text"
        elif content is not None and not isinstance(content, str):
            return "malformed"
    return None if turns[-1]["role"] == "user" else "not-from-user"


_WORD = re.compile(r"\w+")
_DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Kana and Han: written without spaces, about two characters to a word."""

_POINTER_WORDS = """
    it its this that these those they them their he him his she her one ones first second third
    last former latter both either neither same other another above below previous next again
    more else instead too there then yes yeah yep no nope ok okay sure please continue
    das dies diese dieser dieses es sie ihn ihm erste zweite letzte beide andere nochmal weiter
    ja nein bitte ça cela ceci celui celle ceux oui non deuxième dernier encore plus eso esto ese
    esta este esa sí segundo última último otra otro más isso isto esse essa sim não outra outro
    mais
"""
"""English, then German, French, Spanish and Portuguese."""
_POINTERS = frozenset(_POINTER_WORDS.split())
_DENSE_POINTERS = re.compile("[这那它他她這此其]|これ|それ|あれ|この|その")
_FOLLOW_UP = re.compile(r"\s*(and|or|but|so|also|what about|how about|und|et|y|e)\b", re.IGNORECASE)


def depends_on_context(text: str) -> bool:
    """True for a turn that says little without the turns before it: "yes", "the second one".

    Such texts embed alike whatever they mean. Rules: fewer than 4 words; or at most 10 words with a
    word that points elsewhere or an opening that carries on ("and in Spain, since when?").
    """
    dense = len(_DENSE.findall(text))
    words = _WORD.findall(_DENSE.sub(" ", text).casefold())
    length = len(words) + dense / 2
    if length < 4:
        return True
    if length > 10:
        return False
    pointing = not _POINTERS.isdisjoint(words) or bool(_DENSE_POINTERS.search(text))
    return pointing or _FOLLOW_UP.match(text) is not None
