"""Log lines page by page: none is missed or repeated, whatever the batches and the page size."""

from __future__ import annotations

import json
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
from epochal.columns import encode_log_lines
from epochal_kernel.errors import InvalidArgument
from epochal_kernel.paging import pack
from epochal_tracker.logs import LogReader, Place, places_of, token_of
from hypothesis import given
from hypothesis import strategies as st
from tracker_world import RUN_ID

ONE, TWO = UUID(int=1), UUID(int=2)
Batches = dict[int, list[str]]


class FakeStore:
    """Blocks of lines by producer and batch; a batch number that is missing held no lines."""

    def __init__(self, *producers: tuple[UUID, Batches]) -> None:
        self.producers = dict(producers)

    async def log_producers(self, run_id: UUID) -> list[UUID]:
        return [producer for producer, batches in self.producers.items() if batches]

    async def log_chunks(
        self, run_id: UUID, producer: UUID, first: int, limit: int
    ) -> list[tuple[int, bytes]]:
        found = sorted(batch for batch in self.producers[producer] if batch >= first)
        return [
            (
                batch,
                encode_log_lines(
                    [pb.LogLine(text=text) for text in self.producers[producer][batch]], 0
                ).block,
            )
            for batch in found[:limit]
        ]


# Batches that hold points have numbers too, so those of lines have gaps; blocks may be empty.
batches = st.dictionaries(
    st.integers(1, 40), st.lists(st.sampled_from("abc"), max_size=4), max_size=25
)


@given(batches, batches, st.integers(1, 9))
async def test_pages_put_together_are_all_lines(first: Batches, second: Batches, size: int) -> None:
    store = FakeStore((ONE, first), (TWO, second))
    expected = [text for one in (first, second) for batch in sorted(one) for text in one[batch]]
    found: list[str] = []
    places = {}
    while True:
        page = await LogReader(store).read(RUN_ID, places, size)
        assert len(page.lines) <= size
        found += [line.text for line in page.lines]
        assert page.more == (len(found) < len(expected))
        places = places_of(token_of(page.places))
        if not page.more:
            break
    assert found == expected


@given(st.lists(st.tuples(st.sampled_from([ONE, TWO]), st.lists(st.sampled_from("abc")))))
async def test_a_tail_sees_every_line_once_as_they_arrive(
    arrivals: list[tuple[UUID, list[str]]],
) -> None:
    store = FakeStore((ONE, {}), (TWO, {}))
    seen: dict[UUID, list[str]] = {ONE: [], TWO: []}
    places = {}
    for number, (producer, texts) in enumerate(arrivals, start=1):
        store.producers[producer][number] = [f"{producer.int}{text}" for text in texts]
        more = True
        while more:
            page = await LogReader(store).read(RUN_ID, places, 2)
            for line in page.lines:
                seen[UUID(int=int(line.text[0]))].append(line.text)
            places, more = page.places, page.more
    for producer, found in seen.items():
        stored = store.producers[producer]
        assert found == [text for batch in sorted(stored) for text in stored[batch]]


@given(
    st.dictionaries(
        st.uuids(), st.builds(Place, st.integers(1, 10**9), st.integers(0, 10**6)), max_size=3
    )
)
def test_places_survive_a_token(places: dict[UUID, Place]) -> None:
    assert places_of(token_of(places)) == places


def test_no_token_is_the_beginning() -> None:
    assert places_of("") == {}


@pytest.mark.parametrize(
    "content",
    ["x", "1", "[]", '{"x": [1, 2]}', f'{{"{ONE.hex}": 1}}', f'{{"{ONE.hex}": [1]}}', "null"],
)
def test_a_token_of_something_else_is_refused(content: str) -> None:
    with pytest.raises(InvalidArgument):
        places_of(pack(content))


@pytest.mark.parametrize("place", [[-1, 0], [0, 0], [1, -1], [2**70, 0], [1, 2**70], ["a", 1]])
def test_a_token_that_points_nowhere_is_refused(place: list[object]) -> None:
    with pytest.raises(InvalidArgument):
        places_of(pack(json.dumps({ONE.hex: place})))
