"""Tables of the tracker in a real database, and telemetry as the SDK makes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import epochal_proto.v1 as pb
from epochal.columns import Points, encode_log_lines, encode_points
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Pool, connect
from epochal_kernel.projections.store import prepare
from epochal_tracker.projections import READ_MODEL

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
