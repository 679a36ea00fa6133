"""Thinning against what it promises: few points, ends and peaks kept, order kept."""

from __future__ import annotations

import math

import numpy as np
from epochal_tracker.thinning import lttb, minmax, stretches
from hypothesis import given
from hypothesis import strategies as st

int64s = st.integers(-(2**63), 2**63 - 1)
axes = st.lists(int64s, min_size=1, max_size=300).map(
    lambda steps: np.array(sorted(steps), dtype=np.int64)
)
wanted = st.integers(4, 50)


@given(axes, wanted, st.randoms())
def test_minmax_keeps_ends_and_every_peak(axis: np.ndarray, wanted: int, chosen) -> None:
    values = np.array([chosen.choice([math.nan, math.inf, -1.0, chosen.random()]) for _ in axis])
    places = minmax(axis, values, wanted)
    assert len(places) <= wanted
    assert (np.diff(places) > 0).all()
    assert (places[0], places[-1]) == (0, len(axis) - 1)
    numbers = values[~np.isnan(values)]
    if len(numbers):
        kept = values[places]
        assert np.nanmax(kept) == numbers.max()
        assert np.nanmin(kept) == numbers.min()


@given(axes, wanted, st.randoms())
def test_lttb_keeps_ends_and_order(axis: np.ndarray, wanted: int, chosen) -> None:
    values = np.array(
        [chosen.choice([math.nan, math.inf, -1e308, 1e308, chosen.random()]) for _ in axis]
    )
    places = lttb(axis, values, wanted)
    assert len(places) <= wanted
    assert (np.diff(places) > 0).all()
    assert (places[0], places[-1]) == (0, len(axis) - 1)


def test_lttb_keeps_a_lone_peak() -> None:
    values = np.zeros(10_000)
    values[4_321] = 1.0
    assert 4_321 in lttb(np.arange(10_000, dtype=np.int64), values, 100)


@given(axes, st.integers(1, 20))
def test_stretches_cover_everything_once(axis: np.ndarray, count: int) -> None:
    begins = stretches(axis, count)
    assert begins[0] == 0
    assert len(begins) <= count
    assert (np.diff(begins) > 0).all()
