"""RFC 9162 section 2.1.1: the Merkle tree hash over a list of leaves."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def tree_hash(entries: Sequence[bytes]) -> bytes:
    """Return MTH(entries), 32 bytes; the hash of no entries is sha256 of nothing."""
    if not entries:
        return hashlib.sha256(b"").digest()
    level = [hashlib.sha256(b"\x00" + entry).digest() for entry in entries]
    while len(level) > 1:
        # Pairs from the left, the odd one carried up: the same tree as splitting at the largest
        # power of two below n.
        paired = [
            hashlib.sha256(b"\x01" + level[i] + level[i + 1]).digest()
            for i in range(0, len(level) - 1, 2)
        ]
        level = paired + level[len(level) & ~1 :]
    return level[0]
