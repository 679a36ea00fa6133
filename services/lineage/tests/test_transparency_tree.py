"""The tree over tiles is the tree of RFC 9162, at every size."""

from __future__ import annotations

import random
from functools import cache

import pytest
from epochal_lineage.domain.tlog.growing import Frontier
from epochal_lineage.domain.tlog.hashing import leaf_hash
from epochal_lineage.domain.tlog.proving import (
    consistency_path,
    hash_of,
    inclusion_path,
    tiles_needed,
)
from epochal_lineage.domain.tlog.tiles import (
    HEIGHT,
    WIDTH,
    TileId,
    entries_path,
    entry_bundle,
    partial_width,
    tile_path,
    tiles_between,
)
from hypothesis import given
from hypothesis import strategies as st
from naive_tree import mth, path, proof

MOST = 2_000
ENTRIES = [index.to_bytes(4, "big") * 8 for index in range(MOST)]


@cache
def tiles_of_all() -> dict[TileId, bytes]:
    return Frontier().extend(map(leaf_hash, ENTRIES))


def test_root_is_that_of_the_rfc_at_every_size_up_to_2000() -> None:
    frontier = Frontier()
    assert frontier.root() == mth([])
    for size in range(1, MOST + 1):
        frontier.extend([leaf_hash(ENTRIES[size - 1])])
        if size <= 600 or size % 7 == 0 or size % WIDTH in (0, 1, WIDTH - 1):
            assert frontier.root() == mth(ENTRIES[:size]), size


@given(cuts=st.lists(st.integers(0, MOST), max_size=6))
def test_tree_grown_in_pieces_and_reloaded_between_is_the_same(cuts: list[int]) -> None:
    tiles: dict[TileId, bytes] = {}
    before = 0
    for size in sorted({*cuts, MOST}):
        partial = {
            level: tiles[tile]
            for level in range(3)
            if (tile := TileId(level, (before >> (HEIGHT * level)) // WIDTH)) in tiles
        }
        frontier = Frontier(before, partial)
        tiles |= frontier.extend(map(leaf_hash, ENTRIES[before:size]))
        assert frontier.size == size
        assert frontier.root() == mth(ENTRIES[:size])
        before = size
    assert tiles == tiles_of_all()


def test_frontier_refuses_tiles_that_are_too_short() -> None:
    with pytest.raises(ValueError, match="level 0 has 2 hashes, not 3"):
        Frontier(3, {0: b"".join(map(leaf_hash, ENTRIES[:2]))})


@given(st.data())
def test_inclusion_proof_is_that_of_the_rfc(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, MOST))
    index = data.draw(st.integers(0, size - 1))
    ranges = inclusion_path(index, size)
    needed = {tile: tiles_of_all()[tile] for tile in tiles_needed(ranges)}
    assert [hash_of(one, needed) for one in ranges] == path(index, ENTRIES[:size])


@given(st.data())
def test_consistency_proof_is_that_of_the_rfc(data: st.DataObject) -> None:
    after = data.draw(st.integers(1, MOST))
    before = data.draw(st.integers(1, after))
    ranges = consistency_path(before, after)
    needed = {tile: tiles_of_all()[tile] for tile in tiles_needed(ranges)}
    assert [hash_of(one, needed) for one in ranges] == proof(before, ENTRIES[:after])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 255, 256, 257, 511, 513])
def test_every_leaf_of_small_trees_is_proved(size: int) -> None:
    chosen = range(size) if size < 20 else random.Random(size).sample(range(size), 20)
    for index in chosen:
        ranges = inclusion_path(index, size)
        assert [hash_of(one, tiles_of_all()) for one in ranges] == path(index, ENTRIES[:size])


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0)])
def test_no_leaf_outside_the_tree_is_proved(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="has none at"):
        inclusion_path(index, size)


@pytest.mark.parametrize(("before", "after"), [(0, 5), (6, 5)])
def test_no_tree_is_proved_to_continue_nothing_or_a_later_one(before: int, after: int) -> None:
    with pytest.raises(ValueError, match="no proof leads"):
        consistency_path(before, after)


def test_short_tile_is_noticed() -> None:
    (one,) = inclusion_path(0, 2)
    with pytest.raises(ValueError, match="too short"):
        hash_of(one, {TileId(0, 0): leaf_hash(b"")})


def test_paths_are_those_of_c2sp() -> None:
    assert tile_path(TileId(0, 0), WIDTH) == "tile/0/000"
    assert tile_path(TileId(1, 1_234_067), WIDTH) == "tile/1/x001/x234/067"
    assert tile_path(TileId(2, 999), 17) == "tile/2/999.p/17"
    assert entries_path(1_000, 3) == "tile/entries/x001/000.p/3"
    assert entry_bundle([b"ab", b""]) == b"\x00\x02ab\x00\x00"


@given(st.integers(0, 70_000), st.integers(0, 70_000))
def test_what_changes_between_two_sizes_is_every_tile_that_grew(one: int, other: int) -> None:
    before, after = sorted((one, other))
    listed = dict(tiles_between(before, after))
    every = {
        TileId(level, place): partial_width(level, place, after)
        for level in range(3)
        for place in range(((after >> (HEIGHT * level)) + WIDTH - 1) // WIDTH)
    }
    grew = {
        tile: width
        for tile, width in every.items()
        if width > partial_width(tile.level, tile.place, before)
    }
    assert listed == grew
