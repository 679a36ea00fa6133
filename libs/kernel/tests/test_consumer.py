from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest
from epochal_embedded.servers import NatsServer
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import Unavailable
from epochal_kernel.log.events import EventRecord
from epochal_kernel.projections.consumer import BATCH, contiguous
from epochal_kernel.relay import Relay
from epochal_kernel.signals import LogSignal
from epochal_testing.waiting import until
from kernel_toy import Follower, Intents, SeenProjector, consuming, model, on_bus
from kernel_world import LogWorld, command, tags

DEAF = LogSignal  # a signal nobody rings: the consumer learns from the bus or by polling


async def append(world: LogWorld, count: int, stream: UUID | None = None) -> UUID:
    stream = stream or uuid4()
    await asyncio.gather(*(world.appender.append(command(stream)) for _ in range(count)))
    return stream


def joined(positions: range) -> str:
    return "".join(f"{position}," for position in positions)


async def test_events_are_applied_once_and_in_order(
    world: LogWorld, database: str, nats_url: str
) -> None:
    async with on_bus(nats_url) as bus, consuming(world, database, bus) as running:
        stream = await append(world, 40)
        await running.progress.wait_for(40)
        assert await running.seen() == {stream: joined(range(1, 41))}
        assert await running.checkpoint() == 40


async def test_the_bus_delivers_what_another_process_wrote(
    world: LogWorld, database: str, nats_url: str
) -> None:
    """Nobody rings here; messages sent twice and messages that are no events change nothing."""
    async with on_bus(nats_url) as bus:
        relay = Relay(world.pool, bus, world.signal, SystemClock())
        relaying = asyncio.create_task(relay.run())
        async with consuming(world, database, bus, signal=DEAF()) as running:
            stream = await append(world, 30)
            await running.progress.wait_for(30)
            await until(lambda: relay.position == 30)
            await bus.jetstream.publish("ctl.v1.telemetry.x", b"\xff\xff")
            await append(world, 30, stream)
            await running.progress.wait_for(60)
            assert await running.seen() == {stream: joined(range(1, 61))}
            assert not running.task.done()
        relaying.cancel()
        await asyncio.wait({relaying})


async def test_without_a_broker_the_log_is_polled(
    world: LogWorld, database: str, nats_url: str, nats_server: NatsServer
) -> None:
    async with on_bus(nats_url) as bus:
        relaying = asyncio.create_task(Relay(world.pool, bus, world.signal, SystemClock()).run())
        async with consuming(world, database, bus, signal=DEAF()) as running:
            stream = await append(world, 5)
            await running.progress.wait_for(5)
            await nats_server.stop()
            await append(world, 20, stream)
            await running.progress.wait_for(25)
            assert not nats_server.running
            await nats_server.start()
            await append(world, 5, stream)

            async def published() -> bool:
                return (await bus.jetstream.stream_info("CONTROL")).state.last_seq == 30

            await until(lambda: bus.connected)
            await until(published, 30)
            await running.progress.wait_for(30)
            assert await running.seen() == {stream: joined(range(1, 31))}
        relaying.cancel()
        await asyncio.wait({relaying})


async def test_events_of_another_history_are_not_believed(
    world: LogWorld, database: str, nats_url: str
) -> None:
    """The broker still has events of a time the database was restored from."""
    await append(world, 4)
    records = await world.reader.page(0, 10)  # type: ignore[arg-type]  # a position
    async with on_bus(nats_url) as bus:
        await bus.jetstream.add_stream(name="CONTROL", subjects=["ctl.v1.>"])
        for record in records:
            foreign = record.to_envelope()
            foreign.event_id, foreign.chain = uuid4().bytes, b"\1" * 32
            foreign.stream_id = uuid4().bytes
            await bus.jetstream.publish("ctl.v1.telemetry.x", foreign.SerializeToString())
        async with consuming(world, database, bus, signal=DEAF()) as running:
            await running.progress.wait_for(4)
            assert set(await running.seen()) == {record.stream_id for record in records}


async def test_twins_apply_each_event_once(world: LogWorld, database: str, nats_url: str) -> None:
    first, second = Follower(), Follower()
    reactors = [Intents()]
    async with (
        on_bus(nats_url) as bus,
        consuming(world, database, bus, reactors=reactors, listeners=[first]) as one,
        consuming(world, database, bus, reactors=reactors, listeners=[second]) as other,
    ):
        stream = uuid4()
        for _ in range(10):
            await append(world, 10, stream)
        await one.progress.wait_for(100)
        await other.progress.wait_for(100)
        assert await one.seen() == {stream: joined(range(1, 101))}
        assert await one.intents() == list(range(1, 101))
        told = [position for step in (*first.steps, *second.steps) for position in step[1]]
        assert sorted(told) == list(range(1, 101))


async def test_a_listener_is_told_every_step_and_sees_where_a_twin_has_been(
    world: LogWorld, database: str, nats_url: str
) -> None:
    follower = Follower()
    async with on_bus(nats_url) as bus:
        async with consuming(world, database, bus, listeners=[follower]) as running:
            await append(world, 3)
            await running.progress.wait_for(3)
            await running.pool.execute("UPDATE checkpoint SET position = 4")  # a twin's work
            await append(world, 3)
            await running.progress.wait_for(6)
        moves = [(before, after) for before, _, after in follower.steps if before != after]
        assert moves[0][0] == 0
        assert moves[-1][1] == 6
        assert 4 in [before for before, _, _ in follower.steps]
        for before, positions, after in follower.steps:
            assert positions == list(range(before + 1, after + 1))


async def test_poison_is_parked_after_three_tries_and_nothing_after_it_is_applied(
    world: LogWorld, database: str, nats_url: str
) -> None:
    stream = await append(world, 5)
    await world.appender.append(command(stream, events=[tags(stream, "poison")]))
    await append(world, 5, stream)
    projector = SeenProjector()
    async with (
        on_bus(nats_url) as bus,
        consuming(world, database, bus, read_model=model(projector)) as running,
    ):
        await running.task
        halted = running.consumer.halted
        assert halted is not None
        assert "event 6" in halted.message
        assert "poison" in halted.message
        assert await running.seen() == {stream: joined(range(1, 6))}
        assert await running.checkpoint() == 5
        parked = await running.pool.fetch("SELECT consumer, position, attempts FROM toy.parked")
        assert [tuple(row) for row in parked] == [("toy", 6, 3)]
        with pytest.raises(Unavailable, match="is at position 5"):
            await running.progress.wait_for(6, timeout_s=0.01)


async def test_an_event_of_unknown_type_halts_when_it_comes_first(
    world: LogWorld, database: str, nats_url: str
) -> None:
    await append(world, 3)
    async with world.pool.acquire() as connection:
        await connection.execute("ALTER TABLE log.event DISABLE TRIGGER USER")
        await connection.execute("UPDATE log.event SET type = 'future.Event' WHERE position = 3")
    async with on_bus(nats_url) as bus, consuming(world, database, bus) as running:
        await running.task
        assert running.consumer.halted is not None
        assert "future.Event" in running.consumer.halted.message
        assert await running.checkpoint() == 2


async def test_a_row_that_postgresql_refuses_halts_at_its_event(
    world: LogWorld, database: str, nats_url: str
) -> None:
    """The whole batch fails at once; the event to blame is found by halving."""
    stream = await append(world, 20)
    await world.appender.append(command(uuid4(), events=[tags(uuid4(), "unstorable")]))
    await append(world, 20, stream)
    async with on_bus(nats_url) as bus, consuming(world, database, bus) as running:
        await running.task
        assert running.consumer.halted is not None
        assert "event 21" in running.consumer.halted.message
        assert await running.seen() == {stream: joined(range(1, 21))}


async def test_intents_are_written_with_the_checkpoint_or_not_at_all(
    world: LogWorld, database: str, nats_url: str
) -> None:
    await append(world, 9)
    async with (
        on_bus(nats_url) as bus,
        consuming(world, database, bus, reactors=[Intents(fails_at=7)]) as running,
    ):
        await running.task
        assert running.consumer.halted is not None
        assert "intents failed on event 7" in running.consumer.halted.message
        assert await running.intents() == [1, 2, 3, 4, 5, 6]
        assert await running.checkpoint() == 6


async def test_a_database_that_goes_away_is_waited_for(
    world: LogWorld, database: str, nats_url: str
) -> None:
    async with on_bus(nats_url) as bus, consuming(world, database, bus) as running:
        stream = await append(world, 5)
        await running.progress.wait_for(5)
        for _ in range(3):
            await world.pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'toy'"
            )
            await append(world, 5, stream)
        await running.progress.wait_for(20)
        assert await running.seen() == {stream: joined(range(1, 21))}


async def test_a_held_consumer_stands_still(world: LogWorld, database: str, nats_url: str) -> None:
    async with on_bus(nats_url) as bus, consuming(world, database, bus) as running:
        async with running.consumer.paused:
            await append(world, 5)
            assert await running.checkpoint() == 0
        await running.progress.wait_for(5)


def records_at(*positions: int) -> list[EventRecord]:
    nothing = EventRecord.from_envelope
    import epochal_proto.v1 as pb

    zero = bytes(16)
    return [
        nothing(
            pb.EventEnvelope(position=position, event_id=zero, stream_id=zero, correlation_id=zero)
        )
        for position in positions
    ]


@pytest.mark.parametrize(
    ("arrived", "applied"),
    [
        ([], []),
        ([5, 6, 7], [5, 6, 7]),
        ([7, 5, 6, 5], [5, 6, 7]),
        ([3, 4, 5], [5]),
        ([6, 7], []),
        ([5, 7, 8], [5]),
        ([1, 2], []),
    ],
)
def test_only_what_follows_the_checkpoint_is_taken(arrived: list[int], applied: list[int]) -> None:
    assert [record.position for record in contiguous(records_at(*arrived), 4)] == applied


def test_a_batch_has_a_limit() -> None:
    assert len(contiguous(records_at(*range(1, BATCH + 50)), 0)) == BATCH
