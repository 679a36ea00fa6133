"""What is archived comes back as it was, stays as long as was said, and goes again by itself."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from archive_world import DAYS, TODAY, ArchiveWorld, ago_us, opened
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound
from epochal_kernel.ids import SystemIds
from epochal_kernel.rpc.context import CallContext
from epochal_tracker.domain.keeping import check_retention
from epochal_tracker.objects import object_name
from epochal_tracker.services.archiving import Archives
from epochal_tracker.services.curves import Curves
from epochal_tracker.services.lookup import RunLookup
from epochal_tracker.services.tracking import Tracking
from epochal_tracker.signals import RunBells
from epochal_tracker.store.archiving import ArchiveStore
from epochal_tracker.store.curves import CurveStore
from epochal_tracker.store.runs import RunStore
from epochal_tracker.store.telemetry import TelemetryStore
from tracker_world import PRODUCER, PROJECT, column, log_batch, points_batch

BATCHES = 12
ARCHIVE = pb.AT_EXPIRY_ARCHIVE
SECOND = UUID("0193a000-0000-7000-8000-00000000000b")
SUMMARY = ("metric", "last", "last_step", "last_time_us", "min", "max", "points")
RESTORING = ["restore.before_commit"]


@pytest_asyncio.fixture(loop_scope="session")
async def world(database: str, tmp_path: Path) -> AsyncIterator[ArchiveWorld]:
    async with opened(database, tmp_path) as made:
        await made.retention(
            metrics_days=DAYS, metrics_then=ARCHIVE, logs_days=DAYS, logs_then=ARCHIVE
        )
        yield made


def context() -> CallContext:
    ids = SystemIds()
    return CallContext("users/ann", "", ids.uuid7(), ids)


async def archived(world: ArchiveWorld) -> tuple[UUID, tuple[list[object], list[object]]]:
    """A run of two producers of which all is archived and nothing is here, and what was here."""
    run = await world.ended_run()
    for producer in (PRODUCER, SECOND):
        for number in range(1, BATCHES + 1):
            at, value = ago_us(20 + number / 8), float("nan") if number == 4 else number / 3
            steps = [(number * 50 + n, at + n, value + n) for n in range(50)]
            batch = (
                log_batch(number, [f"line {number}"], run=run, producer=producer)
                if number % 4 == 3
                else points_batch(number, [column("loss", steps)], run=run, producer=producer)
            )
            await world.ingest(batch)
        if producer == PRODUCER:
            await world.seal(run, BATCHES)
    before = await world.rows(run)
    await world.sweep()
    assert await world.rows(run) == ([], [])
    return run, before


def handlers(world: ArchiveWorld) -> Archives:
    lookup = RunLookup(RunStore(world.pool), world.progress)
    return Archives(
        world.ledger,
        lookup,
        ArchiveStore(world.pool),
        world.objects,
        world.progress,
        SystemClock(),
    )


async def restore(world: ArchiveWorld, run: UUID, days: int = 3) -> pb.RestoreArchiveResponse:
    """Restore as a caller does, with the view following the log."""
    following = asyncio.create_task(follow(world))
    request = pb.RestoreArchiveRequest(run=f"{PROJECT}/runs/{run}", days=days)
    try:
        steps = [step async for step in handlers(world).restore_archive(request, context())]
    finally:
        following.cancel()
    return steps[-1]


async def follow(world: ArchiveWorld) -> None:
    while True:
        await world.progress.wait_awaited(1.0)
        await world.project()


async def test_what_comes_back_is_what_went_and_goes_again_without_a_second_archive(
    world: ArchiveWorld,
) -> None:
    run, before = await archived(world)
    objects = len(await world.told(pb.TelemetryArchived))
    last = await restore(world, run)
    assert await world.rows(run) == before
    assert (last.objects, last.checked, last.restored) == (objects, objects, objects)
    assert (last.points, last.log_lines) == (2 * 9 * 50, 2 * 3)
    (told,) = await world.told(pb.TelemetryRestored)
    assert told.until == f"{TODAY + timedelta(days=3)}"
    await restore(world, run)
    assert await world.rows(run) == before, "twice is once"
    for days in (0, 3):
        await world.sweep(TODAY + timedelta(days=days))
        assert await world.rows(run) == before, "it stays as long as was said"
    await world.sweep(TODAY + timedelta(days=4))
    assert await world.rows(run) == ([], [])
    assert len(await world.told(pb.TelemetryArchived)) == objects
    await restore(world, run)
    assert await world.rows(run) == before


async def test_a_damaged_object_is_found_before_any_row_is_touched(world: ArchiveWorld) -> None:
    run, _ = await archived(world)
    row = (await ArchiveStore(world.pool).objects(run, 0, 99))[-1]
    path = world.folder / object_name(row.sha256)
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(bytes(data))
    with pytest.raises(DataLoss, match=f"{row.sha256.hex()}: batch 11 "):
        await restore(world, run)
    assert await world.rows(run) == ([], [])
    assert await world.told(pb.TelemetryRestored) == []


async def test_two_do_not_restore_one_run_at_once(world: ArchiveWorld) -> None:
    run, before = await archived(world)
    async with ArchiveStore(world.pool).restoring(run):
        with pytest.raises(FailedPrecondition, match="being restored by somebody else"):
            await restore(world, run)
    await restore(world, run)
    assert await world.rows(run) == before


@pytest.mark.faults
@pytest.mark.parametrize("name", RESTORING)
async def test_a_tracker_killed_while_it_restores_leaves_all_or_nothing(
    world: ArchiveWorld, name: str
) -> None:
    run, before = await archived(world)
    assert await world.run({name: "kill"}, f"restore {run}") == -signal.SIGKILL
    assert await world.rows(run) == ([], [])
    await restore(world, run)
    assert await world.rows(run) == before


async def test_readers_are_told_where_archived_telemetry_is(world: ArchiveWorld) -> None:
    run, _ = await archived(world)
    name = f"{PROJECT}/runs/{run}"
    runs = RunStore(world.pool)
    lookup = RunLookup(runs, world.progress)
    tracking = Tracking(world.ledger, lookup, TelemetryStore(world.pool), RunBells())
    curves = Curves(lookup, runs, CurveStore(world.pool), world.progress, RunBells())
    series = pb.GetMetricSeriesRequest(run=name, metric="loss")
    lines = pb.ListLogLinesRequest(run=name)
    drawn = pb.QuerySeriesRequest(parent=PROJECT, runs=[str(run)])
    hint = rf"archived on {TODAY}.*epochal runs archive restore {run}"
    with pytest.raises(FailedPrecondition, match=hint):
        await tracking.get_metric_series(series, context())
    with pytest.raises(FailedPrecondition, match=hint):
        await tracking.list_log_lines(lines, context())
    with pytest.raises(FailedPrecondition, match=hint):
        await anext(tracking.tail_log_lines(pb.TailLogLinesRequest(run=name), context()))
    with pytest.raises(NotFound):
        await tracking.get_metric_series(
            pb.GetMetricSeriesRequest(run=name, metric="never"), context()
        )
    answer = await curves.query_series(drawn, context())
    assert (list(answer.curves), list(answer.archived)) == ([], [name])
    # It goes on: what is new is drawn, and that the rest is elsewhere is told all the same.
    third = UUID("0193a000-0000-7000-8000-00000000000c")
    news = [(9_000 + n, ago_us(0), 1.0) for n in range(3)]
    await world.ingest(points_batch(1, [column("loss", news)], run=run, producer=third))
    answer = await curves.query_series(drawn, context())
    assert [one.points for one in answer.curves] == [3]
    assert list(answer.archived) == [name]
    drawn.start_step = 9_000
    answer = await curves.query_series(drawn, context())
    assert ([one.points for one in answer.curves], list(answer.archived)) == ([3], [])
    drawn.ClearField("start_step")
    drawn.metrics.append("never")
    assert list((await curves.query_series(drawn, context())).archived) == []
    drawn.ClearField("metrics")
    await restore(world, run)
    assert len((await tracking.get_metric_series(series, context())).steps) == 2 * 9 * 50 + 3
    assert len((await tracking.list_log_lines(lines, context())).lines) == 2 * 3
    answer = await curves.query_series(drawn, context())
    assert (len(answer.curves), list(answer.archived)) == (1, [])
    nothing = pb.GetMetricSeriesRequest(run=name, metric="loss", start_step=10_000)
    assert list((await tracking.get_metric_series(nothing, context())).steps) == []


async def test_a_database_that_was_made_anew_from_the_log_gets_all_of_it_back(
    world: ArchiveWorld,
) -> None:
    run, before = await archived(world)
    name = f"{PROJECT}/runs/{run}"
    tables = ("metric_summary", "batch", "producer_cursor", "archive_cursor")
    queries = {
        table: f"SELECT * FROM tracker.{table} WHERE run_id = $1 ORDER BY 2, 3" for table in tables
    }
    there = {table: await world.pool.fetch(queries[table], run) for table in tables}
    for table in tables:
        await world.pool.execute(f"DELETE FROM tracker.{table} WHERE run_id = $1", run)
    runs = RunStore(world.pool)
    lookup = RunLookup(runs, world.progress)
    tracking = Tracking(world.ledger, lookup, TelemetryStore(world.pool), RunBells())
    curves = Curves(lookup, runs, CurveStore(world.pool), world.progress, RunBells())
    series = pb.GetMetricSeriesRequest(run=name, metric="loss")
    drawn = pb.QuerySeriesRequest(parent=PROJECT, runs=[str(run)], metrics=["loss"])
    with pytest.raises(FailedPrecondition, match="was archived on"):
        await tracking.get_metric_series(series, context())
    assert list((await curves.query_series(drawn, context())).archived) == [name]
    objects = len(await world.told(pb.TelemetryArchived))
    await world.sweep()
    await restore(world, run)
    assert await world.rows(run) == before
    assert len((await tracking.get_metric_series(series, context())).steps) == 2 * 9 * 50
    lines = await tracking.list_log_lines(pb.ListLogLinesRequest(run=name), context())
    assert len(lines.lines) == 2 * 3
    for table in tables:
        made = await world.pool.fetch(queries[table], run)
        if table == "metric_summary":
            (now,), (then,) = made, there[table]
            assert [now[key] for key in SUMMARY] == [then[key] for key in SUMMARY]
        else:
            assert made == there[table], table
    await world.sweep(TODAY + timedelta(days=30))
    assert await world.rows(run) == ([], [])
    assert len(await world.told(pb.TelemetryArchived)) == objects


async def test_objects_are_listed_in_pages_and_read_as_they_are_stored(
    world: ArchiveWorld,
) -> None:
    run, _ = await archived(world)
    name = f"{PROJECT}/runs/{run}"
    archives, found, token = handlers(world), [], ""
    while True:
        request = pb.ListArchiveRequest(run=name, page_size=2, page_token=token)
        page = await archives.list_archive(request, context())
        found += page.objects
        token = page.next_page_token
        if not token:
            break
    assert len(found) == len(await world.told(pb.TelemetryArchived)) > 3
    assert {(one.producer, one.sealed) for one in found} == {
        (str(PRODUCER), True),
        (str(SECOND), False),
    }
    for one in found:
        request_ = pb.ReadArchiveRequest(run=name, sha256=one.sha256)
        data = b"".join([piece.data async for piece in archives.read_archive(request_, context())])
        assert data == (world.folder / object_name(bytes.fromhex(one.sha256))).read_bytes()
    foreign = pb.ReadArchiveRequest(run=name, sha256="0" * 64)
    with pytest.raises(NotFound, match="no archive object"):
        await anext(archives.read_archive(foreign, context()))
    other = await world.ended_run()
    with pytest.raises(NotFound, match="nothing of"):
        await restore(world, other)


async def test_without_a_store_nothing_is_read(world: ArchiveWorld) -> None:
    run, _ = await archived(world)
    lookup = RunLookup(RunStore(world.pool), world.progress)
    store = ArchiveStore(world.pool)
    archives = Archives(world.ledger, lookup, store, None, world.progress, SystemClock())
    request = pb.RestoreArchiveRequest(run=f"{PROJECT}/runs/{run}")
    with pytest.raises(FailedPrecondition, match="EPOCHAL_OBJECT_STORE_URL"):
        await anext(archives.restore_archive(request, context()))


def test_what_can_not_be_archived_is_refused_when_it_is_asked_for() -> None:
    kept = pb.Retention(project=PROJECT, metrics_then=ARCHIVE, logs_days=3, logs_then=ARCHIVE)
    with pytest.raises(InvalidArgument, match="metrics: what is kept for ever"):
        check_retention(kept, has_store=True)
    kept.metrics_days = 5
    check_retention(kept, has_store=True)
    with pytest.raises(FailedPrecondition, match="no object store"):
        check_retention(kept, has_store=False)
    check_retention(pb.Retention(project=PROJECT, metrics_days=5), has_store=False)
