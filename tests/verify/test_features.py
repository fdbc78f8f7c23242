from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.verify.features import alignment, flags
from reflex_core.verify.text import parse

IDF = np.linspace(0, 1, 50, dtype=np.float32)


def _unit(rng, n):
    rows = rng.normal(size=(n, 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**16))
def test_alignment_is_finite_and_symmetric(n, m, seed):
    rng = np.random.default_rng(seed)
    a, b = _unit(rng, n), _unit(rng, m)
    i, j = rng.integers(0, 50, n), rng.integers(0, 50, m)
    one, other = alignment(i, a, j, b, IDF), alignment(j, b, i, a, IDF)
    assert np.isfinite(one).all()
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_alignment_of_a_text_with_itself():
    rng = np.random.default_rng(1)
    rows, ids = _unit(rng, 5), np.arange(40, 45)
    found = alignment(ids, rows, ids, rows, IDF)
    np.testing.assert_allclose(found[0], 1, atol=1e-5)  # mean similarity
    np.testing.assert_allclose(found[8:11], 0, atol=1e-5)  # nothing is missing


@given(st.text(), st.text())
def test_flags_are_finite_and_symmetric(one, other):
    a, b = parse(one), parse(other)
    np.testing.assert_allclose(flags(a, b), flags(b, a))
    assert np.isfinite(flags(a, b)).all()
