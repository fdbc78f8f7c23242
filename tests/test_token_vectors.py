"""The stored form of token vectors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reflex_core.errors import BackendError
from reflex_core.token_vectors import pack, unpack

FLOATS = st.floats(-1e4, 1e4, width=32)
SHAPES = st.tuples(st.integers(0, 20), st.integers(1, 12))


@given(hnp.arrays(np.float32, SHAPES, elements=FLOATS), st.data())
def test_round_trip_is_within_half_a_step_of_each_rows_range(
    vectors: np.ndarray, data: st.DataObject
) -> None:
    n = len(vectors)
    ids = data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=n, max_size=n))
    found_ids, found = unpack(pack(ids, vectors))
    assert found_ids.tolist() == ids
    assert found.shape == vectors.shape
    assert found.dtype == np.float32
    step = np.abs(vectors).max(axis=1, initial=0) / 127
    assert (np.abs(found - vectors) <= step[:, None] * 0.501 + 1e-30).all()


def test_a_384_dimensional_token_takes_392_bytes() -> None:
    assert len(pack([1, 2], np.ones((2, 384)))) == 6 + 2 * 392


@pytest.mark.parametrize(
    ("ids", "vectors"),
    [
        ([1], np.ones((2, 3))),
        ([1], np.ones(3)),
        ([-1], np.ones((1, 3))),
        ([2**32], np.ones((1, 3))),
        ([1], np.array([[np.nan, 1]])),
        (range(70_000), np.ones((70_000, 1))),
    ],
)
def test_what_does_not_fit_is_refused(ids: object, vectors: np.ndarray) -> None:
    with pytest.raises(ValueError):
        pack(ids, vectors)  # type: ignore[arg-type]


@given(st.binary(max_size=60))
def test_garbage_is_an_error_or_finite_vectors(data: bytes) -> None:
    try:
        ids, vectors = unpack(data)
    except BackendError:
        return
    assert len(ids) == len(vectors)
    assert np.isfinite(vectors).all()


@given(st.integers(0, 200))
def test_every_truncation_is_an_error(cut: int) -> None:
    whole = pack([7, 8], np.arange(20.0).reshape(2, 10))
    for data in (whole[: min(cut, len(whole) - 1)], whole + b"x"):
        with pytest.raises(BackendError):
            unpack(data)


def test_another_version_is_an_error() -> None:
    whole = pack([7], np.ones((1, 2)))
    with pytest.raises(BackendError, match="version"):
        unpack(b"\x02" + whole[1:])
