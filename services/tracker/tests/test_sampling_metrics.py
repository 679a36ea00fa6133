"""Sampling many series at once, on real PostgreSQL, against a plain sort."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_kernel.errors import InvalidArgument
from epochal_kernel.ids import SystemIds
from epochal_kernel.postgres import Pool
from epochal_kernel.rpc.context import CallContext
from epochal_tracker.parsing import once, parse
from epochal_tracker.sampling import Wanted, sample
from epochal_tracker.services.sampling import MAX_CURSORS, Sampling
from epochal_tracker.store.ingest import IngestStore
from epochal_tracker.store.telemetry import TelemetryStore
from tracker_world import PRODUCER, PROJECT, column, points_batch, tracker_tables

NOW_US = int(datetime.now(UTC).timestamp() * 1e6)
RUNS = [UUID(int=number, version=4) for number in range(1, 5)]


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[Pool]:
    async with tracker_tables(database) as pool:
        yield pool


async def ingest(pool: Pool, *batches: pb.TelemetryBatch) -> None:
    today = datetime.now(UTC).date()
    parsed = once([parse(one.SerializeToString(), today) for one in batches])
    await IngestStore(pool).ingest(
        [one.batch for one in parsed], [chunk for one in parsed for chunk in one.chunks], []
    )


def logged_points(chosen: random.Random) -> list[list[tuple[int, int, float]]]:
    """Chunks of one series in step order, some of them of a single point."""
    chunks, step = [], chosen.randrange(3)
    for _ in range(chosen.randrange(1, 6)):
        size = chosen.choice([1, 1, 2, 7])
        chunks.append([(step + n, NOW_US + step + n, chosen.random()) for n in range(size)])
        step += size
    return chunks


async def test_each_series_gives_its_newest_points_since_its_step(pool: Pool) -> None:
    chosen = random.Random(3)
    series = {(run, metric): logged_points(chosen) for run in RUNS for metric in ("loss", "acc")}
    await ingest(
        pool,
        *(
            points_batch(number, [column(metric, chunk)], run=run)
            for (run, metric), chunks in series.items()
            for number, chunk in enumerate(chunks, start=1 if metric == "loss" else 100)
        ),
    )
    wanted = [Wanted(run, metric, chosen.randrange(-2, 12)) for run, metric in series] + [
        Wanted(RUNS[0], "none", 0),
        Wanted(RUNS[0], "loss", 0),
        Wanted(RUNS[0], "loss", 0),
    ]
    for limit in (1, 3, 1000):
        found = await sample(TelemetryStore(pool), wanted, limit)
        for asked, one in zip(wanted, found, strict=True):
            chunks = series.get((asked.run_id, asked.metric), [])
            every = [(step, value) for chunk in chunks for step, _, value in chunk]
            newest = [point for point in every if point[0] >= asked.from_step][-limit:]
            assert list(zip(one.steps, one.values, strict=True)) == newest


async def test_of_one_step_the_later_point_is_last(pool: Pool) -> None:
    run = UUID(int=9, version=4)
    await ingest(
        pool,
        points_batch(1, [column("loss", [(5, NOW_US, 1.0)])], run=run, producer=PRODUCER),
        points_batch(2, [column("loss", [(5, NOW_US + 1, 2.0)])], run=run, producer=PRODUCER),
    )
    (found,) = await sample(TelemetryStore(pool), [Wanted(run, "loss", 5)], 10)
    assert found.values == [1.0, 2.0]


async def test_the_handler_answers_in_the_order_asked_and_refuses_too_many(pool: Pool) -> None:
    run = UUID(int=10, version=4)
    await ingest(
        pool, points_batch(1, [column("loss", [(1, NOW_US, 1.0), (2, NOW_US, 2.0)])], run=run)
    )
    ids = SystemIds()
    context = CallContext("services/scheduler", "", ids.uuid7(), ids)
    cursors = [
        pb.MetricCursor(run=f"{PROJECT}/runs/{run}", metric=metric, from_step=2)
        for metric in ("none", "loss")
    ]
    handler = Sampling(TelemetryStore(pool))
    answer = await handler.sample_metrics(pb.SampleMetricsRequest(cursors=cursors), context)
    assert [list(one.steps) for one in answer.samples] == [[], [2]]
    assert list(answer.samples[1].values) == [2.0]
    many = pb.SampleMetricsRequest(cursors=cursors[:1] * (MAX_CURSORS + 1))
    with pytest.raises(InvalidArgument, match="ask in parts"):
        await handler.sample_metrics(many, context)
