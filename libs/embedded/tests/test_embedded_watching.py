import asyncio

import pytest
from epochal_embedded.errors import ServerFailed
from epochal_embedded.watching import Watch
from epochal_testing.clock import ManualClock


class FakeUnit:
    """A unit whose starts and ends the test decides."""

    name = "fake"
    port = 0
    pid = None
    probed = False

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.starts: list[float] = []
        self.ended = asyncio.Event()
        self.clock = ManualClock()

    async def start(self) -> None:
        self.starts.append(self.clock.monotonic())
        if self.failures:
            self.failures -= 1
            raise ServerFailed("fake", "it did not start")
        self.ended.clear()

    async def wait(self) -> int:
        await self.ended.wait()
        return 1

    async def stop(self) -> None:
        self.ended.set()


async def _settled(unit: FakeUnit) -> None:
    await unit.clock.settle()


async def test_unit_that_never_served_gets_three_attempts() -> None:
    unit = FakeUnit(failures=3)
    watching = asyncio.create_task(Watch(unit, unit.clock, lambda: None).run())
    await unit.clock.advance(60)
    with pytest.raises(ServerFailed):
        await watching
    assert unit.starts == [0.0, 0.2, pytest.approx(0.6)]


async def test_pause_between_restarts_grows_to_a_bound_and_is_reset_by_stability() -> None:
    unit = FakeUnit()
    watch = Watch(unit, unit.clock, lambda: None)
    watching = asyncio.create_task(watch.run())
    for _ in range(9):
        await _settled(unit)
        unit.ended.set()
        await unit.clock.advance_to_next()
    pauses = [after - before for before, after in zip(unit.starts, unit.starts[1:], strict=False)]
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15, 15])
    await unit.clock.advance(31)
    unit.ended.set()
    assert await unit.clock.advance_to_next() == pytest.approx(0.2)
    assert watch.restarts == 10
    watching.cancel()
    await asyncio.wait({watching})


async def test_unit_that_served_once_is_restarted_for_ever() -> None:
    unit = FakeUnit()
    watch = Watch(unit, unit.clock, lambda: None)
    watching = asyncio.create_task(watch.run())
    await _settled(unit)
    unit.failures = 20
    unit.ended.set()
    await unit.clock.advance(600)
    assert watch.state == "ready"
    assert watch.restarts == 21
    watching.cancel()
    await asyncio.wait({watching})
