"""Control append: 1, 16 and 128 writers, beside a raw batched INSERT of the same rows.

The raw peer inserts the finished rows (hashes and positions computed beforehand) in batches of the
size the appender reached, one transaction each, with the same indexes: what PostgreSQL can do when
nobody decides, checks versions, remembers commands or chains hashes.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.clock import SystemClock
from epochal_kernel.ids import Position, SystemIds, Version
from epochal_kernel.log.appender import Appender
from epochal_kernel.log.commands import Command, CommandContext, NewEvent, Stream
from epochal_kernel.log.reader import LogReader
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Pool, connect
from epochal_kernel.signals import LogSignal

from benchmarks.report import Row, spread_ms
from benchmarks.servers import durable_postgres

WRITERS = (1, 16, 128)
IDS = SystemIds()
RANDOM = random.Random(7)


async def run(seconds: float) -> list[Row]:
    """Measure appends, then the raw peer on the same rows."""
    rows: list[Row] = []
    async with durable_postgres() as url, opened_log(url) as (pool, appender):
        rows += [await measure(appender, writers, seconds) for writers in WRITERS]
        ratio_rows = await raw_insert(pool, seconds)
        rows += ratio_rows
        ours = next(row.value for row in rows if row.name == "128 writers")
        raw = ratio_rows[0].value
        rows.append(Row("128 writers / raw INSERT", ours / raw, "ratio", ">= 0.6"))
    return rows


@asynccontextmanager
async def opened_log(url: str) -> AsyncIterator[tuple[Pool, Appender]]:
    """A migrated log with an appender that runs."""
    pool = await connect(url, name="benchmark", max_size=4)
    async with pool.acquire() as connection:
        await migrate(connection, "log", "epochal_kernel.log")
    appender = Appender(pool, LogSignal(), IDS, SystemClock(), Subjects(pool, SystemClock()))
    running = asyncio.create_task(appender.run())
    try:
        yield pool, appender
    finally:
        appender.close()
        await running
        await pool.close()


def new_command() -> Command:
    """A command as big as a real RunCreated: about 600 bytes of payload."""
    run_id = UUID(int=RANDOM.getrandbits(128), version=4)
    name = f"orgs/acme/projects/vision/runs/{run_id}"
    event = pb.RunCreated(
        name=name,
        display_name="benchmark",
        kind=pb.RUN_KIND_JOB,
        creator="users/alice",
        compiled_json='{"kind":"job"}' * 30,
        spec_digest="sha256:" + "0" * 64,
    )
    command_id = IDS.uuid7()
    context = CommandContext(command_id, "acme", "users/alice", command_id, b"\0" * 32)
    return Command(context, Stream("run", run_id), Version(0), [NewEvent(event, name)])


async def measure(appender: Appender, writers: int, seconds: float) -> Row:
    """Let writers append as fast as they are answered."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def write() -> None:
        while (started := time.perf_counter()) < end:
            await appender.append(new_command())
            times.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(writers)))
    elapsed = time.perf_counter() - started
    target = ">= 15,000 events/s, p99 <= 25 ms" if writers == 128 else ""
    return Row(f"{writers} writers", len(times) / elapsed, "events/s", target, spread_ms(times))


async def raw_insert(pool: Pool, seconds: float) -> list[Row]:
    """Insert the same rows into a table with the same indexes, 128 at a time."""
    records = await LogReader(pool).page(Position(0), 50_000)
    columns = (
        "position, event_id, org_id, category, stream_id, version, type, payload, actor, resource, "
        "correlation_id, causation_id, traceparent, recorded_at, chain"
    )
    await pool.execute("CREATE TABLE raw_event (LIKE log.event INCLUDING INDEXES)")
    statement = (
        f"INSERT INTO raw_event ({columns}) SELECT * FROM unnest($1::bigint[], $2::uuid[], "
        "$3::text[], $4::text[], $5::uuid[], $6::int[], $7::text[], $8::bytea[], $9::text[], "
        "$10::text[], $11::uuid[], $12::uuid[], $13::text[], $14::timestamptz[], $15::bytea[])"
    )
    inserted = 0
    started = time.perf_counter()
    for first in range(0, len(records), 128):
        batch = records[first : first + 128]
        arrays = [[getattr(record, column) for record in batch] for column in columns.split(", ")]
        await pool.execute(statement, *arrays)
        inserted += len(batch)
        if time.perf_counter() - started > seconds:
            break
    elapsed = time.perf_counter() - started
    return [Row("raw batched INSERT, 128 a transaction", inserted / elapsed, "events/s")]
