"""Tables of the tracker in a real database, and telemetry as the SDK makes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import epochal_proto.v1 as pb
from epochal.columns import Points, encode_log_lines, encode_points
from epochal_kernel.clock import SystemClock
from epochal_kernel.ids import SystemIds
from epochal_kernel.log.appender import Appender
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Pool, connect
from epochal_kernel.projections.store import prepare
from epochal_kernel.signals import LogSignal
from epochal_tracker.projections import READ_MODEL
from google.protobuf.message import Message

PROJECT = "orgs/acme/projects/vision"
RUN_ID = UUID("0193a000-0000-7000-8000-000000000001")
PRODUCER = UUID("0193a000-0000-7000-8000-00000000000a")

Logged = tuple[int, int, float]
"""Step, time in microseconds, value."""


@asynccontextmanager
async def tracker_tables(url: str) -> AsyncIterator[Pool]:
    """A pool that sees the tracker's tables and an empty read model."""
    async with await connect(url, name="test") as pool, pool.acquire() as connection:
        await migrate(connection, "tracker", "epochal_tracker")
        live = await prepare(connection, READ_MODEL)
    async with await connect(url, name="test", search_path=f"{live.schema}, tracker") as pool:
        yield pool


@asynccontextmanager
async def running_ledger(pool: Pool) -> AsyncIterator[Ledger]:
    """A ledger over the pool's database, whose appender runs."""
    async with pool.acquire() as connection:
        await migrate(connection, "log", "epochal_kernel.log")
    subjects = Subjects(pool, SystemClock())
    appender = Appender(pool, LogSignal(), SystemIds(), SystemClock(), subjects)
    appending = asyncio.create_task(appender.run())
    try:
        yield Ledger(pool, appender, EventCodec(subjects))
    finally:
        appender.close()
        await appending


async def logged_events(pool: Pool) -> list[Message]:
    """All events of the log, in order."""
    codec = EventCodec(Subjects(pool, SystemClock()))
    rows = await pool.fetch("SELECT type, payload, position FROM log.event ORDER BY position")
    return [await codec.decode_payload(*row) for row in rows]


async def add_run(
    pool: Pool, run: UUID, status: int, *, project: str = PROJECT, end: datetime | None = None
) -> None:
    """Put a run into the view, with nothing in it but this."""
    columns = await pool.fetch(
        "SELECT a.attname, format_type(a.atttypid, -1), a.attnotnull FROM pg_attribute a "
        "WHERE a.attrelid = 'run'::regclass AND a.attnum > 0"
    )
    known = {"run_id": run, "project": project, "status": status, "end_time": end}
    empty = {
        "text": "",
        "bigint": 0,
        "jsonb": "{}",
        "boolean": False,
        "bytea": b"",
        "timestamp with time zone": datetime.now(UTC),
    }
    values = {
        name: known.get(name, empty.get(kind) if needed else None) for name, kind, needed in columns
    }
    places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
    await pool.execute(f"INSERT INTO run ({', '.join(values)}) VALUES ({places})", *values.values())


def column(metric: str, logged: Sequence[Logged]) -> pb.PointColumn:
    steps, times, values = zip(*logged, strict=True)
    return encode_points(Points.of(metric, steps, times, values))


def points_batch(
    number: int,
    columns: Sequence[pb.PointColumn],
    *,
    run: UUID = RUN_ID,
    producer: UUID = PRODUCER,
) -> pb.TelemetryBatch:
    return pb.TelemetryBatch(
        run=f"{PROJECT}/runs/{run}",
        producer=str(producer),
        epoch=1,
        batch=number,
        kind=pb.TELEMETRY_KIND_POINTS,
        payload=pb.PointColumns(columns=columns).SerializeToString(),
    )


def log_batch(
    number: int, texts: Sequence[str], *, run: UUID = RUN_ID, producer: UUID = PRODUCER
) -> pb.TelemetryBatch:
    lines = encode_log_lines([pb.LogLine(text=text) for text in texts], 0)
    return pb.TelemetryBatch(
        run=f"{PROJECT}/runs/{run}",
        producer=str(producer),
        epoch=1,
        batch=number,
        kind=pb.TELEMETRY_KIND_LOGS,
        payload=lines.SerializeToString(),
    )
