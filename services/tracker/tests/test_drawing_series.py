"""Series drawn, tailed and joined, on real PostgreSQL, against all the points that were logged."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import epochal_proto.v1 as pb
import numpy as np
import pytest
import pytest_asyncio
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import InvalidArgument, Unavailable
from epochal_kernel.ids import SystemIds
from epochal_kernel.postgres import Pool
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from epochal_testing.waiting import until
from epochal_tracker import curves
from epochal_tracker.curves import CurveReader, Question
from epochal_tracker.joining import Joiner, joined
from epochal_tracker.parsing import once, parse
from epochal_tracker.series import MAX_STEP, MIN_STEP, SeriesReader
from epochal_tracker.services.curves import Curves
from epochal_tracker.services.lookup import RunLookup
from epochal_tracker.signals import RunBells
from epochal_tracker.store.curves import CurveStore, pattern_of
from epochal_tracker.store.ingest import ChunkRow, IngestStore
from epochal_tracker.store.joining import NEWEST, JoinStore, SmallChunk
from epochal_tracker.store.runs import RunStore
from epochal_tracker.store.telemetry import TelemetryStore
from tracker_world import (
    PRODUCER,
    PROJECT,
    Logged,
    add_run,
    column,
    points_batch,
    tracker_tables,
)

NOW_US = int(datetime.now(UTC).timestamp() * 1e6)
SECOND = UUID("0193a000-0000-7000-8000-00000000000b")


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


async def log(
    pool: Pool, run: UUID, logged: list[Logged], sizes: list[int], producer: UUID = PRODUCER
) -> None:
    batches, at = [], 0
    for number, size in enumerate(sizes, start=1):
        part = sorted(logged[at : at + size])
        at += size
        batches.append(points_batch(number, [column("loss", part)], run=run, producer=producer))
    assert at == len(logged)
    await ingest(pool, *batches)


def question(**changed: object) -> Question:
    given = {
        "start": MIN_STEP,
        "end": MAX_STEP,
        "wanted": 50,
        "thinning": pb.THINNING_MINMAX,
        "axis": pb.SERIES_AXIS_STEP,
    }
    return Question(**{**given, **changed})  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize("thinning", [pb.THINNING_MINMAX, pb.THINNING_LTTB])
@pytest.mark.parametrize("axis", [pb.SERIES_AXIS_STEP, pb.SERIES_AXIS_TIME])
@pytest.mark.parametrize("piece", [10**6, 97])
async def test_a_drawing_is_of_points_that_were_logged_and_tells_of_all(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, thinning: int, axis: int, piece: int
) -> None:
    monkeypatch.setattr(curves, "PIECE", piece)
    chosen = random.Random(5)
    run = uuid4()
    logged = [
        (n, NOW_US + 10 * n, chosen.choice([math.nan, chosen.random()])) for n in range(2_000)
    ]
    await log(pool, run, logged[:1_000], [1] * 100 + [300] * 3)
    await log(pool, run, logged[1_000:], [500, 500], SECOND)
    asked = question(thinning=thinning, axis=axis, start=10, end=1_800)
    drawn = await CurveReader(CurveStore(pool)).draw(run, "loss", asked)
    inside = [(step, time, value) for step, time, value in logged if 10 <= step <= 1_800]
    numbers = [(value, step) for step, _, value in inside if not math.isnan(value)]
    tally = drawn.tally
    assert (tally.points, tally.min, tally.min_step) == (len(inside), *min(numbers))
    assert (tally.max, tally.max_step) == max(numbers)
    assert [tally.first[:2], tally.last[:2]] == [inside[0][:2], inside[-1][:2]]
    steps = drawn.points.steps.tolist()
    assert 4 < len(steps) <= 50
    assert steps == sorted(set(steps))
    known = {step: (time, value) for step, time, value in inside}
    for step, time, value in zip(
        steps, drawn.points.times_us.tolist(), drawn.points.values.tolist(), strict=True
    ):
        assert np.array_equal((time, value), known[step], equal_nan=True)
    if thinning == pb.THINNING_MINMAX:
        assert {min(numbers)[1], max(numbers)[1]} <= set(steps)
    assert not drawn.estimated


async def test_a_very_long_series_is_drawn_from_its_summaries(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "LONG", 1_000)
    chosen = random.Random(6)
    run = uuid4()
    logged = [(n, NOW_US + 10 * n, chosen.random()) for n in range(3_000)]
    await log(pool, run, logged, [50] * 60)
    drawn = await CurveReader(CurveStore(pool)).draw(run, "loss", question())
    assert drawn.estimated
    known = {step: (time, value) for step, time, value in logged}
    for step, time, value in zip(
        drawn.points.steps.tolist(),
        drawn.points.times_us.tolist(),
        drawn.points.values.tolist(),
        strict=True,
    ):
        assert value == known[step][1]
        assert abs(time - known[step][0]) <= 10
    values = [(value, step) for step, _, value in logged]
    assert (drawn.tally.min, drawn.tally.min_step) == min(values)
    assert (drawn.tally.max, drawn.tally.max_step) == max(values)
    assert (drawn.tally.first, drawn.tally.last) == (logged[0], logged[-1])
    exact = await CurveReader(CurveStore(pool)).draw(run, "loss", question(start=1))
    assert not exact.estimated  # a chunk is cut: what its extremes inside are is not told


async def read(pool: Pool, run: UUID) -> list[Logged]:
    page = await SeriesReader(TelemetryStore(pool)).read(run, "loss", MIN_STEP, MAX_STEP, 0, 10**6)
    columns = (page.points.steps, page.points.times_us, page.points.values)
    return list(zip(*(each.tolist() for each in columns), strict=True))


async def test_joined_chunks_hold_the_same_points(pool: Pool) -> None:
    chosen = random.Random(7)
    run, other = uuid4(), uuid4()
    logged = [(chosen.randrange(500), NOW_US + n, chosen.random()) for n in range(900)]
    await log(pool, run, logged[:800], [2] * 400)
    await log(pool, run, logged[800:], [1] * 100, SECOND)
    await log(pool, other, logged[:50], [1] * 50)
    before = await read(pool, run)
    store = JoinStore(pool)
    assert await store.loose(9) == [(run, "loss")]
    assert await store.join(run, "loss", joined) == 400 - NEWEST
    assert await read(pool, run) == before
    count = "SELECT count(*), sum(points) FROM tracker.metric_chunk WHERE run_id = $1"
    assert tuple(await pool.fetchrow(count, run)) == (1 + NEWEST + 100, 900)
    await store.join(run, "loss", joined)
    await store.join(run, "loss", joined)
    assert await store.loose(9) == [], "what cannot be joined is not tried for ever"
    (row,) = await TelemetryStore(pool).summaries(run, "", 9)
    assert row.points == 900
    batches = await TelemetryStore(pool).batches(run, PRODUCER, 400)
    assert len(batches) == 400, "seals are over what came"


async def test_what_is_deleted_while_it_is_joined_does_not_come_back(pool: Pool) -> None:
    run = uuid4()
    await log(pool, run, [(n, NOW_US + n, 1.0) for n in range(300)], [1] * 300)

    def joined_too_late(
        run_id: UUID, metric: str, chunks: Sequence[SmallChunk]
    ) -> tuple[list[SmallChunk], list[ChunkRow]]:
        gone, made = joined(run_id, metric, chunks)
        return [*gone, replace(gone[0], batch=10**6)], made  # one that is there no more

    with pytest.raises(Unavailable):
        await JoinStore(pool).join(run, "loss", joined_too_late)
    assert len(await read(pool, run)) == 300
    assert await JoinStore(pool).join(run, "loss", joined) == 300 - NEWEST


async def test_the_joiner_finds_what_is_to_be_joined_by_itself(pool: Pool) -> None:
    run = uuid4()
    await log(pool, run, [(n, NOW_US + n, 1.0) for n in range(300)], [1] * 300)
    task = asyncio.create_task(Joiner(JoinStore(pool), SystemClock()).run())
    count = "SELECT count(*) FROM tracker.metric_chunk WHERE run_id = $1"
    try:

        async def few() -> bool:
            return bool(await pool.fetchval(count, run) == NEWEST + 1)

        await until(few, 20, what="small chunks joined")
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(await read(pool, run)) == 300


def handlers(pool: Pool, bells: RunBells) -> tuple[Curves, CallContext]:
    progress, ids = Progress(), SystemIds()
    runs = RunStore(pool)
    made = Curves(RunLookup(runs, progress), runs, CurveStore(pool), progress, bells)
    return made, CallContext("users/alice", "", ids.uuid7(), ids)


async def test_many_series_of_many_runs_are_answered_by_name_and_pattern(pool: Pool) -> None:
    runs = [uuid4() for _ in range(3)]
    names = ["val/loss", "val/acc", "train/loss", "100%", "a_b"]
    for run in runs:
        await ingest(
            pool,
            points_batch(
                1,
                [column(name, [(1, NOW_US, 1.0), (2, NOW_US + 5, 2.0)]) for name in names],
                run=run,
            ),
        )
    for run in runs[:2]:
        await add_run(pool, run, pb.RUN_STATUS_RUNNING)
    curves_, context = handlers(pool, RunBells())

    async def ask(*metrics: str, **more: object) -> list[tuple[str, str]]:
        request = pb.QuerySeriesRequest(
            parent=PROJECT, runs=[str(run) for run in runs], metrics=metrics, **more
        )
        answer = await curves_.query_series(request, context)
        assert all(list(curve.values) == [1.0, 2.0] for curve in answer.curves)
        return [(curve.run[-36:], curve.metric) for curve in answer.curves]

    mine = [str(run) for run in runs[:2]]  # the third is not a run of the project
    assert await ask("val/*") == [(run, name) for run in mine for name in ("val/acc", "val/loss")]
    assert await ask("*loss", "100%") == [
        (run, name) for run in mine for name in ("100%", "train/loss", "val/loss")
    ]
    assert await ask("a_?", "a.b", "100_") == [(run, "a_b") for run in mine]
    assert len(await ask()) == 10
    request = pb.QuerySeriesRequest(
        parent=PROJECT, runs=mine[:1], metrics=["a_b"], axis=pb.SERIES_AXIS_RELATIVE_TIME
    )
    (curve,) = (await curves_.query_series(request, context)).curves
    assert list(curve.times_us) == [0, 5]
    assert (curve.points, curve.first, curve.last, curve.thinned) == (2, 1.0, 2.0, False)


def test_patterns_are_written_for_the_database() -> None:
    assert pattern_of(["val/*", "50%_\\?", "loss"]).likes == ["val/%", "50\\%\\_\\\\_"]


async def test_a_tail_sends_each_point_once_and_ends_with_the_run(pool: Pool) -> None:
    run, bells = uuid4(), RunBells()
    await add_run(pool, run, pb.RUN_STATUS_RUNNING)
    many = [column(f"m{n:03}", [(n, NOW_US, float(n))]) for n in range(700)]
    await ingest(pool, points_batch(1, many, run=run))
    curves_, context = handlers(pool, bells)
    request = pb.TailMetricsRequest(run=f"{PROJECT}/runs/{run}")
    found: list[tuple[str, int]] = []
    token = ""
    tail = aiter(curves_.tail_metrics(request, context))
    while len(found) < 700:
        answer = await anext(tail)
        found += [(each.metric, step) for each in answer.series for step in each.steps]
        token = answer.next_page_token
    assert sorted(found) == [(f"m{n:03}", n) for n in range(700)]
    await ingest(pool, points_batch(2, [column("m001", [(9, NOW_US, 9.0)])], run=run))
    bells.ring([run])
    (piece,) = (await anext(tail)).series
    assert (piece.metric, list(piece.steps), list(piece.values)) == ("m001", [9], [9.0])
    await pool.execute("UPDATE run SET status = $1", pb.RUN_STATUS_SUCCEEDED)
    bells.ring([run])
    with pytest.raises(StopAsyncIteration):
        await anext(tail)
    again = pb.TailMetricsRequest(run=request.run, metrics=["m00*"], page_token=token)
    rest = [one async for one in curves_.tail_metrics(again, context)]
    assert [(each.metric, list(each.steps)) for one in rest for each in one.series] == [
        ("m001", [9])
    ]
    again.page_token = "bm9uc2Vuc2U"
    with pytest.raises(InvalidArgument):
        await anext(aiter(curves_.tail_metrics(again, context)))
