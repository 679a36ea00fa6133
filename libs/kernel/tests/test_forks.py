"""A log that is a copy of another's up to a position: seen whole, acted on beyond it only."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from uuid import uuid4

import asyncpg
import pytest
from epochal_kernel.acts import Act, allowed_acts
from epochal_kernel.errors import InvalidArgument
from epochal_kernel.log.forks import Fork, mark_fork, read_fork
from epochal_kernel.rpc.client import RpcClient
from epochal_testing.waiting import until
from kernel_toy import on_bus
from kernel_world import LogWorld, command, log_world
from test_runtime import ready, service, set_tag


async def append(world: LogWorld, count: int) -> None:
    for _ in range(count):
        await world.appender.append(command(uuid4()))


async def mark(world: LogWorld, number: int = 1) -> Fork:
    """Says that all there is so far is another platform's."""
    head = await world.reader.head()
    row = await world.pool.fetchrow("SELECT clock_timestamp()")
    assert row is not None
    fork = Fork(number, uuid4(), head.position, head.chain, "a test", "log", "", ("key",), row[0])
    async with world.pool.acquire() as connection:
        await mark_fork(connection, fork)
    return fork


async def test_a_service_sees_what_a_fork_was_copied_with_and_reacts_to_what_follows_only(
    database: str, nats_url: str
) -> None:
    async with log_world(database) as world:
        await append(world, 5)
        await mark(world)
        async with service(database, nats_url) as process, on_bus(nats_url) as bus:
            await process.until_line("service.of_a_fork")
            await ready(process)
            assert await set_tag(RpcClient(bus), "a") == 6

            async def seen(position: int) -> bool:
                at = await world.pool.fetchval("SELECT position FROM toy_rm_1.checkpoint")
                return int(at or 0) >= position

            await until(lambda: seen(6))
        assert [row[0] for row in await world.pool.fetch("SELECT position FROM toy.intent")] == [6]
        positions = await world.pool.fetch("SELECT positions FROM toy_rm_1.seen")
        told = sorted(int(one) for row in positions for one in row[0].split(",") if one)
        assert told == [1, 2, 3, 4, 5, 6]


async def test_processes_that_start_together_replay_the_past_once(
    database: str, nats_url: str
) -> None:
    async with log_world(database) as world:
        await append(world, 300)
        await mark(world)
        async with AsyncExitStack() as stack:
            started = [await stack.enter_async_context(service(database, nats_url)) for _ in "123"]
            await asyncio.gather(*(ready(process) for process in started))
        positions = await world.pool.fetch("SELECT positions FROM toy_rm_1.seen")
        told = sorted(int(one) for row in positions for one in row[0].split(",") if one)
        assert told == list(range(1, 301))
        assert not await world.pool.fetch("SELECT FROM toy.intent")


async def test_the_last_mark_counts_and_none_is_changed(world: LogWorld) -> None:
    assert await read_fork(world.pool) is None
    await append(world, 2)
    await mark(world)
    await append(world, 2)
    second = await mark(world, number=2)
    found = await read_fork(world.pool)
    assert found is not None
    assert (found.number, found.position, found.fork_id) == (2, 4, second.fork_id)
    changes = ("UPDATE log.fork SET position = 9", "DELETE FROM log.fork", "TRUNCATE log.fork")
    for statement in changes:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await world.pool.execute(statement)


def test_a_fork_is_allowed_what_is_named_and_nothing_else() -> None:
    assert allowed_acts("") == frozenset()
    assert allowed_acts("execute, notify") == {Act.EXECUTE, Act.NOTIFY}
    with pytest.raises(InvalidArgument, match="'deploy'; there is execute, notify, publish"):
        allowed_acts("deploy")
