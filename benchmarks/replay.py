"""Reading the log, verifying its chain, and projecting it into a fresh read model."""

from __future__ import annotations

import time

from epochal_kernel.clock import SystemClock
from epochal_kernel.ids import Position
from epochal_kernel.log.commands import Command
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.reader import LogReader, verify
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.postgres import Pool
from epochal_kernel.projections.rebuild import replay
from epochal_kernel.projections.store import create_generation, prepare
from epochal_tracker.projections import READ_MODEL

from benchmarks.append import new_command, opened_log
from benchmarks.report import Row
from benchmarks.servers import durable_postgres

EVENTS = 60_000
BATCH = 512


async def run(seconds: float) -> list[Row]:
    """Fill a log, then read, verify and project all of it."""
    del seconds  # the log has a size, not a duration
    async with durable_postgres() as url, opened_log(url) as (pool, appender):
        import asyncio

        for _ in range(EVENTS // BATCH):
            commands: list[Command] = [new_command() for _ in range(BATCH)]
            await asyncio.gather(*(appender.append(command) for command in commands))
        return [await read(pool), await check(pool), await project(pool)]


async def read(pool: Pool) -> Row:
    """Read in pages of 5,000."""
    reader = LogReader(pool)
    count = 0
    started = time.perf_counter()
    while records := await reader.page(Position(count)):
        count += len(records)
    return Row("read", count / (time.perf_counter() - started), "events/s", ">= 100,000 events/s")


async def check(pool: Pool) -> Row:
    """Recompute the hash chain."""
    started = time.perf_counter()
    async for step in verify(pool):
        last = step
    assert last.bad is None
    return Row("verify the chain", last.checked / (time.perf_counter() - started), "events/s")


async def project(pool: Pool) -> Row:
    """Rebuild the tracker's read model."""
    async with pool.acquire() as connection:
        await prepare(connection, READ_MODEL)
        await create_generation(connection, READ_MODEL, "tracker_bench")
        target = (await LogReader(pool).head()).position
        started = time.perf_counter()
        async for position in replay(
            connection,
            READ_MODEL,
            "tracker_bench",
            EventCodec(Subjects(pool, SystemClock())),
            target,
            LogReader(pool),
        ):
            reached = position
        elapsed = time.perf_counter() - started
    return Row("project (tracker)", reached / elapsed, "events/s", ">= 30,000 events/s")
