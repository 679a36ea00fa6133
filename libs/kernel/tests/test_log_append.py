from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg
import pytest
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import (
    CommandMismatch,
    FailedPrecondition,
    LogCorrupted,
    ResourceExhausted,
    Unavailable,
    VersionConflict,
)
from epochal_kernel.ids import Position
from epochal_kernel.log.appender import Appender
from epochal_kernel.log.chain import GENESIS, first_bad
from epochal_kernel.log.commands import Appended, Command, NewEvent, Stream
from epochal_kernel.log.reader import Verification, verify
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.migrations import MigrationChanged, migrate
from epochal_kernel.postgres import connect
from epochal_kernel.signals import LogSignal
from epochal_testing.proxy import FaultProxy
from kernel_world import IDS, LogWorld, command, context, tags


async def verification(world: LogWorld) -> Verification:
    steps = [step async for step in verify(world.pool)]
    return steps[-1]


async def test_positions_are_gapless_and_versions_count_per_stream(world: LogWorld) -> None:
    streams = [uuid4() for _ in range(5)]
    await asyncio.gather(*(world.appender.append(command(streams[n % 5])) for n in range(100)))
    records = await world.reader.page(Position(0))
    assert [record.position for record in records] == list(range(1, 101))
    for stream in streams:
        versions = [record.version for record in records if record.stream_id == stream]
        assert versions == list(range(1, 21))


async def test_a_command_of_many_events_is_all_or_nothing(world: LogWorld) -> None:
    stream = uuid4()
    events = [tags(stream, f"n{n}") for n in range(7)]
    appended = await world.appender.append(command(stream, 0, events=events))
    assert appended == Appended(1, 7, 7, repeated=False)
    with pytest.raises(VersionConflict):
        await world.appender.append(command(stream, 3, events=events))
    assert (await world.reader.head()).position == 7


async def test_a_repeated_command_answers_with_the_first_positions(world: LogWorld) -> None:
    once = command(uuid4(), 0)
    first = await world.appender.append(once)
    again = await world.appender.append(once)
    assert (again.first_position, again.last_position) == (
        first.first_position,
        first.last_position,
    )
    assert again.repeated
    assert (await world.reader.head()).position == 1


async def test_the_same_command_twice_at_once_is_appended_once(world: LogWorld) -> None:
    once = command(uuid4(), None)
    answers = await asyncio.gather(*(world.appender.append(once) for _ in range(10)))
    assert {answer.first_position for answer in answers} == {1}
    assert sum(not answer.repeated for answer in answers) == 1


async def test_a_command_id_with_another_request_is_refused(world: LogWorld) -> None:
    of = context(request=b"a" * 32)
    await world.appender.append(command(uuid4(), of=of))
    other = context(of.command_id, request=b"b" * 32)
    with pytest.raises(CommandMismatch):
        await world.appender.append(command(uuid4(), of=other))


async def test_one_of_64_writers_with_one_expected_version_wins(world: LogWorld) -> None:
    stream = uuid4()
    others = [uuid4() for _ in range(16)]
    results = await asyncio.gather(
        *(world.appender.append(command(stream, 0)) for _ in range(64)),
        *(world.appender.append(command(other, 0)) for other in others),
        return_exceptions=True,
    )
    rivals, bystanders = results[:64], results[64:]
    assert sum(isinstance(result, Appended) for result in rivals) == 1
    assert sum(isinstance(result, VersionConflict) for result in rivals) == 63
    assert all(isinstance(result, Appended) for result in bystanders)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log.event SET actor = 'nobody'",
        "DELETE FROM log.event",
        "TRUNCATE log.event",
    ],
)
async def test_the_database_refuses_to_change_history(world: LogWorld, statement: str) -> None:
    await world.appender.append(command(uuid4()))
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await world.pool.execute(statement)
    assert (await verification(world)).bad is None


async def test_the_chain_in_sql_is_the_chain_in_python(world: LogWorld) -> None:
    for n in range(20):
        stream = uuid4()
        await world.appender.append(command(stream, events=[tags(stream, "é☃", "x" * n)]))
    records = await world.reader.page(Position(0))
    link, bad, problem = first_bad(records, Position(0), GENESIS)
    assert (bad, problem) == (None, "")
    assert link == (await world.reader.head()).chain


@pytest.mark.parametrize(
    ("damage", "first"),
    [
        ("UPDATE log.event SET payload = payload || '\\x00'::bytea WHERE position = 3", 3),
        ("UPDATE log.event SET actor = 'users/mallory' WHERE position = 5", 5),
        ("DELETE FROM log.event WHERE position = 4", 4),
        ("DELETE FROM log.event WHERE position = 8", 8),
        ("UPDATE log.head SET chain = decode(repeat('11', 32), 'hex')", 8),
        (
            "UPDATE log.event SET recorded_at = recorded_at + interval '1 microsecond' "
            "WHERE position = 1",
            1,
        ),
    ],
)
async def test_verification_names_the_first_bad_position(
    world: LogWorld, damage: str, first: int
) -> None:
    for _ in range(8):
        await world.appender.append(command(uuid4()))
    assert (await verification(world)).bad is None
    async with world.pool.acquire() as connection:
        await connection.execute("ALTER TABLE log.event DISABLE TRIGGER USER")
        await connection.execute(damage)
    found = await verification(world)
    assert found.bad == first
    assert found.problem


async def test_a_page_with_a_hole_is_corruption(world: LogWorld) -> None:
    for _ in range(4):
        await world.appender.append(command(uuid4()))
    async with world.pool.acquire() as connection:
        await connection.execute("ALTER TABLE log.event DISABLE TRIGGER USER")
        await connection.execute("DELETE FROM log.event WHERE position = 2")
    with pytest.raises(LogCorrupted, match="position 2"):
        await world.reader.page(Position(0))


async def test_an_empty_log_verifies(world: LogWorld) -> None:
    found = await verification(world)
    assert (found.checked, found.head, found.bad) == (0, 0, None)


async def test_an_event_in_the_wrong_category_is_a_mistake_of_the_caller(world: LogWorld) -> None:
    stream = uuid4()
    wrong = Command(context(), Stream("run", stream), None, [NewEvent(tags(stream), "x")])
    with pytest.raises(ValueError, match="belongs to telemetry"):
        await world.appender.append(wrong)


async def test_a_lost_answer_is_repaired_by_the_appender_itself(database: str) -> None:
    """The commit reaches PostgreSQL, its answer does not: the appender asks again by command_id."""
    async with FaultProxy.to(database) as proxy:
        pool = await connect(proxy.url(database), name="proxied", max_size=2)
        async with pool.acquire() as connection:
            await migrate(connection, "log", "epochal_kernel.log")
        appender = Appender(pool, LogSignal(), IDS, SystemClock(), Subjects(pool, SystemClock()))
        running = asyncio.create_task(appender.run())
        await appender.append(command(uuid4()))
        proxy.half_close("to_client")
        pending = asyncio.create_task(appender.append(command(uuid4(), 0)))
        await asyncio.wait({pending}, timeout=0.3)
        await proxy.drop()
        await proxy.heal()
        appended = await pending
        assert appended.last_position == 2
        appender.close()
        await running
        await pool.close()


async def test_a_closed_appender_refuses(world: LogWorld) -> None:
    world.appender.close()
    with pytest.raises(Unavailable, match="shutting down"):
        await world.appender.append(command(uuid4()))


async def test_an_edited_migration_is_refused(world: LogWorld) -> None:
    async with world.pool.acquire() as connection:
        assert await migrate(connection, "log", "epochal_kernel.log") == []
        await connection.execute("UPDATE epochal.migration SET sha256 = '\\x00'")
        with pytest.raises(MigrationChanged, match="edited"):
            await migrate(connection, "log", "epochal_kernel.log")
        await connection.execute(
            "UPDATE epochal.migration SET name = '9999_future.sql' WHERE name LIKE '0001%'"
        )
        with pytest.raises(FailedPrecondition, match="9999_future"):
            await migrate(connection, "log", "epochal_kernel.log")


async def test_the_command_table_gives_no_way_to_reuse_an_id_across_streams(
    world: LogWorld,
) -> None:
    of = context()
    first = await world.appender.append(command(uuid4(), of=of))
    second = await world.appender.append(command(uuid4(), of=of))
    assert second.repeated
    assert second.first_position == first.first_position


async def test_a_command_without_events_is_a_mistake_of_the_caller(world: LogWorld) -> None:
    with pytest.raises(ValueError, match="at least one event"):
        await world.appender.append(command(uuid4(), events=[]))


async def test_more_commands_than_may_wait_are_refused_at_once(
    world: LogWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal_kernel.log.appender.QUEUE", 5)
    results = await asyncio.gather(
        *(world.appender.append(command(uuid4())) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(result, Appended) for result in results) == 5
    assert [r.reason for r in results if isinstance(r, ResourceExhausted)] == [
        "APPEND_QUEUE_FULL"
    ] * 3


async def test_a_caller_that_gave_up_before_its_turn_has_changed_nothing(world: LogWorld) -> None:
    stream = uuid4()
    async with world.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT position FROM log.head FOR UPDATE")
        first = asyncio.create_task(world.appender.append(command(stream)))
        await asyncio.wait({first}, timeout=0.05)
        waiting = [asyncio.create_task(world.appender.append(command(stream))) for _ in range(3)]
        await asyncio.wait(waiting, timeout=0.05)
        waiting[1].cancel()
        first.cancel()  # too late: it is on its way
    await asyncio.wait(waiting)
    assert (await world.reader.head()).position == 3
    assert [task.cancelled() for task in waiting] == [False, True, False]


async def test_a_database_that_stays_away_is_told_to_every_caller(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal_kernel.log.appender.RETRY_PAUSE_S", 0.001)
    async with FaultProxy.to(database) as proxy:
        pool = await connect(proxy.url(database), name="proxied", max_size=2)
        appender = Appender(pool, LogSignal(), IDS, SystemClock(), Subjects(pool, SystemClock()))
        running = asyncio.create_task(appender.run())
        await proxy.refuse()
        await proxy.drop()
        results = await asyncio.gather(
            *(appender.append(command(uuid4())) for _ in range(5)), return_exceptions=True
        )
        assert all(isinstance(result, Unavailable) for result in results)
        appender.close()
        await running
        pool.terminate()
