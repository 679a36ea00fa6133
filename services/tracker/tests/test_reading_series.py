"""Series page by page: overlapping chunks, any range, any page size, against a plain sort."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from datetime import date
from itertools import pairwise
from uuid import UUID

import numpy as np
import pytest
from epochal_kernel.errors import DataLoss
from epochal_tracker.columns import Points
from epochal_tracker.series import MAX_STEP, MIN_STEP, SeriesReader, cut, islands, join
from epochal_tracker.store.telemetry import ChunkData, ChunkRef
from hypothesis import given
from hypothesis import strategies as st
from tracker_world import PRODUCER, RUN_ID, Logged, column

DAY = date(2030, 1, 1)


class FakeStore:
    """Chunks in memory, found as the index finds them; notes which were decoded."""

    def __init__(self, chunks: list[list[Logged]]) -> None:
        self.chunks: list[tuple[ChunkRef, ChunkData, list[Logged]]] = []
        self.read = 0
        for number, points in enumerate(chunks):
            made = column("loss", points)
            ref = ChunkRef(DAY, PRODUCER, number, 0, made.first_step, made.last_step, made.points)
            self.chunks.append(
                (
                    ref,
                    ChunkData(*(getattr(made, field.name) for field in fields(ChunkData))),
                    points,
                )
            )
        self.chunks.sort(key=lambda c: (c[0].first_step, c[0].last_step, c[0].batch))

    @asynccontextmanager
    async def view(self) -> AsyncIterator[FakeStore]:
        yield self

    async def chunk_index(self, run_id: UUID, metric: str, start: int, end: int) -> list[ChunkRef]:
        return [c[0] for c in self.chunks if c[0].last_step >= start and c[0].first_step <= end]

    async def chunk(self, run_id: UUID, metric: str, ref: ChunkRef) -> ChunkData:
        self.read += 1
        return next(data for known, data, _ in self.chunks if known == ref)


def ordered(store: FakeStore, start: int, end: int) -> list[Logged]:
    """All points in range by step, then time, then the order of the chunks."""
    everything = [point for _, _, points in store.chunks for point in points]
    inside = [point for point in everything if start <= point[0] <= end]
    return sorted(inside, key=lambda point: (point[0], point[1]))


def listed(points: Points) -> list[Logged]:
    return list(
        zip(points.steps.tolist(), points.times_us.tolist(), points.values.tolist(), strict=True)
    )


steps = st.integers(-6, 30)
chunks = st.lists(
    st.lists(st.tuples(steps, st.integers(0, 3), st.integers(0, 9).map(float)), min_size=1),
    max_size=6,
)


@given(chunks, steps, steps, st.integers(1, 7), st.booleans())
async def test_pages_put_together_are_the_series_sorted(
    made: list[list[Logged]], start: int, end: int, size: int, bounded: bool
) -> None:
    store = FakeStore(made)
    first, last = (start, end) if bounded else (MIN_STEP, MAX_STEP)
    found: list[Logged] = []
    while True:
        page = await SeriesReader(store).read(RUN_ID, "loss", first, last, len(found), size)
        points = listed(page.points)
        assert len(points) <= size
        assert page.more == (len(found) + len(points) < len(ordered(store, first, last)))
        found += points
        if not page.more:
            break
        assert len(points) == size
    assert found == ordered(store, first, last)


@given(chunks)
def test_no_two_islands_share_a_step(made: list[list[Logged]]) -> None:
    refs = [ref for ref, _, _ in FakeStore(made).chunks]
    groups = islands(refs)
    assert [ref for group in groups for ref in group] == refs
    for before, after in pairwise(groups):
        assert max(ref.last_step for ref in before) < min(ref.first_step for ref in after)


async def test_only_the_chunks_of_a_page_are_decoded() -> None:
    store = FakeStore([[(n * 10 + k, 0, 0.0) for k in range(10)] for n in range(50)])
    page = await SeriesReader(store).read(RUN_ID, "loss", MIN_STEP, MAX_STEP, 200, 10)
    assert listed(page.points)[0][0] == 200
    assert store.read == 2  # the page, and one to see that more follows


async def test_the_whole_range_of_steps_and_values_is_served() -> None:
    points = [(MIN_STEP, 0, math.inf), (0, 0, math.nan), (MAX_STEP, 0, -math.inf)]
    page = await SeriesReader(FakeStore([points])).read(RUN_ID, "m", MIN_STEP, MAX_STEP, 0, 9)
    assert page.points.steps.tolist() == [MIN_STEP, 0, MAX_STEP]
    values = page.points.values.tolist()
    assert values[0] == math.inf
    assert math.isnan(values[1])
    assert values[2] == -math.inf


async def test_an_empty_range_is_an_empty_page() -> None:
    page = await SeriesReader(FakeStore([[(1, 0, 0.0)]])).read(RUN_ID, "m", 5, 2, 0, 9)
    assert (listed(page.points), page.more) == ([], False)


async def test_a_damaged_chunk_is_said_to_be() -> None:
    store = FakeStore([[(1, 0, 0.0)]])
    ref, data, points = store.chunks[0]
    store.chunks = [(ref, replace(data, values=b"damaged"), points)]
    with pytest.raises(DataLoss):
        await SeriesReader(store).read(RUN_ID, "m", MIN_STEP, MAX_STEP, 0, 9)


def test_nothing_joined_is_nothing() -> None:
    empty = join([])
    assert listed(empty) == listed(cut(empty, 0, 5)) == []
    assert (empty.steps.dtype, empty.values.dtype) == (np.int64, np.float64)
