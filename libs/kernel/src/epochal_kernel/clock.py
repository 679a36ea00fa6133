"""Time as a dependency, so that tests can turn it by hand."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the rest of the kernel knows of time."""

    def now(self) -> datetime:
        """Return the time of day, aware, in UTC. It may jump; use it as data only."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only grow; for deadlines and intervals."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds`; zero or less lets other tasks run."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the system time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the system's monotonic clock, in seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(max(0.0, seconds))
