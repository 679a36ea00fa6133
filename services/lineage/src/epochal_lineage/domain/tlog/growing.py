"""The right edge of the tree: all that is needed to add leaves and to know the root."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from epochal_lineage.domain.tlog.hashing import EMPTY, over_nodes
from epochal_lineage.domain.tlog.tiles import HEIGHT, WIDTH, TileId, hashes_of


class Frontier:
    """The last tile of every level; full ones are handed out and forgotten.

    A tree of n leaves keeps at most 255 hashes a level, so memory grows with log(n).
    """

    def __init__(self, size: int = 0, partial: Mapping[int, bytes] | None = None) -> None:
        """Start from the partial tiles of a tree.

        Args:
            size: its leaves.
            partial: bytes of the last tile of each level, where it is partial.

        Raises:
            ValueError: a tile has not the width that a tree of `size` has there.
        """
        self.size = size
        self._levels: list[list[bytes]] = []
        level = 0
        while size >> (HEIGHT * level):
            nodes = hashes_of((partial or {}).get(level, b""))
            width = (size >> (HEIGHT * level)) % WIDTH
            if len(nodes) < width:
                raise ValueError(
                    f"the last tile of level {level} has {len(nodes)} hashes, not {width}"
                )
            self._levels.append(nodes[:width])
            level += 1

    def extend(self, leaves: Iterable[bytes]) -> dict[TileId, bytes]:
        """Add leaf hashes.

        Returns:
            Every tile that changed, whole, as it is now.
        """
        changed: dict[TileId, bytes] = {}
        touched: set[int] = set()
        for leaf in leaves:
            self._add(0, leaf, changed, touched)
            self.size += 1
        for level in touched:
            if nodes := self._levels[level]:
                changed[TileId(level, self._index(level))] = b"".join(nodes)
        return changed

    def root(self) -> bytes:
        """Return the tree hash, 32 bytes."""
        short: list[bytes] = []
        for nodes in self._levels:
            if nodes or short:
                short = [over_nodes([*nodes, *short])]
        return short[0] if short else EMPTY

    def _add(
        self, level: int, node: bytes, changed: dict[TileId, bytes], touched: set[int]
    ) -> None:
        if level == len(self._levels):
            self._levels.append([])
        nodes = self._levels[level]
        nodes.append(node)
        touched.add(level)
        if len(nodes) == WIDTH:
            # The leaf being added is not counted yet.
            index = ((self.size + 1) >> (HEIGHT * level)) // WIDTH - 1
            changed[TileId(level, index)] = b"".join(nodes)
            full = over_nodes(nodes)
            nodes.clear()
            self._add(level + 1, full, changed, touched)

    def _index(self, level: int) -> int:
        return (self.size >> (HEIGHT * level)) // WIDTH
