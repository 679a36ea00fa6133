"""The hashes of RFC 9162 section 2.1.1, and the tree hash over nodes of one level."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

HASH_BYTES: Final = 32

#: The tree hash of no entries.
EMPTY: Final = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a leaf, HASH(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node, HASH(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def over_nodes(nodes: Sequence[bytes]) -> bytes:
    """Return the hash of the smallest tree over nodes of one level, of which the last may be short.

    Pairs from the left, the odd one carried up: the same tree as splitting at the largest power of
    two below their number, as the RFC does.
    """
    level = list(nodes)
    while len(level) > 1:
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) & ~1 :]
    return level[0] if level else EMPTY
