"""JetStream stops, or loses its tail, its middle or all of the CONTROL stream."""

from __future__ import annotations

import asyncio
import shutil

import pytest
from epochal_embedded.servers import NatsServer
from epochal_kernel.log.reader import LogReader
from epochal_testing.waiting import until
from fault_log import appending, facts
from fault_world import World, open_world
from nats.js.errors import NotFoundError

pytestmark = pytest.mark.faults


async def sequence(world: World, stream: str = "CONTROL") -> int:
    try:
        return (await world.bus.jetstream.stream_info(stream)).state.last_seq
    except NotFoundError:
        return 0


async def test_the_platform_goes_on_without_the_broker_and_catches_up(
    world: World, nats_server: NatsServer
) -> None:
    async with world.host():
        await world.load(10)
        await nats_server.stop()
        async with appending(world.pool) as appender:
            await facts(appender, 25)
        head = (await LogReader(world.pool).head()).position
        assert head == 35

        async def level() -> bool:
            position = "SELECT position FROM toy_rm_1.checkpoint"
            return await world.pool.fetchval(position) == head

        await until(level, what="the read model following the log without a broker")
        assert not nats_server.running
        await nats_server.start()
        await world.load(10)
        await world.check()


async def test_a_lost_tail_is_published_again(database: str, broker: NatsServer) -> None:
    store, copy = broker.folder / "jetstream", broker.folder / "copy"
    async with open_world(database, broker.url) as world, world.host():
        await world.load(20)
        await until(lambda: _is(sequence(world), 20))
        await broker.stop()
        shutil.copytree(store, copy)
        await broker.start()
        await world.load(20)
        await until(lambda: _is(sequence(world), 40))
        await broker.stop()
        shutil.rmtree(store)
        shutil.copytree(copy, store)
        await broker.start()
        await world.load(5)
        await world.check()


async def test_messages_lost_in_the_middle_come_from_postgresql(world: World) -> None:
    async with world.host():
        load = asyncio.create_task(world.load(150))
        gone = 0
        while not load.done():
            last = await sequence(world)
            if last > gone:
                gone = last
                await world.bus.jetstream.delete_msg("CONTROL", last)
            else:
                await asyncio.sleep(0)
        await load
        assert (await world.bus.jetstream.stream_info("CONTROL")).state.num_deleted
        await world.check()


async def test_a_lost_stream_is_made_anew(world: World) -> None:
    async with world.host():
        gone = asyncio.Event()
        load = asyncio.create_task(world.load_while(lambda: not gone.is_set()))

        async def under_way() -> bool:
            return await sequence(world) >= 20

        await until(under_way)
        await world.bus.jetstream.delete_stream("CONTROL")
        gone.set()
        await load
        await world.load(10)
        await world.check()


async def test_two_relays_publish_each_event_once_and_one_takes_over(world: World) -> None:
    async with world.host() as first, world.host() as second:
        await world.load(20)
        await first.until_line("service.listening")
        await second.until_line("service.listening")
        leader, other = (first, second) if "relay.leading" in first.output else (second, first)
        assert "relay.leading" in leader.output
        assert "relay.leading" not in other.output
        load = asyncio.create_task(world.load(60))
        await leader.kill()
        await load
        await other.until_line("relay.leading")
        await world.check()


async def _is(value: object, wanted: int) -> bool:
    return await value == wanted  # type: ignore[misc]  # a coroutine
