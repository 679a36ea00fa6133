"""Telemetry through the real tracker: killed at a step, lied to by the broker, given nonsense."""

from __future__ import annotations

import shutil
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from epochal_embedded.servers import NatsServer
from epochal_kernel.failpoints import FAILPOINTS
from epochal_testing.waiting import until
from fault_world import World, open_world
from nats.js.errors import NotFoundError
from telemetry_world import Producer, batch, tracker

pytestmark = pytest.mark.faults

SINK = [name for name in FAILPOINTS if name.startswith("sink.")]


@pytest_asyncio.fixture(loop_scope="session")
async def own(database: str, broker: NatsServer) -> AsyncIterator[World]:
    """A world on a broker whose store the test may wipe."""
    async with open_world(database, broker.url) as opened:
        yield opened


@pytest.mark.parametrize("name", SINK)
async def test_a_tracker_killed_in_its_sink_persists_every_point_once(
    world: World, name: str
) -> None:
    producer = Producer.new(world.bus, world.pool)
    async with tracker(world.database, world.nats_url, {name: "kill@2"}) as dying:
        await producer.send(range(1, 11))
        await producer.until_persisted(1)
        await producer.send(range(11, 41))
        assert await dying.wait(40) == -signal.SIGKILL
    async with tracker(world.database, world.nats_url):
        await producer.until_persisted(40)
        await producer.check(40)


async def test_acknowledgements_of_a_broker_that_lost_them_cost_a_resend_and_no_point(
    own: World, broker: NatsServer
) -> None:
    producer = Producer.new(own.bus, own.pool)
    async with tracker(own.database, own.nats_url) as running:
        await producer.send(range(1, 11))
        await producer.until_persisted(10)
        running.send(signal.SIGSTOP)
        await producer.send(range(11, 31))  # acknowledged, every one ...
        await broker.stop()
        shutil.rmtree(broker.folder / "jetstream")  # ... and lost
        await broker.start()
        running.send(signal.SIGCONT)
        await producer.send(range(31, 36))
        # The tracker has at most what was on its way already; the spool has the rest.
        persisted = await producer.persisted()
        assert persisted < 35
        await producer.send(range(persisted + 1, 36), life=" again")
        await producer.until_persisted(35)
        await producer.check(35)


async def test_batches_sent_twice_at_once_are_persisted_once(world: World) -> None:
    """The broker's own deduplication is out of the way: the sink sees both in one transaction."""
    producer = Producer.new(world.bus, world.pool)
    for number in range(1, 21):
        await producer.send(range(number, number + 1))
        await producer.send(range(number, number + 1), life=" again")
    async with tracker(world.database, world.nats_url):
        await producer.until_persisted(20)
        await producer.check(20)


async def test_a_batch_that_postgresql_refuses_keeps_no_other_out(world: World) -> None:
    producer, foe = (Producer.new(world.bus, world.pool) for _ in range(2))
    await producer.send(range(1, 6))
    for name in ("a\0b", "x" * 100_000):
        refused = batch(foe.run, foe.id, 1, (name,)).SerializeToString()
        await world.bus.publish_durably("tel.v1.points.0", refused, message_id=name[:9].strip("\0"))
    await world.bus.publish_durably("tel.v1.points.0", b"\xff\xff", message_id="nonsense")
    await producer.send(range(6, 11))
    async with tracker(world.database, world.nats_url) as running:
        await producer.until_persisted(10)
        await producer.check(10)
        await running.until_line("sink.refused_batch|sink.unreadable_batch")
        assert running.returncode is None


async def test_a_full_stream_refuses_and_the_tracker_makes_room(world: World) -> None:
    """The disk that the broker may use is full of what is not persisted, then of nothing."""
    producer = Producer.new(world.bus, world.pool)
    room = 100_000
    limit = {"EPOCHAL_TELEMETRY_MAX_BYTES": str(room)}
    async with tracker(world.database, world.nats_url, **limit) as running:

        async def made() -> bool:
            try:
                info = await world.bus.jetstream.stream_info("TELEMETRY")
            except NotFoundError as error:
                raise AssertionError("there is no stream yet") from error
            return info.config.max_bytes == room

        await until(made, 30)
        running.send(signal.SIGSTOP)
        refused = await producer.until_refused("maximum bytes exceeded")
        running.send(signal.SIGCONT)
        await producer.send(range(refused, 4 * refused))
        await producer.until_persisted(4 * refused - 1)
        await producer.check(4 * refused - 1)

        async def empty() -> bool:
            return (await world.bus.jetstream.stream_info("TELEMETRY")).state.messages == 0

        await until(empty)
