from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID, uuid4

import epochal_proto.v1 as pb
import pytest
from epochal_embedded.servers import NatsServer
from epochal_kernel.errors import Unavailable
from epochal_kernel.ids import Position
from epochal_kernel.log.commands import NewEvent
from epochal_kernel.log.events import Event, EventRecord
from epochal_kernel.projections.following import BATCH, Skipped, contiguous
from epochal_kernel.projections.model import ReadModel, event_types
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import RowRef
from epochal_kernel.signals import LogSignal
from epochal_testing.waiting import until
from kernel_toy import Follower, Intents, SeenProjector, consuming, model, on_bus, relaying
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
    async with (
        on_bus(nats_url) as bus,
        relaying(world, bus) as relay,
        consuming(world, database, bus, signal=DEAF()) as running,
    ):
        stream = await append(world, 30)
        await running.progress.wait_for(30)
        await until(lambda: relay.position == 30)
        await bus.jetstream.publish("ctl.v1.telemetry.x", b"\xff\xff")
        await append(world, 30, stream)
        await running.progress.wait_for(60)
        assert await running.seen() == {stream: joined(range(1, 61))}
        assert not running.task.done()


async def test_without_a_broker_the_log_is_polled(
    world: LogWorld, database: str, nats_url: str, nats_server: NatsServer
) -> None:
    async with (
        on_bus(nats_url) as bus,
        relaying(world, bus),
        consuming(world, database, bus, signal=DEAF()) as running,
    ):
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


class TagsOnly(SeenProjector):
    """Looks at one type of event, as its model's interests say."""

    def touches(self, event: Event) -> Iterable[RowRef]:
        return super().touches(event) if isinstance(event.payload, pb.TagsSet) else ()

    def apply(self, rows: Rows, event: Event) -> None:
        if isinstance(event.payload, pb.TagsSet):
            super().apply(rows, event)


def choosy() -> ReadModel:
    return model(TagsOnly(), interests=event_types(pb.TagsSet))


async def params(world: LogWorld, count: int) -> None:
    """Append events of a type that the model below does not look at."""
    for _ in range(count):
        run = uuid4()
        wanted = command(run)
        other = NewEvent(pb.ParamsLogged(run=f"orgs/acme/projects/p/runs/{run}"), "resource")
        await world.appender.append(replace(wanted, events=[other]))


async def test_events_nobody_looks_at_are_passed_over_and_lose_nothing(
    world: LogWorld, database: str, nats_url: str
) -> None:
    follower = Follower()
    async with on_bus(nats_url) as bus, relaying(world, bus):
        async with consuming(
            world, database, bus, read_model=choosy(), signal=DEAF(), listeners=[follower]
        ) as running:
            stream = await append(world, 3)
            await running.progress.wait_for(3)
            await params(world, 30)
            await running.progress.wait_for(33)
            await append(world, 2, stream)
            await running.progress.wait_for(35)
            assert await running.seen() == {stream: "1,2,3,34,35,"}
            assert await running.checkpoint() == 35
            await params(world, 5)
            await running.progress.wait_for(40)
        ends = [(before, after) for before, _, after in follower.steps if before != after]
        assert [before for before, _ in ends] == [0, *(after for _, after in ends[:-1])]
        # A new process passes over the same events again, from the checkpoint.
        async with consuming(world, database, bus, read_model=choosy()) as running:
            await running.progress.wait_for(40)
            await append(world, 1, stream)
            await running.progress.wait_for(41)
            assert await running.seen() == {stream: "1,2,3,34,35,41,"}


async def test_what_is_passed_over_for_too_long_is_written_down(
    world: LogWorld, database: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal_kernel.projections.consumer.SKIP_AT_MOST", 5)
    async with (
        on_bus(nats_url) as bus,
        relaying(world, bus),
        consuming(world, database, bus, read_model=choosy(), signal=DEAF()) as running,
    ):
        for _ in range(10):
            await params(world, 3)
            await running.progress.wait_for((await world.reader.head()).position)

        async def written() -> bool:
            return await running.checkpoint() >= 20

        await until(written)


@pytest.mark.parametrize(
    ("checkpoint", "upto", "found", "goes_on_at"),
    [(5, 9, 5, 9), (5, 9, 7, 9), (5, 9, 9, 9), (5, 9, 12, 12), (5, 9, 3, 3), (5, 5, 5, 5)],
)
def test_what_was_passed_over_counts_from_the_checkpoint_it_was_passed_over_from(
    checkpoint: int, upto: int, found: int, goes_on_at: int
) -> None:
    assert Skipped(checkpoint, Position(upto)).beyond(Position(found)) == goes_on_at


def records_at(*positions: int) -> list[EventRecord]:
    nothing = EventRecord.from_envelope
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
