"""Two consumers with one checkpoint, and an event that cannot be applied."""

from __future__ import annotations

import httpx
import pytest
from epochal_kernel.log.reader import LogReader
from epochal_testing.waiting import until
from fault_log import appending, facts
from fault_world import World

pytestmark = pytest.mark.faults


async def test_twin_consumers_apply_each_event_once(world: World) -> None:
    async with world.host() as first, world.host() as second:
        await first.until_line("service.listening")
        await second.until_line("service.listening")
        await world.load(150)
        await world.check()
        assert first.returncode is None
        assert second.returncode is None


async def test_a_poison_event_halts_its_consumer_loudly_and_nothing_else(world: World) -> None:
    async with world.host() as host:
        port = (await host.until_line(r'"port": (\d+)'))[1]
        await world.load(20)
        poison = await world.set_tag(str(world.ids.uuid7()), world.streams[0], "poison")
        world.acknowledged = {
            command: at for command, at in world.acknowledged.items() if at != poison
        }
        await host.until_line("consumer.halted")
        await world.load(20)  # commands go on
        async with appending(world.pool) as appender:
            await facts(appender, 5)
        head = (await LogReader(world.pool).head()).position
        await world.check_log()
        await world.check_control_stream(head)  # and so does the relay

        parked = await world.pool.fetchrow("SELECT position, attempts, error FROM toy.parked")
        assert (parked[0], parked[1]) == (poison, 3)
        assert "this event is poison" in parked[2]
        checkpoint = await world.pool.fetchval("SELECT position FROM toy_rm_1.checkpoint")
        assert checkpoint == poison - 1
        assert await world.pool.fetchval("SELECT max(position) FROM toy.intent") == poison - 1

        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{port}/readyz")
        assert answer.status_code == 503
        assert f"event {poison}" in answer.json()["problems"]["consumer"]
        assert host.returncode is None


async def test_a_halted_consumer_tries_again_after_a_restart(world: World) -> None:
    async with world.host() as host:
        poison = await world.set_tag(str(world.ids.uuid7()), world.streams[0], "poison")
        await host.until_line("consumer.halted")
    async with world.host() as host:
        await host.until_line("consumer.halted")

        async def counted() -> bool:
            parked = await world.pool.fetchrow("SELECT position, attempts FROM toy.parked")
            return tuple(parked) == (poison, 6)

        await until(counted)
