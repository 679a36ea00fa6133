from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import pytest_asyncio
from epochal_embedded.servers import NatsServer
from epochal_kernel.bus import Bus
from epochal_kernel.clock import SystemClock
from epochal_kernel.pulling import Puller, PullSpec
from epochal_testing.waiting import until
from kernel_toy import on_bus
from nats.aio.subscription import Subscription


@pytest_asyncio.fixture(loop_scope="session")
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with on_bus(nats_url) as opened:
        yield opened


async def fill(bus: Bus, count: int, stream: str = "S", first: int = 1) -> None:
    try:
        await bus.jetstream.stream_info(stream)
    except Exception:
        await bus.jetstream.add_stream(name=stream, subjects=[f"{stream}.>"])
    for number in range(first, first + count):
        await bus.jetstream.publish(f"{stream}.x", b"%d" % number)


@asynccontextmanager
async def pulling(
    bus: Bus, spec: PullSpec, stream: Callable[[], str] = lambda: "S"
) -> AsyncIterator[Puller]:
    async def which() -> str:
        return stream()

    puller = Puller(bus, spec, SystemClock())
    task = asyncio.create_task(puller.run(which))
    try:
        yield puller
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait({task})


async def collect(puller: Puller, count: int, timeout_s: float = 15.0) -> list[int]:
    """Take and acknowledge until so many have come."""
    found: list[int] = []

    async def enough() -> bool:
        for message in puller.take():
            found.append(int(message.data))
            await message.acknowledge()
        return len(found) >= count

    await until(enough, timeout_s)
    return found


async def test_messages_come_in_order_and_keep_coming(bus: Bus) -> None:
    await fill(bus, 50)
    async with pulling(bus, PullSpec("d", credit=8)) as puller:
        assert await collect(puller, 50) == list(range(1, 51))
        await fill(bus, 50, first=51)
        assert await collect(puller, 50) == list(range(51, 101))


async def test_a_consumer_that_takes_nothing_is_sent_a_bounded_number(bus: Bus) -> None:
    await fill(bus, 100)
    async with pulling(bus, PullSpec("d", credit=8)) as puller:
        await until(lambda: len(puller._messages) >= 8)
        await until(lambda: puller._arrived.is_set())
        info = await bus.jetstream.consumer_info("S", "d")
        assert len(puller._messages) <= 16
        assert info.num_ack_pending <= 16
        assert await collect(puller, 100) == list(range(1, 101))


async def test_what_is_not_acknowledged_comes_again(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal_kernel.pulling.ACK_WAIT_S", 0.3)
    await fill(bus, 3)
    async with pulling(bus, PullSpec("d", credit=8)) as puller:
        await until(lambda: len(puller._messages) == 3)
        puller.take()
        assert await collect(puller, 3) == [1, 2, 3]


async def test_acknowledging_through_a_message_covers_those_before(bus: Bus) -> None:
    await fill(bus, 10)
    async with pulling(bus, PullSpec("d", credit=16, through=True)) as puller:
        await until(lambda: len(puller._messages) == 10)
        await puller.take()[-1].acknowledge()

        async def all_done() -> bool:
            info = await bus.jetstream.consumer_info("S", "d")
            return info.num_ack_pending == 0 and info.num_pending == 0

        await until(all_done)


async def test_a_new_consumer_starts_where_it_is_told_and_an_old_one_goes_on(bus: Bus) -> None:
    await fill(bus, 10)
    for _ in range(2):
        async with pulling(bus, PullSpec("d", credit=8, start=7)) as puller:
            assert await collect(puller, 4) == [7, 8, 9, 10]
        await bus.jetstream.delete_consumer("S", "d")
    async with pulling(bus, PullSpec("d", credit=8, start=9)) as puller:
        assert await collect(puller, 2) == [9, 10]
    await fill(bus, 1, first=11)
    async with pulling(bus, PullSpec("d", credit=8, start=1)) as puller:
        assert await collect(puller, 1) == [11]


async def test_it_moves_on_to_the_next_stream(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epochal_kernel.pulling.EXPIRES_S", 2.0)
    await fill(bus, 3)
    await fill(bus, 3, "T", first=4)
    names = ["S"]
    async with pulling(bus, PullSpec("d", credit=8), lambda: names[0]) as puller:
        assert await collect(puller, 3) == [1, 2, 3]
        names[0] = "T"
        assert await collect(puller, 3) == [4, 5, 6]


async def test_a_stream_that_is_not_there_yet_is_waited_for(bus: Bus) -> None:
    async with pulling(bus, PullSpec("d", credit=8)) as puller:
        await puller.wait(0.01)
        assert puller.take() == []
        await fill(bus, 3)
        assert await collect(puller, 3) == [1, 2, 3]


async def test_a_consumer_or_stream_that_is_deleted_is_made_anew(bus: Bus) -> None:
    await fill(bus, 3)
    async with pulling(bus, PullSpec("d", credit=8)) as puller:
        assert await collect(puller, 3) == [1, 2, 3]
        await bus.jetstream.delete_consumer("S", "d")
        assert await collect(puller, 3) == [1, 2, 3]
        await bus.jetstream.delete_stream("S")
        await fill(bus, 2, first=8)
        assert await collect(puller, 2) == [8, 9]


async def test_a_broker_that_was_restarted_is_asked_again(
    bus: Bus, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has forgotten the request and would be silent for as long as the request lives."""
    monkeypatch.setattr("epochal_kernel.pulling.HEARTBEAT_S", 0.3)
    await fill(bus, 3)
    async with pulling(bus, PullSpec("d", credit=8)) as puller:
        assert await collect(puller, 3) == [1, 2, 3]
        await nats_server.kill()
        await nats_server.start()
        await until(lambda: bus.connected)
        await fill(bus, 3, first=4)
        found: set[int] = set()

        async def all_there() -> bool:
            # A killed broker may have forgotten the acknowledgements of the first three.
            for message in puller.take():
                found.add(int(message.data))
                await message.acknowledge()
            return found >= {4, 5, 6}

        await until(all_there)


async def test_it_takes_at_most_what_is_asked(bus: Bus) -> None:
    await fill(bus, 5)
    async with pulling(bus, PullSpec("d", credit=8)) as puller:
        await until(lambda: len(puller._messages) == 5)
        assert [m.data for m in puller.take(2)] == [b"1", b"2"]
        await puller.wait(0)
        assert [m.data for m in puller.take()] == [b"3", b"4", b"5"]
        assert puller.take(3) == []


async def test_a_puller_whose_cancellation_nats_py_swallowed_ends_all_the_same(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`next_msg` returns a message that comes together with the cancellation, and forgets that."""
    real = Subscription.next_msg
    swallowed = 0

    async def swallowing(self: Subscription, timeout: float | None = None) -> object:
        nonlocal swallowed
        try:
            return await real(self, timeout)
        except asyncio.CancelledError:
            swallowed += 1
            return SimpleNamespace(headers={"Status": "100"})

    monkeypatch.setattr(Subscription, "next_msg", swallowing)
    await fill(bus, 1)
    async with pulling(bus, PullSpec("d", credit=8)) as puller:
        await collect(puller, 1)
    assert swallowed == 1
