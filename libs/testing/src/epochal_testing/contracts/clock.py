"""What every Clock must do, whether the machine's or one turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

from epochal_kernel.clock import Clock


class ClockContract:
    """Subclass it as a `Test...` class and provide the two methods."""

    def make_clock(self) -> Clock:
        """Return a new clock."""
        raise NotImplementedError

    async def pass_time(self, clock: Clock, seconds: float) -> None:
        """Make `seconds` pass on the clock."""
        raise NotImplementedError

    async def test_now_is_aware_and_utc(self) -> None:
        """A naive time would be compared with an aware one and fail far from here."""
        assert self.make_clock().now().utcoffset() == timedelta(0)

    async def test_sleep_lasts_at_least_as_long_as_asked(self) -> None:
        """Both readings of the clock agree that the time has passed."""
        clock = self.make_clock()
        before_s, before = clock.monotonic(), clock.now()
        await self._together(clock.sleep(0.02), self.pass_time(clock, 0.02))
        assert clock.monotonic() - before_s >= 0.019
        assert clock.now() - before >= timedelta(seconds=0.019)

    async def test_sleep_of_zero_lets_others_run(self) -> None:
        """It must not wait, and it must not starve the loop."""
        clock = self.make_clock()
        ran: list[str] = []

        async def other() -> None:
            ran.append("other")

        task = asyncio.create_task(other())
        await clock.sleep(0)
        await clock.sleep(-1)
        assert ran == ["other"]
        await task

    async def test_shorter_sleep_wakes_first(self) -> None:
        """Order follows the wake-up time, not the order of the calls."""
        clock = self.make_clock()
        woken: list[str] = []

        async def sleeper(name: str, seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append(name)

        await self._together(
            sleeper("long", 0.03), sleeper("short", 0.01), self.pass_time(clock, 0.03)
        )
        assert woken == ["short", "long"]

    async def test_cancelled_sleep_ends_at_once(self) -> None:
        """A shutdown must not wait for the longest sleep of a process."""
        clock = self.make_clock()
        task = asyncio.create_task(clock.sleep(3_600))
        await asyncio.sleep(0)
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)

    @staticmethod
    async def _together(*waiting: Awaitable[None]) -> None:
        await asyncio.gather(*waiting)
