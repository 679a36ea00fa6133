"""Inclusion and consistency proofs (RFC 9162 sections 2.1.3.1 and 2.1.4.1), made from tiles.

A proof is a list of subtrees, each a range of leaves; the ranges are found first, so that exactly
the tiles they need are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from epochal_lineage.domain.tlog.hashing import HASH_BYTES, node_hash, over_nodes
from epochal_lineage.domain.tlog.tiles import HEIGHT, WIDTH, TileId


class Range(NamedTuple):
    """Leaves from `start` up to `end`, exclusive, that are one subtree."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """How many leaves."""
        return self.end - self.start


def inclusion_path(index: int, size: int) -> list[Range]:
    """Return the subtrees that prove the leaf `index` (from 0) in a tree of `size`, lowest first.

    Raises:
        ValueError: the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has none at {index}")
    found: list[Range] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            found.append(Range(middle, end))
            end = middle
        else:
            found.append(Range(start, middle))
            start = middle
    return found[::-1]


def consistency_path(before: int, after: int) -> list[Range]:
    """Return the subtrees that prove that a tree of `after` begins with the one of `before`.

    Raises:
        ValueError: not 0 < before <= after.
    """
    if not 0 < before <= after:
        raise ValueError(f"no proof leads from {before} leaves to {after}")
    found: list[Range] = []
    start, end, left, whole = 0, after, before, True
    while left != end - start:
        half = _split(end - start)
        if left <= half:
            found.append(Range(start + half, end))
            end = start + half
        else:
            found.append(Range(start, start + half))
            start, left, whole = start + half, left - half, False
    if not whole:
        found.append(Range(start, end))
    return found[::-1]


def tiles_needed(ranges: Iterable[Range]) -> set[TileId]:
    """Return the tiles from which the hashes of subtrees are made."""
    return {_place(part)[0] for one in ranges for part in _complete(one)}


def hash_of(one: Range, tiles: Mapping[TileId, bytes]) -> bytes:
    """Return the hash of a subtree.

    Raises:
        KeyError: a tile is missing.
        ValueError: a tile is too short.
    """
    if one.size & (one.size - 1):
        middle = one.start + _split(one.size)
        left, right = Range(one.start, middle), Range(middle, one.end)
        return node_hash(hash_of(left, tiles), hash_of(right, tiles))
    tile, first, count = _place(one)
    data = tiles[tile]
    if len(data) < (first + count) * HASH_BYTES:
        raise ValueError(f"tile {tile.level}/{tile.place} is too short")
    return over_nodes(
        [data[at * HASH_BYTES : (at + 1) * HASH_BYTES] for at in range(first, first + count)]
    )


def _split(size: int) -> int:
    """The largest power of two below `size`, which is at least 2."""
    return 1 << (size - 1).bit_length() - 1


def _complete(one: Range) -> list[Range]:
    if not one.size & (one.size - 1):
        return [one]
    middle = one.start + _split(one.size)
    return [Range(one.start, middle), *_complete(Range(middle, one.end))]


def _place(one: Range) -> tuple[TileId, int, int]:
    """The tile of a complete subtree, its first hash there, and how many."""
    height = one.size.bit_length() - 1
    level, above = divmod(height, HEIGHT)
    first = one.start >> (HEIGHT * level)
    return TileId(level, first // WIDTH), first % WIDTH, 1 << above
