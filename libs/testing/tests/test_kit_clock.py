import asyncio

import pytest
from epochal_kernel.clock import Clock, SystemClock
from epochal_testing.clock import ManualClock
from epochal_testing.contracts.clock import ClockContract


class TestSystemClockContract(ClockContract):
    def make_clock(self) -> Clock:
        return SystemClock()

    async def pass_time(self, clock: Clock, seconds: float) -> None:
        await asyncio.sleep(seconds)


class TestManualClockContract(ClockContract):
    def make_clock(self) -> Clock:
        return ManualClock()

    async def pass_time(self, clock: Clock, seconds: float) -> None:
        assert isinstance(clock, ManualClock)
        await clock.advance(seconds)


async def test_loop_wakes_at_each_of_its_times(clock: ManualClock) -> None:
    seen: list[float] = []

    async def every_second() -> None:
        while True:
            await clock.sleep(1)
            seen.append(clock.monotonic())

    task = asyncio.create_task(every_second())
    await clock.advance(3.5)
    assert seen == [1, 2, 3]
    assert clock.monotonic() == 3.5
    task.cancel()


async def test_equal_wake_ups_keep_their_order(clock: ManualClock) -> None:
    order: list[int] = []

    async def sleeper(number: int) -> None:
        await clock.sleep(5)
        order.append(number)

    tasks = [asyncio.create_task(sleeper(number)) for number in range(20)]
    await clock.advance(5)
    assert order == list(range(20))
    await asyncio.gather(*tasks)


async def test_nobody_wakes_early(clock: ManualClock) -> None:
    task = asyncio.create_task(clock.sleep(10))
    await clock.advance(9.999)
    assert not task.done()
    assert clock.sleepers == 1
    await clock.advance(0.001)
    assert task.done()


async def test_advance_to_next_skips_cancelled_sleepers(clock: ManualClock) -> None:
    first, second = asyncio.create_task(clock.sleep(1)), asyncio.create_task(clock.sleep(7))
    await clock.settle()
    first.cancel()
    assert await clock.advance_to_next() == 7
    await second
    with pytest.raises(RuntimeError, match="no task sleeps"):
        await clock.advance_to_next()


def test_shift_moves_the_time_of_day_only(clock: ManualClock) -> None:
    before = clock.now()
    clock.shift(-3600)
    assert (clock.now() - before).total_seconds() == -3600
    assert clock.monotonic() == 0
