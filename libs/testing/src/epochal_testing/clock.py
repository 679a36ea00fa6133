"""A clock that a test turns by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

_START = datetime(2030, 1, 1, tzinfo=UTC)
_QUIET_TURNS = 25


class ManualClock:
    """Implements the kernel's Clock; time stands until `advance`.

    Sleepers wake in the order of their wake-up times, first come first served among equals, and
    each wakes at exactly its own time: a loop that sleeps one second runs ten times in
    `advance(10)`, seeing ten different times. That makes the order of a test's effects certain.
    """

    def __init__(self, start: datetime = _START) -> None:
        """Start at a time of day; `monotonic` starts at zero."""
        self._start = start
        self._elapsed_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def now(self) -> datetime:
        """Return the clock's time of day, in UTC."""
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        """Return the seconds this clock was advanced by."""
        return self._elapsed_s

    @property
    def sleepers(self) -> int:
        """How many tasks wait for this clock."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was advanced by `seconds`; zero or less lets other tasks run."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + seconds, next(self._numbers), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Turn the clock by `seconds`, waking each sleeper at its time.

        Between wake-ups the event loop runs until no task asks this clock for anything, so a woken
        task that sleeps again inside the interval is woken again. Work that waits for a real
        socket is not waited for: await a condition for that.
        """
        target_s = self._elapsed_s + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= target_s:
            wake_at_s, _, future = heapq.heappop(self._sleepers)
            if future.done():  # cancelled
                continue
            self._elapsed_s = wake_at_s
            future.set_result(None)
            await self.settle()
        self._elapsed_s = target_s

    async def advance_to_next(self) -> float:
        """Turn the clock to the next wake-up and return by how many seconds.

        Raises:
            RuntimeError: nobody sleeps, so the test would wait for ever.
        """
        await self.settle()
        waiting = [wake_at_s for wake_at_s, _, future in self._sleepers if not future.done()]
        if not waiting:
            raise RuntimeError("no task sleeps on this clock")
        seconds = min(waiting) - self._elapsed_s
        await self.advance(seconds)
        return seconds

    def shift(self, seconds: float) -> None:
        """Step the time of day and leave `monotonic` alone, as a corrected system clock does."""
        self._start += timedelta(seconds=seconds)

    async def settle(self) -> None:
        """Run the event loop until nobody came to sleep for a number of turns."""
        quiet = 0
        known = len(self._sleepers)
        while quiet < _QUIET_TURNS:
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._sleepers) == known else 0
            known = len(self._sleepers)
