"""Tiles of C2SP tlog-tiles: 256 hashes wide, eight levels high, and what they are called.

The tile (level L, index N) holds the hashes of the complete subtrees of 256**L leaves, from number
256*N on. All but the last of a level are full; the last one is partial and grows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from epochal_lineage.domain.tlog.hashing import HASH_BYTES

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT


class TileId(NamedTuple):
    """Where a tile is in the tree: its level, and its number there."""

    level: int
    place: int


def partial_width(level: int, index: int, size: int) -> int:
    """Return how many hashes a tile holds in a tree of `size` leaves: 0 to 256."""
    there = size >> (HEIGHT * level)
    return max(0, min(WIDTH, there - index * WIDTH))


def tiles_between(before: int, after: int) -> Iterator[tuple[TileId, int]]:
    """Yield every tile that a tree of `after` leaves has and one of `before` had not, or shorter.

    Yields:
        The tile and its width at `after`, lower levels first.
    """
    level = 0
    while after >> (HEIGHT * level):
        first = (before >> (HEIGHT * level)) // WIDTH
        last = ((after >> (HEIGHT * level)) - 1) // WIDTH
        for index in range(first, last + 1):
            width = partial_width(level, index, after)
            if width > partial_width(level, index, before):
                yield TileId(level, index), width
        level += 1


def tile_path(tile: TileId, width: int) -> str:
    """Return the path of a tile below the log's prefix, such as "tile/0/x001/234.p/17"."""
    return f"tile/{tile.level}/{_number(tile.place)}{_part(width)}"


def entries_path(index: int, width: int) -> str:
    """Return the path of the bundle with the entries of a level-0 tile."""
    return f"tile/entries/{_number(index)}{_part(width)}"


def entry_bundle(entries: Sequence[bytes]) -> bytes:
    """Return entries as a bundle: each with its length before it, two bytes, big-endian."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def hashes_of(data: bytes) -> list[bytes]:
    """Split the bytes of a tile into hashes."""
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def _number(index: int) -> str:
    text = f"{index % 1000:03d}"
    while index := index // 1000:
        text = f"x{index % 1000:03d}/{text}"
    return text


def _part(width: int) -> str:
    return "" if width == WIDTH else f".p/{width}"
