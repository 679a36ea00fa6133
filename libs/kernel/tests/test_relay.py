from __future__ import annotations

import asyncio
from uuid import uuid4

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.bus import Bus
from epochal_kernel.errors import Unavailable
from epochal_kernel.ids import Position
from epochal_kernel.log.events import EventRecord
from epochal_kernel.log.reader import LogReader
from epochal_kernel.relay import cloud_event, control_stream, control_subject, current_epoch
from epochal_testing.waiting import until
from kernel_toy import consuming, on_bus, relaying
from kernel_world import LogWorld, command


async def append(world: LogWorld, count: int) -> None:
    await asyncio.gather(*(world.appender.append(command(uuid4())) for _ in range(count)))


async def stream_of(bus: Bus, name: str = "CONTROL") -> dict[int, EventRecord]:
    """Everything a stream has, by sequence."""
    state = (await bus.jetstream.stream_info(name)).state
    found = {}
    for sequence in range(state.first_seq, state.last_seq + 1):
        data = await bus.message_at(name, sequence)
        if data is not None:
            found[sequence] = EventRecord.from_envelope(pb.EventEnvelope.FromString(data))
    return found


async def check(world: LogWorld, bus: Bus, name: str = "CONTROL") -> None:
    records = await world.reader.page(Position(0))
    assert await stream_of(bus, name) == {record.position: record for record in records}


async def test_sequence_is_position(world: LogWorld, nats_url: str) -> None:
    await append(world, 300)
    async with on_bus(nats_url) as bus, relaying(world, bus) as relay:
        await until(lambda: relay.position == 300)
        await append(world, 20)
        await until(lambda: relay.position == 320)
        await check(world, bus)


async def test_events_are_cloud_events_with_a_trace(world: LogWorld, nats_url: str) -> None:
    await append(world, 1)
    record = (await world.reader.page(Position(0)))[0]
    async with on_bus(nats_url) as bus, relaying(world, bus) as relay:
        await until(lambda: relay.position == 1)
        message = await bus.jetstream.get_msg("CONTROL", 1)
    assert message.subject == f"ctl.v1.telemetry.{record.stream_id.hex}"
    assert message.headers is not None
    assert message.headers["ce-id"] == str(record.event_id)
    assert message.headers["ce-type"] == "epochal.v1.TagsSet"
    assert message.headers["ce-source"] == "/orgs/acme"
    assert message.headers["ce-subject"] == record.resource
    assert "traceparent" not in cloud_event(record)


async def test_one_relay_leads_and_another_takes_over(world: LogWorld, nats_url: str) -> None:
    async with on_bus(nats_url) as bus, relaying(world, bus) as second:
        await until(lambda: second.leading)
        async with relaying(world, bus) as first:
            await append(world, 50)
            await until(lambda: second.position == 50)
            assert not first.leading
            await world.pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            )
            await append(world, 50)
            await until(lambda: max(first.position, second.position) == 100)
            await check(world, bus)


async def test_a_second_relay_is_fenced(world: LogWorld, nats_url: str) -> None:
    """Two that both think they lead: the broker refuses what is there already."""
    await append(world, 30)
    records = await world.reader.page(Position(0))
    async with on_bus(nats_url) as bus, relaying(world, bus) as relay:
        await until(lambda: relay.position == 30)
        for window in (records, records[10:20], records[29:]):
            with pytest.raises(Unavailable, match="wrong last sequence"):
                await relay._publish(1, window)
        await check(world, bus)


async def test_a_deleted_stream_is_made_anew_with_the_same_sequences(
    world: LogWorld, nats_url: str
) -> None:
    await append(world, 30)
    async with on_bus(nats_url) as bus, relaying(world, bus) as relay:
        await until(lambda: relay.position == 30)
        await bus.jetstream.delete_stream("CONTROL")
        await append(world, 5)
        await until(lambda: relay.position == 35)
        await check(world, bus)


async def test_a_long_log_begins_a_new_stream_near_its_end(
    world: LogWorld, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal_kernel.relay.TAIL", 10)
    await append(world, 30)
    async with on_bus(nats_url) as bus, relaying(world, bus) as relay:
        await until(lambda: relay.position == 30)
        assert sorted(await stream_of(bus)) == list(range(21, 31))


async def test_deleted_messages_change_no_sequence_and_are_filled_from_the_log(
    world: LogWorld, database: str, nats_url: str
) -> None:
    await append(world, 30)
    async with on_bus(nats_url) as bus, relaying(world, bus) as relay:
        await until(lambda: relay.position == 30)
        for sequence in (1, 7, 8, 9, 30):
            await bus.jetstream.delete_msg("CONTROL", sequence)
        await append(world, 5)
        await until(lambda: relay.position == 35)
        assert sorted(await stream_of(bus)) == [
            n for n in range(1, 36) if n not in (1, 7, 8, 9, 30)
        ]
        async with consuming(world, database, bus) as running:
            await running.progress.wait_for(35)
            assert len(await running.seen()) == 35


async def fill_with(bus: Bus, name: str, subject: str, count: int) -> None:
    await bus.jetstream.add_stream(name=name, subjects=[f"{subject}.>"])
    for number in range(count):
        await bus.jetstream.publish(f"{subject}.x", b"%d" % number)


@pytest.mark.parametrize(("on_broker", "in_log"), [(20, 5), (5, 5), (5, 20)])
async def test_another_history_on_the_broker_is_left_alone_and_a_new_epoch_begun(
    world: LogWorld, database: str, nats_url: str, on_broker: int, in_log: int
) -> None:
    await append(world, in_log)
    async with on_bus(nats_url) as bus:
        await fill_with(bus, "CONTROL", "ctl.v1", on_broker)
        await fill_with(bus, "CONTROL_e2", "ctl.v2", 50)
        async with (
            consuming(world, database, bus) as running,
            relaying(world, bus) as relay,
        ):
            await append(world, 5)
            await until(lambda: relay.position == in_log + 5)
            assert await current_epoch(world.pool) == 3
            await check(world, bus, "CONTROL_e3")
            await running.progress.wait_for(in_log + 5)
            assert len(await running.seen()) == in_log + 5
        state = (await bus.jetstream.stream_info("CONTROL")).state
        assert state.last_seq == on_broker


async def test_consumers_follow_to_the_new_stream(
    world: LogWorld, database: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal_kernel.pulling.EXPIRES_S", 2.0)
    async with on_bus(nats_url) as bus, consuming(world, database, bus) as running:
        async with relaying(world, bus) as relay:
            await append(world, 5)
            await until(lambda: relay.position == 5)
            await running.progress.wait_for(5)
        await fill_with(bus, "OTHER", "other", 0)
        for _ in range(20):  # the broker is ahead of the log
            await bus.jetstream.publish("ctl.v1.telemetry.x", b"foreign")
        async with relaying(world, bus) as relay:
            await append(world, 5)
            await until(lambda: relay.position == 10)

            async def followed() -> bool:
                info = await bus.jetstream.consumer_info("CONTROL_e2", "toy")
                return info.num_pending == 0 and info.num_ack_pending == 0

            async def there() -> bool:
                state = (await bus.jetstream.stream_info("CONTROL_e2")).state
                return state.consumer_count == 1

            await until(there, 20)
            await until(followed, 20)
            await running.progress.wait_for(10)
            assert not running.task.done()


async def test_a_relay_outlives_broker_and_database(world: LogWorld, nats_url: str) -> None:
    async with on_bus(nats_url) as bus, relaying(world, bus) as relay:
        await append(world, 5)
        await until(lambda: relay.position == 5)
        await world.pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'kernel-tests' AND pid <> pg_backend_pid()"
        )
        await append(world, 5)
        await until(lambda: relay.position == 10)
        await check(world, bus)


async def test_a_relay_that_heard_of_what_never_comes_does_not_spin(
    world: LogWorld, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restore: others told of positions that the log does not have any more."""
    pages = 0
    read = LogReader.page

    async def counted(self: LogReader, after: Position, limit: int = 1) -> list[EventRecord]:
        nonlocal pages
        pages += 1
        return await read(self, after, limit)

    monkeypatch.setattr(LogReader, "page", counted)
    monkeypatch.setattr("epochal_kernel.relay.POLL_S", 60.0)
    async with on_bus(nats_url) as bus, relaying(world, bus) as relay:
        await append(world, 1)
        await until(lambda: relay.position == 1)
        world.signal.notify(1_000)
        before = pages
        await world.pool.fetchval("SELECT pg_sleep(0.2)")
        assert pages <= before + 3
        await append(world, 1)
        world.signal.notify(1_001)
        await until(lambda: relay.position == 2)


def test_each_epoch_has_names_of_its_own() -> None:
    assert [control_stream(epoch) for epoch in (1, 2, 3)] == ["CONTROL", "CONTROL_e2", "CONTROL_e3"]
    zero = bytes(16)
    record = EventRecord.from_envelope(
        pb.EventEnvelope(category="run", event_id=zero, stream_id=zero, correlation_id=zero)
    )
    assert control_subject(2, record) == f"ctl.v2.run.{'0' * 32}"
