"""A sentence-embedding model of a few numbers, written as ONNX by hand (onnx.proto3, IR version 8).

Its token vectors are rows of a table: what pooling should give can be computed on paper.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "green", "blue", "query", ":"]
DIM = 16
TABLE = np.random.default_rng(5).standard_normal((len(WORDS), DIM)).astype(np.float32)

_FLOAT, _INT64 = 1, 7


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def _field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _value(name: str, kind: int, shape: list[str | int]) -> bytes:
    dims = b"".join(
        _field(1, _field(1, size) if isinstance(size, int) else _field(2, size)) for size in shape
    )
    tensor = _field(1, kind) + _field(2, dims)
    return _field(1, name) + _field(2, _field(1, tensor))


def _tensor(name: str, value: np.ndarray) -> bytes:
    kind = _FLOAT if value.dtype == np.float32 else _INT64
    dims = b"".join(_field(1, size) for size in value.shape)
    return dims + _field(2, kind) + _field(8, name) + _field(9, value.tobytes())


def _node(op: str, inputs: list[str], output: str, **numbers: int) -> bytes:
    out = b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, op)
    for name, number in numbers.items():
        out += _field(5, _field(1, name) + _field(3, number) + _field(20, 2))
    return out


def model(*, pooled: bool = False, tokens: bool = True, extra_input: str | None = None) -> bytes:
    """`tokens`: last_hidden_state; `pooled`: sentence_embedding, the sum over all positions."""
    shape: list[str | int] = ["batch", "sequence"]
    inputs = ["input_ids", "attention_mask", *([extra_input] if extra_input else [])]
    graph = _field(1, _node("Gather", ["table", "input_ids"], "last_hidden_state", axis=0))
    graph += _field(2, "tiny") + _field(5, _tensor("table", TABLE))
    graph += b"".join(_field(11, _value(name, _INT64, shape)) for name in inputs)
    if tokens:
        graph += _field(12, _value("last_hidden_state", _FLOAT, [*shape, DIM]))
    if pooled:
        graph += _field(5, _tensor("axis", np.array([1])))
        sum_up = _node("ReduceSum", ["last_hidden_state", "axis"], "sentence_embedding", keepdims=0)
        graph += _field(1, sum_up)
        graph += _field(12, _value("sentence_embedding", _FLOAT, ["batch", DIM]))
    return _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13))


def tokenizer() -> str:
    vocabulary = {word: n for n, word in enumerate(WORDS)}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made.to_str()


def write(
    folder: Path, *, data: bytes | None = None, name: str = "model.onnx", **files: object
) -> Path:
    """A model directory; `files` are JSON files by name without ".json", "/" written as "__"."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model() if data is None else data)
    (folder / "tokenizer.json").write_text(tokenizer())
    for file, content in files.items():
        path = folder / (file.replace("__", "/") + ".json")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(orjson.dumps(content))
    return folder


def rows(*words: str) -> np.ndarray:
    """Their token vectors."""
    return TABLE[[WORDS.index(word) for word in words]]


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
