"""Identifiers: the number types that must never be mixed, and where new UUIDs come from.

`Position` counts events of the whole log, `Version` events of one stream. Both are plain `int` at
run time; the type checker keeps them apart.
"""

from __future__ import annotations

import os
import threading
import time
from typing import NewType, Protocol
from uuid import UUID

Position = NewType("Position", int)
Version = NewType("Version", int)

NIL = UUID(int=0)


class Ids(Protocol):
    """Source of new identifiers."""

    def uuid7(self) -> UUID:
        """Return a new UUIDv7 (RFC 9562): ordered by time, unique without coordination."""
        ...


class SystemIds:
    """UUIDv7 from the system clock and the system's random source.

    Within one process the ids grow strictly, even inside one millisecond: the 12 bits after the
    version count up (RFC 9562 section 6.2, method 1). Without it, events of one batch would sort
    differently by id and by position.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def uuid7(self) -> UUID:
        """Return a new UUIDv7."""
        with self._lock:
            stamp = (time.time_ns() // 1_000_000) << 12
            self._last = stamp = max(stamp, self._last + 1)
        random = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
        value = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64 | 0b10 << 62 | random
        return UUID(int=value)
