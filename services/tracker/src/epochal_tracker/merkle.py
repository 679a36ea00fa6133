"""RFC 9162 section 2.1: the Merkle tree over a list of entries, and proofs for ranges of it.

A range proof is what an inclusion proof is for one leaf: the hashes of the largest subtrees that
hold nothing of the range, from left to right. With the leaves of the range they give the root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence


def leaf_hash(entry: bytes) -> bytes:
    """HASH(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """HASH(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_hash(entries: Sequence[bytes]) -> bytes:
    """Return MTH(entries), 32 bytes; the hash of no entries is sha256 of nothing."""
    return Tree(entries).root


class Tree:
    """A tree with all its nodes, so that many ranges of it are proved at the price of their own."""

    def __init__(self, entries: Sequence[bytes]) -> None:
        level = [leaf_hash(entry) for entry in entries]
        self._levels = [level]
        while len(level) > 1:
            # Pairs from the left, the odd one carried up: the same tree as splitting at the largest
            # power of two below n.
            paired = [
                node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=False)
            ]
            if len(level) % 2:
                paired.append(level[-1])
            level = paired
            self._levels.append(level)
        self.size = len(entries)
        self.root = level[0] if level else hashlib.sha256(b"").digest()

    def range_proof(self, first: int, end: int) -> list[bytes]:
        """Return the hashes that prove leaves [first, end), from 0.

        Raises:
            ValueError: the tree has no such leaves.
        """
        if not 0 <= first < end <= self.size:
            raise ValueError(f"a tree of {self.size} has no leaves from {first} to {end}")
        return [self._node(low, high) for low, high in _outside(0, self.size, first, end)]

    def _node(self, low: int, high: int) -> bytes:
        level = (high - low - 1).bit_length()
        return self._levels[level][low >> level]


def range_root(entries: Sequence[bytes], first: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Return the root that a range of entries and its proof give.

    Args:
        entries: of the range, at least one.
        first: place of the first of them in the tree, from 0.
        size: leaves of the tree.
        proof: as `Tree.range_proof` returns it.

    Raises:
        ValueError: the range is none of such a tree, or the proof has other than the hashes needed.
    """
    end = first + len(entries)
    if not 0 <= first < end <= size:
        raise ValueError(f"a tree of {size} has no leaves from {first} to {end}")
    if len(proof) != sum(1 for _ in _outside(0, size, first, end)):
        raise ValueError(f"{len(proof)} hashes prove no range of a tree of {size}")
    hashes = iter(proof)

    def node(low: int, high: int) -> bytes:
        if high <= first or low >= end:
            return next(hashes)
        if high - low == 1:
            return leaf_hash(entries[low - first])
        middle = low + _split(high - low)
        left = node(low, middle)
        return node_hash(left, node(middle, high))

    return node(0, size)


def _outside(low: int, high: int, first: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the largest subtrees of [low, high) that hold nothing of [first, end)."""
    if high <= first or low >= end:
        yield low, high
    elif low < first or high > end:
        middle = low + _split(high - low)
        yield from _outside(low, middle, first, end)
        yield from _outside(middle, high, first, end)


def _split(size: int) -> int:
    """Return the largest power of two below a size of at least two."""
    return 1 << ((size - 1).bit_length() - 1)
