"""Refused batches move the cursor and are told of; hidden points are hidden everywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_kernel.bus import Bus
from epochal_kernel.clock import SystemClock
from epochal_kernel.ids import SystemIds
from epochal_kernel.postgres import Pool
from epochal_kernel.projections.rows import Rows
from epochal_testing.projecting import recorded
from epochal_tracker.curves import CurveReader, Question
from epochal_tracker.keeping import TRUNCATIONS, KeepingProjector
from epochal_tracker.parsing import once, parse, unfit
from epochal_tracker.projections import MOST_LOSSES, RunProjector
from epochal_tracker.rows import RUNS
from epochal_tracker.sampling import Wanted, sample
from epochal_tracker.series import MAX_STEP, MIN_STEP, SeriesReader
from epochal_tracker.signals import RunBells
from epochal_tracker.sink import Sink
from epochal_tracker.store.curves import CurveStore
from epochal_tracker.store.ingest import IngestStore
from epochal_tracker.store.keeping import LossStore, TruncationStore
from epochal_tracker.store.telemetry import TelemetryStore
from epochal_tracker.telling import LossTeller, Teller, summary
from tracker_world import (
    PRODUCER,
    PROJECT,
    RUN_ID,
    column,
    log_batch,
    logged_events,
    points_batch,
    running_ledger,
    tracker_tables,
)

NOW_US = int(datetime.now(UTC).timestamp() * 1e6)
TODAY = datetime.now(UTC).date()
NEXT = UUID("0193a000-0000-7000-8000-00000000000b")


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[Pool]:
    async with tracker_tables(database) as pool:
        yield pool


def damaged(number: int, kind: pb.TelemetryKind, payload: bytes) -> pb.TelemetryBatch:
    return pb.TelemetryBatch(
        run=f"{PROJECT}/runs/{RUN_ID}",
        producer=str(PRODUCER),
        epoch=1,
        batch=number,
        kind=kind,
        payload=payload,
    )


async def test_a_refused_batch_moves_the_cursor_and_the_log_is_told_why(pool: Pool) -> None:
    sink = Sink(Bus("nats://none", "test"), IngestStore(pool), RunBells(), SystemClock(), 1)
    forged = column("m", [(1, NOW_US, 1.0)])
    forged.first_time_us = -(2**63)
    batches = [
        points_batch(1, [column("loss", [(1, NOW_US, 1.0)])]),
        points_batch(2, [column("a\0b", [(1, NOW_US, 1.0), (2, NOW_US, 1.0)])]),
        damaged(3, pb.TELEMETRY_KIND_POINTS, b"\xff"),
        damaged(4, pb.TELEMETRY_KIND_LOGS, pb.LogLines(lines=-1).SerializeToString()),
        log_batch(5, ["fine"]),
        points_batch(6, [forged]),
    ]
    parsed = once([parse(one.SerializeToString(), TODAY) for one in batches])
    await sink._store_all(parsed)
    await sink._store_all(parsed)
    telemetry = TelemetryStore(pool)
    assert await telemetry.cursor(RUN_ID, PRODUCER) == 6
    rows = await telemetry.batches(RUN_ID, PRODUCER, 6)
    assert [(row.points, row.lines) for row in rows] == [
        (1, 0),
        (0, 0),
        (0, 0),
        (0, 0),
        (0, 1),
        (1, 0),
    ]
    async with running_ledger(pool) as ledger:
        losses = LossStore(pool)
        teller = LossTeller(
            Teller(ledger, SystemIds()), losses, TruncationStore(pool), SystemClock()
        )
        for _ in range(2):
            for refusal in await losses.untold(9):
                await teller.tell(refusal)
                await teller.tell(refusal)
    told = [event for event in await logged_events(pool) if isinstance(event, pb.TelemetryLost)]
    assert [(one.batch, one.points) for one in told] == [(2, 2), (3, 0), (4, 0)]
    assert "no NUL" in told[0].reason
    assert "damaged" in told[1].reason
    assert {one.run for one in told} == {f"{PROJECT}/runs/{RUN_ID}"}


async def test_what_only_postgresql_refuses_is_refused_alone(pool: Pool) -> None:
    sink = Sink(Bus("nats://none", "test"), IngestStore(pool), RunBells(), SystemClock(), 1)
    other = uuid4()
    far = column("m", [(1, NOW_US, 1.0)])
    good = points_batch(1, [column("m", [(1, NOW_US, 1.0)])], run=other)
    parsed = once(
        [
            parse(one.SerializeToString(), TODAY)
            for one in (good, points_batch(1, [far]), points_batch(2, [far]))
        ]
    )
    object.__setattr__(parsed[1].chunks[0], "points", 2**40)
    await sink._store_all(parsed)
    telemetry = TelemetryStore(pool)
    assert await telemetry.cursor(other, PRODUCER) == 1
    assert await telemetry.cursor(RUN_ID, PRODUCER) == 2
    (refusal,) = await LossStore(pool).untold(9)
    assert (refusal.batch, refusal.points) == (1, 1)
    assert "cannot take a value" in refusal.reason


@pytest.mark.parametrize(
    "column",
    [
        pb.PointColumn(points=1),
        pb.PointColumn(metric="x" * 251, points=1),
        pb.PointColumn(metric="x"),
        pb.PointColumn(metric="x", points=2**31 - 1),
        pb.PointColumn(metric="x", points=1, first_step=2, last_step=1),
        pb.PointColumn(metric="x", points=1, first_time_us=2, last_time_us=1),
    ],
)
def test_columns_that_cannot_be_are_unfit(column: pb.PointColumn) -> None:
    assert unfit(column)
    assert not unfit(pb.PointColumn(metric="损失/☃", points=1))


def test_a_run_shows_its_newest_losses() -> None:
    name = f"{PROJECT}/runs/{RUN_ID}"
    rows, projector = Rows.of((RUNS, [])), RunProjector()
    events = [pb.RunCreated(name=name)]
    events += [pb.TelemetryLost(run=name, points=n, reason="full") for n in range(30)]
    events.append(pb.TelemetryLost(run=name, batch=7, points=1, log_lines=2, reason="why"))
    events.append(pb.RunPurged(run=name))
    for position, event in enumerate(events, start=1):
        projector.apply(rows, recorded(event, position=position, stream_id=RUN_ID))
    run = rows.get(RUNS, RUN_ID)
    assert run is not None
    shown = pb.Run.FromString(run.more)
    assert len(shown.data_lost) == MOST_LOSSES
    assert shown.data_lost[-1] == "1 points and 2 lines of output of batch 7: why"
    assert shown.HasField("purge_time")


def test_the_least_step_of_truncations_counts() -> None:
    rows, projector = Rows.of((TRUNCATIONS, [])), KeepingProjector()
    for position, step in enumerate((9, 5, 7), start=1):
        event = pb.SeriesTruncated(from_step=step, producers=[str(PRODUCER)])
        projector.apply(rows, recorded(event, position=position, stream_id=RUN_ID))
    found = rows.get(TRUNCATIONS, RUN_ID, PRODUCER)
    assert found is not None
    assert found.from_step == 5


async def ingest(pool: Pool, *batches: pb.TelemetryBatch) -> None:
    parsed = once([parse(one.SerializeToString(), TODAY) for one in batches])
    await IngestStore(pool).ingest(
        [one.batch for one in parsed], [chunk for one in parsed for chunk in one.chunks], []
    )


async def test_points_after_a_truncation_are_shown_nowhere_and_new_ones_are(pool: Pool) -> None:
    first = [(n, NOW_US + n, float(n)) for n in range(100)]
    await ingest(
        pool,
        points_batch(1, [column("loss", first[:60]), column("late", first[90:])]),
        points_batch(2, [column("loss", first[60:])]),
    )
    truncations = TruncationStore(pool)
    await pool.execute("INSERT INTO truncation VALUES ($1, $2, 50)", RUN_ID, PRODUCER)
    assert await truncations.untruncated(9) == [RUN_ID]
    await truncations.summarise(RUN_ID, summary)
    assert await truncations.untruncated(9) == []
    again = [(n, NOW_US + 1000 + n, -1.0) for n in range(50, 70)]
    await ingest(pool, points_batch(1, [column("loss", again)], producer=NEXT))
    shown = [(step, value) for step, _, value in first[:50] + again]

    page = await SeriesReader(TelemetryStore(pool)).read(
        RUN_ID, "loss", MIN_STEP, MAX_STEP, 0, 1_000
    )
    assert list(zip(page.points.steps.tolist(), page.points.values.tolist(), strict=True)) == shown
    question = Question(MIN_STEP, MAX_STEP, 1_000, pb.THINNING_MINMAX, pb.SERIES_AXIS_STEP)
    drawn = await CurveReader(CurveStore(pool)).draw(RUN_ID, "loss", question)
    assert drawn.points.values.tolist() == [value for _, value in shown]
    (sampled,) = await sample(TelemetryStore(pool), [Wanted(RUN_ID, "loss", 0)], 1_000)
    assert list(zip(sampled.steps, sampled.values, strict=True)) == shown
    news = await CurveStore(pool).news(RUN_ID, ["loss", "late"], {}, 9)
    assert [(chunk.metric, chunk.below) for chunk in news] == [("loss", 50), ("loss", None)]
    (row,) = await TelemetryStore(pool).summaries(RUN_ID, "", 9)
    assert (row.metric, row.points, row.last, row.last_step) == ("loss", 70, -1.0, 69)
    assert (row.min, row.max) == (-1.0, 49.0)

    await ingest(pool, points_batch(3, [column("loss", [(200, NOW_US, 1e9)])]))
    assert await truncations.untruncated(9) == [RUN_ID], "its spool came later"
    await truncations.summarise(RUN_ID, summary)
    (row,) = await TelemetryStore(pool).summaries(RUN_ID, "", 9)
    assert (row.points, row.max, row.last_step) == (70, 49.0, 69)
    assert len(await TelemetryStore(pool).batches(RUN_ID, PRODUCER, 3)) == 3


def test_the_summary_of_nothing_is_nothing() -> None:
    assert summary([]) is None
