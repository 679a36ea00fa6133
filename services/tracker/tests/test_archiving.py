"""Telemetry goes to the object store before it may go at all, and comes back as it was."""

from __future__ import annotations

import hashlib
import math
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from archive_world import DAYS, FULL_BYTES, TODAY, ArchiveWorld, ago_us, opened
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import DataLoss
from epochal_tracker.domain.archiving import read
from epochal_tracker.joining import joined
from epochal_tracker.objects import object_name
from epochal_tracker.restoring import Restorer
from epochal_tracker.store.archiving import ArchiveStore
from epochal_tracker.store.joining import NEWEST, JoinStore
from epochal_tracker.store.keeping import RetentionStore
from tracker_world import PROJECT, column, log_batch, points_batch

ARCHIVING = [
    "archive.after_put",
    "archive.after_event",
    "archive.after_cursor",
    "archive.before_delete",
]
BATCHES = 30
ARCHIVE = pb.AT_EXPIRY_ARCHIVE


@pytest_asyncio.fixture(loop_scope="session")
async def world(database: str, tmp_path: Path) -> AsyncIterator[ArchiveWorld]:
    async with opened(database, tmp_path) as made:
        yield made


async def archiving(world: ArchiveWorld) -> None:
    await world.retention(
        metrics_days=DAYS,
        metrics_then=ARCHIVE,
        system_metrics_days=DAYS,
        system_metrics_then=ARCHIVE,
        logs_days=DAYS,
        logs_then=ARCHIVE,
    )


async def logged_run(world: ArchiveWorld, days: float = 20) -> UUID:
    """A run that logged points and output in turns, with values of every kind."""
    run = await world.ended_run(days - 1)
    at = ago_us(days)
    for number in range(1, BATCHES + 1):
        if number % 3 == 0:
            await world.ingest(log_batch(number, [f"line {number}", "über"], run=run))
            continue
        value = {1: math.nan, 2: math.inf, 4: -0.0}.get(number, number / 7)
        steps = [(number * 100 + n, at + n * 37, value * n) for n in range(40)]
        columns = [column(name, steps) for name in ("loss", "system/cpu")]
        await world.ingest(points_batch(number, columns, run=run))
    return run


def parts(world: ArchiveWorld, events: list[pb.TelemetryArchived]) -> list[bytes]:
    return [(world.folder / object_name(one.sha256)).read_bytes() for one in events]


async def test_sealed_telemetry_is_archived_at_once_and_deleted_when_its_days_are_over(
    world: ArchiveWorld,
) -> None:
    await archiving(world)
    run = await logged_run(world, days=5)
    root = await world.seal(run, BATCHES)
    before = await world.rows(run)
    await world.sweep()
    assert await world.rows(run) == before, "its days are not over"
    told = await world.told(pb.TelemetryArchived)
    points = [one for one in told if one.kind == pb.TELEMETRY_KIND_POINTS]
    lines = [one for one in told if one.kind == pb.TELEMETRY_KIND_LOGS]
    assert len(points) > 2, "objects are of bounded size"
    assert all(one.size_bytes < 4 * FULL_BYTES for one in points)
    assert (sum(one.points for one in points), sum(one.log_lines for one in lines)) == (1600, 20)
    assert {(one.sealed, one.tree_size, one.merkle_root) for one in told} == {(True, BATCHES, root)}
    assert not any(one.altered for one in told), "every batch is as it came"
    for kind in (points, lines):
        ranges = [(one.first_batch, one.last_batch) for one in kind]
        assert ranges[0][0] == 1
        assert ranges[-1][1] == BATCHES
        assert all(right[0] == left[1] + 1 for left, right in pairwise(ranges))
    for event, data in zip(told, parts(world, told), strict=True):
        assert hashlib.sha256(data).digest() == event.sha256
        assert read(data).root == root
    await world.sweep(TODAY + timedelta(days=20))
    assert await world.rows(run) == ([], [])
    assert len(await world.told(pb.TelemetryArchived)) == len(told), "once"


@pytest.mark.faults
@pytest.mark.parametrize("name", ARCHIVING)
async def test_a_tracker_killed_while_it_archives_loses_nothing_and_makes_up_for_it(
    world: ArchiveWorld, name: str
) -> None:
    await archiving(world)
    run = await logged_run(world)
    root = await world.seal(run, BATCHES)
    before = await world.rows(run)
    times = 1 if name == "archive.before_delete" else 2
    assert await world.run({name: f"kill@{times}"}) == -signal.SIGKILL
    assert await world.rows(run) == before, "nothing went before all is told"
    await world.project()
    await world.sweep()
    assert await world.rows(run) == ([], [])
    told = await world.told(pb.TelemetryArchived)
    for kind in (pb.TELEMETRY_KIND_POINTS, pb.TELEMETRY_KIND_LOGS):
        here = [one for one in told if one.kind == kind]
        kept = [one.batch for data in parts(world, here) for one in read(data).batches]
        assert kept == list(range(1, BATCHES + 1)), "each batch once"
        assert all(read(data).root == root for data in parts(world, here))


async def test_with_the_store_away_nothing_is_deleted_and_all_is_made_up_for(
    world: ArchiveWorld,
) -> None:
    await archiving(world)
    run = await logged_run(world)
    await world.seal(run, BATCHES)
    before = await world.rows(run)
    (world.folder / "sha256").write_text("a file where a folder should be")
    await world.sweep()
    assert await world.rows(run) == before
    assert await world.told(pb.TelemetryArchived) == []
    assert await world.told(pb.TelemetryExpired) == []
    (world.folder / "sha256").unlink()
    await world.sweep()
    assert await world.rows(run) == ([], [])


async def test_what_was_never_sealed_is_archived_under_a_tree_of_its_own_when_it_is_old(
    world: ArchiveWorld,
) -> None:
    await archiving(world)
    young, old = await logged_run(world, days=5), await logged_run(world)
    await world.sweep()
    told = await world.told(pb.TelemetryArchived)
    assert {one.run for one in told} == {f"{PROJECT}/runs/{old}"}
    assert not any(one.sealed for one in told)
    for event, data in zip(told, parts(world, told), strict=True):
        assert read(data).root == event.merkle_root
    assert await world.rows(old) == ([], [])
    assert (await world.rows(young))[0] != []
    # A run that goes on is not archived, nor is anything of it deleted.
    await world.pool.execute("UPDATE run SET end_time = NULL WHERE run_id = $1", young)
    before = await world.rows(young)
    await world.sweep(TODAY + timedelta(days=30))
    assert await world.rows(young) == before


async def test_one_class_that_is_deleted_waits_until_the_other_is_archived(
    world: ArchiveWorld,
) -> None:
    """A batch is archived whole: its system metrics are in what its seal is over."""
    await world.retention(
        metrics_days=300, metrics_then=ARCHIVE, system_metrics_days=DAYS, logs_days=DAYS
    )
    run = await logged_run(world)
    await world.seal(run, BATCHES)
    await world.sweep()
    points, lines = await world.rows(run)
    assert {row[2] for row in points} == {"loss"}
    assert lines == [], "output is deleted, as was said"
    told = await world.told(pb.TelemetryArchived)
    assert {one.kind for one in told} == {pb.TELEMETRY_KIND_POINTS}
    assert sum(one.points for one in told) == 1600
    assert not any(one.altered for one in told)


async def test_small_chunks_are_joined_only_after_they_are_archived(world: ArchiveWorld) -> None:
    await archiving(world)
    run = await world.ended_run(1)
    count = NEWEST + 80
    for number in range(1, count + 1):
        points = [(number, ago_us(2) + number, 0.5)]
        await world.ingest(points_batch(number, [column("loss", points)], run=run))
    joining = JoinStore(world.pool)
    assert await joining.loose(9) == []
    await world.seal(run, count)
    await world.sweep()
    assert await joining.loose(9) == [(run, "loss")]
    assert await joining.join(run, "loss", joined) == 80
    await world.sweep(TODAY + timedelta(days=30))
    assert await world.rows(run) == ([], [])
    told = await world.told(pb.TelemetryArchived)
    assert (sum(one.points for one in told), sum(one.altered for one in told)) == (count, 0)


async def test_what_was_joined_before_a_project_archived_is_kept_and_said_to_be_altered(
    world: ArchiveWorld,
) -> None:
    run = await world.ended_run()
    count = NEWEST + 80
    for number in range(1, count + 1):
        points = [(number, ago_us(20) + number, 0.5)]
        await world.ingest(points_batch(number, [column("loss", points)], run=run))
    await JoinStore(world.pool).join(run, "loss", joined)
    await world.seal(run, count)
    await archiving(world)
    await world.sweep()
    told = await world.told(pb.TelemetryArchived)
    assert (sum(one.points for one in told), sum(one.altered for one in told)) == (count, 1)
    (altered,) = [one for data in parts(world, told) for one in read(data).batches if one.altered]
    assert pb.PointColumns.FromString(altered.payload or b"").columns[0].points == 80
    assert await world.rows(run) == ([], [])


async def test_hashes_that_are_not_those_sealed_stop_archive_and_deletion(
    world: ArchiveWorld,
) -> None:
    await archiving(world)
    run, other = await logged_run(world), await logged_run(world)
    for one in (run, other):
        await world.seal(one, BATCHES)
    await world.pool.execute(
        "UPDATE tracker.batch SET sha256 = $2 WHERE run_id = $1 AND batch = 7", run, bytes(32)
    )
    before = await world.rows(run)
    await world.sweep()
    assert await world.rows(run) == before
    assert await world.rows(other) == ([], []), "others go on"
    told = await world.told(pb.TelemetryArchived)
    assert {one.run for one in told} == {f"{PROJECT}/runs/{other}"}


async def test_a_project_with_much_to_archive_lets_others_have_their_turn(
    world: ArchiveWorld,
) -> None:
    await archiving(world)
    runs = [await logged_run(world) for _ in range(3)]
    for run in runs:
        await world.seal(run, BATCHES)
    # One of them can never be archived: it is passed, and not tried for ever.
    await world.pool.execute(
        "UPDATE tracker.batch SET sha256 = $2 WHERE run_id = $1 AND batch = 1", runs[0], bytes(32)
    )
    archiver = world.archiver(most=1)
    kept = await RetentionStore(world.pool).retention(PROJECT)
    archived: list[set[str]] = []
    for more in (True, True, False):
        assert await archiver.archive(kept, TODAY) is more
        archived.append({one.run[-36:] for one in await world.told(pb.TelemetryArchived)})
    assert [len(one) for one in archived] == [1, 2, 2]
    assert archived[-1] == {str(run) for run in runs[1:]}


async def test_a_refused_batch_is_in_the_archive_by_its_hash(world: ArchiveWorld) -> None:
    await archiving(world)
    run = await world.ended_run()
    await world.ingest(
        points_batch(1, [column("loss", [(1, ago_us(20), 1.0)])], run=run),
        points_batch(2, [column("\0", [(1, ago_us(20), 1.0)])], run=run),
    )
    root = await world.seal(run, 2)
    await world.sweep()
    (told,) = await world.told(pb.TelemetryArchived)
    part = read(parts(world, [told])[0])
    assert [one.payload is None for one in part.batches] == [False, True]
    assert part.root == root


async def test_the_archive_of_a_purged_run_goes_with_it(world: ArchiveWorld) -> None:
    await archiving(world)
    run, other = await logged_run(world), await logged_run(world)
    for one in (run, other):
        await world.seal(one, BATCHES)
    await world.sweep()
    told = await world.told(pb.TelemetryArchived)
    mine = sorted(one.sha256 for one in told if one.run.endswith(str(run)))
    await world.tell(run, f"{PROJECT}/runs/{run}", pb.RunPurged(run=f"{PROJECT}/runs/{run}"))
    await world.sweep()
    (gone,) = await world.told(pb.ArchiveDeleted)
    assert sorted(gone.digests) == mine
    await world.keeper().delete_objects()
    assert sorted(world.gateway.asked) == mine
    await world.sweep()
    assert len(await world.told(pb.ArchiveDeleted)) == 1
    assert await world.pool.fetchval("SELECT count(*) FROM archive WHERE run_id = $1", run) == 0


@pytest.mark.parametrize("place", [0, 40, 200, -1, -40])
async def test_a_flipped_byte_is_found(world: ArchiveWorld, place: int) -> None:
    await archiving(world)
    run = await logged_run(world)
    await world.seal(run, BATCHES)
    await world.sweep()
    (row, *_) = await ArchiveStore(world.pool).objects(run, 0, 9)
    path = world.folder / object_name(row.sha256)
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 1
    path.write_bytes(bytes(damaged))
    restorer = Restorer(ArchiveStore(world.pool), world.objects, SystemClock())
    batch = r"batch \d+ " if place < 0 else ""
    with pytest.raises(DataLoss, match=f"archive object {row.sha256.hex()}: .*{batch}"):
        await restorer.part(row)
    path.unlink()
    with pytest.raises(DataLoss, match="has lost"):
        await restorer.part(row)


async def test_points_of_a_producer_that_counts_no_odd_values_are_proved_too(
    world: ArchiveWorld,
) -> None:
    await archiving(world)
    run = await world.ended_run()
    plain = column("loss", [(1, ago_us(20), 1.0), (2, ago_us(20), math.nan)])
    plain.ClearField("odd")
    await world.ingest(points_batch(1, [plain], run=run))
    await world.seal(run, 1)
    await world.sweep()
    (told,) = await world.told(pb.TelemetryArchived)
    assert told.altered == 0
