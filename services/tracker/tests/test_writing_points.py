"""Points without a spool: each call once, readable when answered, sealed when the run ends."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import InvalidArgument, ResourceExhausted
from epochal_kernel.ids import SystemIds
from epochal_kernel.postgres import Pool
from epochal_tracker import writing
from epochal_tracker.domain.tracking import TrackingAggregate, seal_unannounced
from epochal_tracker.merkle import tree_hash
from epochal_tracker.sealing import IDLE_S, Sealer
from epochal_tracker.series import MAX_STEP, MIN_STEP, SeriesReader
from epochal_tracker.signals import RunBells
from epochal_tracker.store.ingest import IngestStore
from epochal_tracker.store.telemetry import TelemetryStore
from epochal_tracker.store.writing import WriteStore
from epochal_tracker.writing import PointWriter
from tracker_world import add_run, running_ledger, tracker_tables


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[Pool]:
    async with tracker_tables(database) as pool:
        yield pool


def writer_of(pool: Pool) -> PointWriter:
    return PointWriter(WriteStore(pool, IngestStore(pool)), RunBells(), SystemClock())


@asynccontextmanager
async def running(writer: PointWriter) -> AsyncIterator[PointWriter]:
    task = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def point(metric: str, step: int, value: float, time_us: int | None = None) -> pb.MetricPoint:
    return pb.MetricPoint(metric=metric, step=step, value=value, time_us=time_us)


async def read(pool: Pool, run: UUID, metric: str) -> list[tuple[int, float]]:
    page = await SeriesReader(TelemetryStore(pool)).read(run, metric, MIN_STEP, MAX_STEP, 0, 10**6)
    return list(zip(page.points.steps.tolist(), page.points.values.tolist(), strict=True))


async def test_what_is_answered_is_there_to_read(pool: Pool) -> None:
    run = uuid4()
    async with running(writer_of(pool)) as writer:
        await writer.write(run, [point("loss", 2, 0.5), point("loss", 1, 0.75)], None)
        await writer.write(run, [point("loss", 2**60, math.inf), point("acc", -3, math.nan)], None)
    assert await read(pool, run, "loss") == [(1, 0.75), (2, 0.5), (2**60, math.inf)]
    ((step, value),) = await read(pool, run, "acc")
    assert step == -3
    assert math.isnan(value)
    acc, loss = await TelemetryStore(pool).summaries(run, "", 10)
    assert (loss.last, loss.last_step, loss.points) == (math.inf, 2**60, 3)
    assert (acc.metric, acc.points) == ("acc", 1)


async def test_the_same_point_twice_in_a_call_is_one(pool: Pool) -> None:
    run = uuid4()
    same = [point("m", 1, value, 5) for value in (0.0, -0.0, math.nan, 0.0, math.nan, 2.0)]
    async with running(writer_of(pool)) as writer:
        await writer.write(run, [*same, point("m", 1, 2.0, 6)], None)
    assert sorted(str(value) for _, value in await read(pool, run, "m")) == [
        "-0.0",
        "0.0",
        "2.0",
        "2.0",
        "nan",
    ]


async def test_a_request_that_comes_again_and_again_is_written_once(pool: Pool) -> None:
    run, request = uuid4(), uuid4()
    async with running(writer_of(pool)) as one, running(writer_of(pool)) as other:
        await asyncio.gather(
            *(who.write(run, [point("m", 1, 1.0)], request) for who in (one, other) * 5)
        )
        await one.write(run, [point("m", 1, 1.0)], uuid4())
    assert await read(pool, run, "m") == [(1, 1.0), (1, 1.0)]


async def test_trackers_at_once_number_batches_without_gap_or_repetition(pool: Pool) -> None:
    runs = [uuid4() for _ in range(4)]
    async with running(writer_of(pool)) as one, running(writer_of(pool)) as other:
        await asyncio.gather(
            *(
                who.write(run, [point("m", step, 1.0)], None)
                for step in range(20)
                for run in runs
                for who in (one, other)
            )
        )
    for run in runs:
        numbers = await pool.fetch(
            "SELECT b.batch, c.batch FROM tracker.batch b JOIN tracker.producer_cursor c "
            "USING (run_id, producer) WHERE b.run_id = $1 ORDER BY 1",
            run,
        )
        assert [tuple(row) for row in numbers] == [(n, 40) for n in range(1, 41)]
        assert len(await read(pool, run, "m")) == 40


async def test_a_call_that_cannot_be_stored_spoils_no_other(pool: Pool) -> None:
    run = uuid4()
    writer = writer_of(pool)
    good, bad = (
        asyncio.ensure_future(writer.write(run, [point(name, 1, 1.0)], None))
        for name in ("fine", "not\0fine")
    )
    async with running(writer):
        await good
        with pytest.raises(InvalidArgument):
            await bad
        await writer.write(run, [point("fine", 2, 2.0)], None)
    assert await read(pool, run, "fine") == [(1, 1.0), (2, 2.0)]


async def test_more_than_may_wait_is_refused(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "WAITING", 3)
    writer = writer_of(pool)
    waiting = asyncio.ensure_future(writer.write(uuid4(), [point("m", 1, 1.0)] * 2, None))
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted):
        await writer.write(uuid4(), [point("m", n, 1.0) for n in range(3)], None)
    async with running(writer):
        await waiting


async def test_the_tracker_seals_what_it_wrote_when_the_run_has_ended(pool: Pool) -> None:
    run, clock, ids = uuid4(), SystemClock(), SystemIds()
    store, telemetry = WriteStore(pool, IngestStore(pool)), TelemetryStore(pool)
    async with running_ledger(pool) as ledger:
        sealer = Sealer(ledger, store, telemetry, clock, ids)
        async with running(PointWriter(store, RunBells(), clock)) as writer:
            for step in range(3):
                await writer.write(run, [point("m", step, 1.0)], None)
            assert await store.sealable(IDLE_S, 9) == []
            over = datetime.now(UTC) + timedelta(seconds=1)
            await add_run(pool, run, pb.RUN_STATUS_SUCCEEDED, end=over)
            (first,) = await store.sealable(IDLE_S, 9)
            await sealer.seal(first)
            await sealer.seal(first)
            await writer.write(run, [point("m", 9, 9.0)], None)
            await pool.execute("UPDATE run SET end_time = end_time - interval '1 minute'")
            assert await store.sealable(IDLE_S, 9) == []
            (second,) = await store.sealable(0.0, 9)
            await sealer.seal(second)
            assert await store.sealable(0.0, 9) == []
        state, version = await ledger.load(TrackingAggregate(), run)
    assert version == 4
    assert {name: one.sealed_batch for name, one in state.producers.items()} == {
        str(first.producer): 3,
        str(second.producer): 1,
    }
    assert await read(pool, run, "m") == [(0, 1.0), (1, 1.0), (2, 1.0), (9, 9.0)]


async def test_a_seal_of_the_trackers_own_is_over_the_batches_it_stored(pool: Pool) -> None:
    run = uuid4()
    async with running(writer_of(pool)) as writer:
        for step in range(3):
            await writer.write(run, [point("m", step, 1.0), point("n", step, 1.0)], None)
    producer = await pool.fetchval("SELECT producer FROM tracker.server_producer")
    rows = await TelemetryStore(pool).batches(run, producer, 3)
    assert [row.points for row in rows] == [2, 2, 2]
    sealed = pb.TelemetrySealed(
        run="r",
        producer=str(producer),
        last_batch=3,
        merkle_root=tree_hash([row.sha256 for row in rows]),
    )
    opened, same = seal_unannounced(TrackingAggregate().initial(), sealed)
    assert isinstance(opened, pb.ProducerOpened)
    assert same == sealed
