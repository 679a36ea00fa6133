"""Chance that can be repeated: numbers that depend on nothing but a seed and what they are for.

There is no state, so suggestion 9,999 costs as much as the first, a restart repeats nothing and
loses nothing, and adding a parameter to a space leaves the values of the others as they were.
"""

from __future__ import annotations

import hashlib

_BITS = 53
_RANGE = 2.0**_BITS


def unit(seed: int, index: int, name: str) -> float:
    """Returns a number in (0, 1), uniform over seeds, indexes and names."""
    digest = hashlib.sha256(f"{seed}|{index}|{name}".encode()).digest()
    return ((int.from_bytes(digest[:8]) >> (64 - _BITS)) + 0.5) / _RANGE


def derived_seed(seed: int, index: int) -> int:
    """Returns a seed of 32 bits for a library that wants one, different for every index."""
    return int.from_bytes(hashlib.sha256(f"{seed}|{index}".encode()).digest()[:4])
