"""What is old goes, whole days at once where nothing else is in them; what is needed stays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import FailedPrecondition
from epochal_kernel.ids import SystemIds
from epochal_kernel.leading import Leader
from epochal_kernel.postgres import Pool
from epochal_kernel.projections.rows import Rows
from epochal_kernel.rpc.context import CallContext
from epochal_testing.projecting import recorded
from epochal_tracker.domain.keeping import Holdings, purge
from epochal_tracker.keeping import DEAD, NEEDED, PURGED, RETENTIONS, KeepingProjector
from epochal_tracker.parsing import once, parse
from epochal_tracker.projections import ArtifactProjector
from epochal_tracker.retaining import Keeper
from epochal_tracker.rows import ARTIFACTS
from epochal_tracker.store.ingest import IngestStore
from epochal_tracker.store.keeping import RetentionStore
from epochal_tracker.store.telemetry import TelemetryStore
from epochal_tracker.store.traces import NewSpan, SpanRow, TraceStore
from epochal_tracker.telling import Teller
from epochal_tracker.trace_rows import TraceRow, trace_row
from tracker_world import (
    PRODUCER,
    PROJECT,
    add_run,
    column,
    log_batch,
    logged_events,
    points_batch,
    running_ledger,
    tracker_tables,
)

NOW = datetime.now(UTC)
TODAY = NOW.date()
OTHER = "orgs/acme/projects/other"


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[Pool]:
    async with tracker_tables(database) as pool:
        yield pool


class FakeGateway:
    """Deletes what it is asked to, but for those it was told to keep."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.keeps: set[bytes] = set()

    async def call(
        self, method: object, request: pb.DeleteObjectsRequest, context: CallContext
    ) -> pb.DeleteObjectsResponse:
        self.asked += request.digests
        return pb.DeleteObjectsResponse(deleted=[d for d in request.digests if d not in self.keeps])


def ago_us(days: int) -> int:
    return int((NOW - timedelta(days=days)).timestamp() * 1e6)


async def ingest(pool: Pool, *batches: pb.TelemetryBatch) -> None:
    parsed = once([parse(one.SerializeToString(), TODAY) for one in batches])
    await IngestStore(pool).ingest(
        [one.batch for one in parsed],
        [chunk for one in parsed for chunk in one.chunks],
        [one.log for one in parsed if one.log],
    )


async def partitions(pool: Pool) -> set[str]:
    rows = await pool.fetch(
        "SELECT right(c.relname, 8) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = 'tracker.metric_chunk'::regclass"
    )
    return {row[0] for row in rows}


def day(days: int) -> str:
    return f"{TODAY - timedelta(days=days):%Y%m%d}"


async def left(pool: Pool, run: UUID) -> list[tuple[str, int]]:
    rows = await pool.fetch(
        "SELECT metric, $2::date - day FROM tracker.metric_chunk WHERE run_id = $1 ORDER BY 1, 2",
        run,
        TODAY,
    )
    return [tuple(row) for row in rows]


async def test_old_points_go_by_kind_and_project_and_whole_days_at_once(pool: Pool) -> None:
    mine, needed, foreign = uuid4(), uuid4(), uuid4()
    over = NOW - timedelta(days=20)
    for run, project in ((mine, PROJECT), (needed, PROJECT), (foreign, OTHER)):
        await add_run(pool, run, pb.RUN_STATUS_SUCCEEDED, project=project, end=over)
    await pool.execute("INSERT INTO needed_run VALUES ($1, 'm/versions/1', '')", needed)
    for number, days in enumerate((1, 5, 12, 30), start=1):
        columns = [
            column(name, [(number, ago_us(days), 1.0), (number, ago_us(days), 2.0)])
            for name in ("loss", "system/cpu")
        ]
        await ingest(pool, points_batch(number, columns, run=mine))
        if days in (12,):
            await ingest(pool, points_batch(number, columns, run=needed))
        if days in (5,):
            await ingest(pool, points_batch(number, columns, run=foreign))
    await ingest(pool, log_batch(5, ["a", "b"], run=mine), log_batch(5, ["c"], run=foreign))
    await pool.execute("INSERT INTO retention VALUES ($1, 10, 3, 7, 0, 0)", PROJECT)
    gateway = FakeGateway()
    async with running_ledger(pool) as ledger:
        keeper = keeper_of(pool, Teller(ledger, SystemIds()), gateway)
        await keeper.sweep(TODAY)
        await keeper.sweep(TODAY)
    assert await left(pool, mine) == [("loss", 1), ("loss", 5), ("system/cpu", 1)]
    assert await left(pool, needed) == [("loss", 12), ("system/cpu", 12)]
    assert await left(pool, foreign) == [("loss", 5), ("system/cpu", 5)]
    assert await partitions(pool) == {day(1), day(5), day(12)}, "the space is given back"
    told = [one for one in await logged_events(pool) if isinstance(one, pb.TelemetryExpired)]
    assert sorted((one.kind, one.before, one.runs, one.items) for one in told) == sorted(
        [
            ("metrics", f"{TODAY - timedelta(days=11)}", 1, 2),
            ("metrics", f"{TODAY - timedelta(days=29)}", 1, 2),
            ("system_metrics", f"{TODAY - timedelta(days=4)}", 1, 2),
            ("system_metrics", f"{TODAY - timedelta(days=11)}", 1, 2),
            ("system_metrics", f"{TODAY - timedelta(days=29)}", 1, 2),
            ("logs", f"{TODAY - timedelta(days=7)}", 1, 2),
        ]
    )
    telemetry = TelemetryStore(pool)
    summaries = await telemetry.summaries(mine, "", 9)
    assert [(one.metric, one.points) for one in summaries] == [("loss", 8), ("system/cpu", 8)]
    assert len(await telemetry.batches(mine, PRODUCER, 9)) == 5, "seals verify as before"
    assert await telemetry.log_producers(foreign) == [PRODUCER]
    assert await telemetry.log_producers(mine) == []
    # What comes late into a day that is gone is stored, and goes with the next sweep.
    await ingest(pool, points_batch(6, [column("loss", [(9, ago_us(30), 1.0)])], run=mine))
    assert ("loss", 30) in await left(pool, mine)


def keeper_of(pool: Pool, teller: Teller, gateway: FakeGateway) -> Keeper:
    clock = SystemClock()
    return Keeper(
        RetentionStore(pool),
        teller,
        gateway,  # type: ignore[arg-type]  # all that is asked of it
        clock,
        SystemIds(),
        Leader(pool, clock, "test"),
        min_age_s=0,
    )


async def test_bytes_go_when_no_artifact_has_them_and_are_asked_for_until_gone(pool: Pool) -> None:
    run, old = uuid4(), NOW - timedelta(days=90)
    await add_run(pool, run, pb.RUN_STATUS_SUCCEEDED, end=old)
    digests = [bytes([n]) * 32 for n in range(3)]
    for number, digest in enumerate(digests):
        await pool.execute(
            "INSERT INTO artifact VALUES ($1, $2, $3, 1, 'file', '', $4)",
            run,
            f"f{number}",
            digest,
            old if number else NOW,
        )
    await pool.execute("INSERT INTO retention VALUES ($1, 0, 0, 0, 30, 0)", PROJECT)
    gateway = FakeGateway()
    async with running_ledger(pool) as ledger:
        keeper = keeper_of(pool, Teller(ledger, SystemIds()), gateway)
        await keeper.sweep(TODAY)
        (event,) = await logged_events(pool)
        assert isinstance(event, pb.ArtifactsDeleted)
        assert (list(event.paths), list(event.digests)) == (["f1", "f2"], digests[1:])
        for digest in (*digests[1:], digests[0]):
            await pool.execute("INSERT INTO dead_object VALUES ($1, 7)", digest)
        await pool.execute("DELETE FROM artifact WHERE path <> 'f0'")
        gateway.keeps = {digests[1]}
        await keeper.delete_objects()
        assert sorted(gateway.asked) == digests[1:], "one is in use"
        gateway.keeps, gateway.asked = set(), []
        await keeper.delete_objects()
        await keeper.delete_objects()
        assert gateway.asked == [digests[1]]


async def test_a_purged_run_has_nothing_left_even_of_what_comes_late(pool: Pool) -> None:
    run, other = uuid4(), uuid4()
    for one in (run, other):
        await ingest(
            pool,
            points_batch(1, [column("loss", [(1, ago_us(0), 1.0)])], run=one),
            log_batch(2, ["line"], run=one),
        )
    store = RetentionStore(pool)
    assert await store.holdings(run) == (1, 1, 0)
    await store.purge(run)
    assert await store.holdings(run) == (0, 0, 0)
    assert await store.holdings(other) == (1, 1, 0)
    assert await TelemetryStore(pool).summaries(run, "", 9) == []
    assert len(await TelemetryStore(pool).batches(run, PRODUCER, 9)) == 2
    await pool.execute("INSERT INTO purged_run VALUES ($1)", run)
    assert await store.unpurged() == []
    await ingest(pool, log_batch(3, ["late"], run=run))
    async with running_ledger(pool) as ledger:
        await keeper_of(pool, Teller(ledger, SystemIds()), FakeGateway()).sweep(TODAY)
    assert await store.holdings(run) == (0, 0, 0)


async def add_trace(
    pool: Pool,
    trace_id: str,
    days: int,
    *,
    made_by: UUID | None = None,
    linked: Sequence[UUID] = (),
) -> None:
    """A trace with two spans that began some days ago."""
    name = f"{PROJECT}/traces/{trace_id}"
    trace = pb.Trace(name=name)
    if made_by is not None:
        trace.metadata["mlflow.sourceRun"] = made_by.hex
    row = trace_row(trace)
    columns = ", ".join(f"${n}" for n in range(1, len(TraceRow.__slots__) + 1))
    await pool.execute(
        f"INSERT INTO trace VALUES ({columns})", *(getattr(row, one) for one in TraceRow.__slots__)
    )
    for run in linked:
        await pool.execute("INSERT INTO trace_run VALUES ($1, $2)", name, run.hex)
    begun = ago_us(days) * 1_000
    for span_id in ("a", "b"):
        span = SpanRow(span_id, "", "s", "UNKNOWN", "OK", begun, begun + 1, b"")
        await TraceStore(pool).store(PROJECT, [NewSpan(trace_id, span, "{}", None, None)])


async def traced(pool: Pool) -> set[str]:
    rows = await pool.fetch("SELECT DISTINCT trace_id FROM tracker.span")
    return {row[0] for row in rows}


async def test_old_spans_go_and_those_of_what_is_needed_stay(pool: Pool) -> None:
    needed, run = uuid4(), uuid4()
    await pool.execute("INSERT INTO needed_run VALUES ($1, 'm/versions/1', '')", needed)
    await add_trace(pool, "old", 20, made_by=run)
    await add_trace(pool, "older", 40)
    await add_trace(pool, "young", 2, made_by=run)
    await add_trace(pool, "made", 20, made_by=needed)
    await add_trace(pool, "linked", 20, linked=[run, needed])
    await pool.execute("INSERT INTO retention VALUES ($1, 0, 0, 0, 0, 10)", PROJECT)
    async with running_ledger(pool) as ledger:
        keeper = keeper_of(pool, Teller(ledger, SystemIds()), FakeGateway())
        await keeper.sweep(TODAY)
        await keeper.sweep(TODAY)
    assert await traced(pool) == {"young", "made", "linked"}
    (told,) = await logged_events(pool)
    before = f"{TODAY - timedelta(days=10)}"
    assert told == pb.TelemetryExpired(
        project=PROJECT, kind="spans", before=before, runs=2, items=4
    )
    assert await pool.fetchval("SELECT count(*) FROM trace") == 5, "traces stay"


async def test_a_purged_run_has_no_spans_left_but_those_that_others_have_too(pool: Pool) -> None:
    run, other = uuid4(), uuid4()
    await add_trace(pool, "made", 0, made_by=run)
    await add_trace(pool, "made and linked", 0, made_by=run, linked=[other])
    await add_trace(pool, "linked", 0, linked=[run])
    await add_trace(pool, "shared", 0, linked=[run, other])
    await add_trace(pool, "of another", 0, made_by=other, linked=[run])
    store = RetentionStore(pool)
    assert await store.holdings(run) == (0, 0, 6)
    await pool.execute("INSERT INTO purged_run VALUES ($1)", run)
    assert await store.unpurged() == [run], "until it is done"
    await store.purge(run)
    assert await store.unpurged() == []
    assert await traced(pool) == {"shared", "of another"}


def test_what_made_a_registered_version_is_not_purged() -> None:
    holdings = Holdings(5, 6, 7, {"a": b"x" * 32})
    with pytest.raises(FailedPrecondition, match="models/m/versions/1"):
        purge("run", "why", holdings, ["models/m/versions/1"])
    deleted, purged = purge("run", "why", holdings, [])
    assert deleted == pb.ArtifactsDeleted(run="run", paths=["a"], digests=[b"x" * 32], reason="why")
    assert purged == pb.RunPurged(
        run="run", reason="why", points=5, log_lines=6, artifacts=1, spans=7
    )
    (purged,) = purge("run", "why", Holdings(0, 0, 0, {}), [])
    assert purged == pb.RunPurged(run="run", reason="why")


def test_the_view_knows_what_is_kept_and_what_is_dead() -> None:
    run = uuid4()
    name = f"{PROJECT}/runs/{run}"
    rows = Rows.of((RETENTIONS, []), (NEEDED, []), (PURGED, []), (DEAD, []), (ARTIFACTS, []))
    events = [
        pb.RetentionSet(retention=pb.Retention(project=PROJECT, logs_days=3)),
        pb.ModelVersionRegistered(name="m/versions/1", run=name),
        pb.ModelVersionRegistered(name="m/versions/2"),
        pb.ArtifactLogged(run=name, path="a", sha256=b"1" * 32),
        pb.ArtifactsDeleted(run=name, paths=["a"], digests=[b"1" * 32]),
        pb.RunPurged(run=name),
        pb.ArtifactLogged(run=name, path="b", sha256=b"2" * 32),
        pb.ArtifactDeleted(run=name, path="b"),
        pb.ArtifactDeleted(run=name, path="never there"),
    ]
    for position, event in enumerate(events, start=1):
        for projector in (KeepingProjector(), ArtifactProjector()):
            projector.apply(rows, recorded(event, position=position, stream_id=run))
    assert [row.logs_days for row in rows.upserts(RETENTIONS)] == [3]
    assert [(row.run_id, row.model_version) for row in rows.upserts(NEEDED)] == [
        (run, "m/versions/1")
    ]
    assert [row.run_id for row in rows.upserts(PURGED)] == [run]
    assert [(row.sha256, row.position) for row in rows.upserts(DEAD)] == [
        (b"1" * 32, 5),
        (b"2" * 32, 8),
    ]
    assert rows.upserts(ARTIFACTS) == []
    assert rows.deletions(ARTIFACTS) == [(run, "a"), (run, "b"), (run, "never there")]
