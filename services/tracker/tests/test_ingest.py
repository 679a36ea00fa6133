"""Batches to tables, on real PostgreSQL: each point once, cursors without gaps, summaries right."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal.columns import encode_points
from epochal.points import PointBuffer
from epochal_kernel.bus import Bus
from epochal_kernel.clock import SystemClock
from epochal_kernel.postgres import Pool
from epochal_testing.waiting import until
from epochal_tracker.merkle import tree_hash
from epochal_tracker.parsing import once, parse
from epochal_tracker.series import MAX_STEP, MIN_STEP, SeriesReader
from epochal_tracker.signals import RunBells
from epochal_tracker.sink import Sink
from epochal_tracker.store.ingest import IngestStore
from epochal_tracker.store.telemetry import TelemetryStore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tracker_world import (
    PRODUCER,
    RUN_ID,
    Logged,
    column,
    log_batch,
    points_batch,
    tracker_tables,
)

TODAY = datetime.now(UTC).date()
NOW_US = int(datetime.now(UTC).timestamp() * 1e6)


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[Pool]:
    async with tracker_tables(database) as pool:
        yield pool


async def ingest(pool: Pool, *batches: pb.TelemetryBatch, today: date = TODAY) -> None:
    parsed = once([parse(one.SerializeToString(), today) for one in batches])
    await IngestStore(pool).ingest(
        [one.batch for one in parsed],
        [chunk for one in parsed for chunk in one.chunks],
        [one.log for one in parsed if one.log],
    )


async def points(pool: Pool, run: UUID, metric: str) -> list[tuple[int, float]]:
    page = await SeriesReader(TelemetryStore(pool)).read(
        run, metric, MIN_STEP, MAX_STEP, 0, 1_000_000
    )
    return list(zip(page.points.steps.tolist(), page.points.values.tolist(), strict=True))


def logged(*values: float, start: int = 0) -> list[Logged]:
    return [(start + n, NOW_US + start + n, value) for n, value in enumerate(values)]


deliveries = st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=5), max_size=6)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deliveries)
async def test_however_batches_come_points_are_there_once_and_the_cursor_has_no_gap(
    pool: Pool, deliveries: list[list[int]]
) -> None:
    run, producer = uuid4(), uuid4()
    store = TelemetryStore(pool)
    seen: set[int] = set()
    for delivery in deliveries:
        made = [
            points_batch(n, [column("loss", logged(n, n, start=n * 2))], run=run, producer=producer)
            for n in delivery
        ]
        await ingest(pool, *made)
        seen |= set(delivery)
        reached = max((n for n in range(1, 7) if set(range(1, n + 1)) <= seen), default=0)
        kept = await pool.fetchval(
            "SELECT batch FROM tracker.producer_cursor WHERE run_id = $1", run
        )
        assert kept == reached
        assert await store.cursor(run, producer) == reached
    expected = [(n * 2 + k, float(n)) for n in sorted(seen) for k in (0, 1)]
    assert await points(pool, run, "loss") == expected
    summaries = await store.summaries(run, "", 10)
    assert [one.points for one in summaries] == ([len(expected)] if expected else [])


values = st.sampled_from([0.0, 1.0, -2.5, math.nan, math.inf, -math.inf])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(values, min_size=1, max_size=3), min_size=1, max_size=4), st.randoms())
async def test_summaries_are_those_of_all_points_in_any_order(
    pool: Pool, batches: list[list[float]], chosen: random.Random
) -> None:
    run = uuid4()
    everything: list[float] = []
    made = []
    for number, batch in enumerate(batches, start=1):
        made.append(
            points_batch(number, [column("m", logged(*batch, start=len(everything)))], run=run)
        )
        everything += batch
    chosen.shuffle(made)
    cut = chosen.randrange(len(made) + 1)
    for together in (made[:cut], made[cut:]):
        if together:
            await ingest(pool, *together)
    (row,) = await TelemetryStore(pool).summaries(run, "", 10)
    numbers = [value for value in everything if not math.isnan(value)]

    def same(found: float, expected: float) -> bool:
        return found == expected or (math.isnan(found) and math.isnan(expected))

    assert same(row.last, everything[-1])
    assert (row.last_step, row.points) == (len(everything) - 1, len(everything))
    assert same(row.min, min(numbers, default=math.nan))
    assert same(row.max, max(numbers, default=math.nan))


async def test_two_sinks_at_once_never_leave_a_cursor_behind(pool: Pool) -> None:
    store = TelemetryStore(pool)
    for _ in range(15):
        run, producer = uuid4(), uuid4()
        made = [
            points_batch(n, [column("m", logged(1.0, start=n))], run=run, producer=producer)
            for n in range(1, 7)
        ]
        await asyncio.gather(ingest(pool, *made[::2]), ingest(pool, *made[1::2]))
        assert await store.cursor(run, producer) == 6
        assert len(await points(pool, run, "m")) == 6


async def test_two_sinks_with_the_same_batches_store_them_once(pool: Pool) -> None:
    run = uuid4()
    made = [points_batch(n, [column("m", logged(1.0, start=n))], run=run) for n in range(1, 6)]
    await asyncio.gather(*(ingest(pool, *made) for _ in range(4)))
    assert len(await points(pool, run, "m")) == 5
    (row,) = await TelemetryStore(pool).summaries(run, "", 10)
    assert row.points == 5


async def test_a_repeated_batch_of_another_day_spoils_no_later_one(pool: Pool) -> None:
    """A producer without a clock is put to today; tomorrow the same batch comes again."""
    store = IngestStore(pool)
    timeless = points_batch(1, [column("m", [(0, 0, 1.0)])])
    tomorrow = TODAY + timedelta(days=1)
    next_one = points_batch(2, [column("m", [(1, 0, 2.0)])])
    for batch, today in ((timeless, TODAY), (timeless, tomorrow), (next_one, tomorrow)):
        parsed = parse(batch.SerializeToString(), today)
        await store.ingest([parsed.batch], parsed.chunks, [])
    assert await points(pool, RUN_ID, "m") == [(0, 1.0), (1, 2.0)]


async def test_lines_are_stored_once_and_read_only_as_far_as_all_are_there(pool: Pool) -> None:
    store = TelemetryStore(pool)
    await ingest(pool, log_batch(1, ["a"]), log_batch(3, ["c"]))
    assert [batch for batch, _ in await store.log_chunks(RUN_ID, PRODUCER, 1, 9)] == [1]
    await ingest(pool, log_batch(2, ["b"]), log_batch(3, ["c"]))
    assert [batch for batch, _ in await store.log_chunks(RUN_ID, PRODUCER, 1, 9)] == [1, 2, 3]
    assert await store.log_producers(RUN_ID) == [PRODUCER]


async def test_a_seal_is_over_what_was_sent(pool: Pool) -> None:
    made = [points_batch(n, [column("m", logged(1.0, 2.0, start=n * 2))]) for n in (1, 2)]
    made.append(log_batch(3, ["x", "y", "z"]))
    await ingest(pool, *reversed(made))
    rows = await TelemetryStore(pool).batches(RUN_ID, PRODUCER, 3)
    assert [row.sha256 for row in rows] == [hashlib.sha256(one.payload).digest() for one in made]
    assert (sum(row.points for row in rows), sum(row.lines for row in rows)) == (4, 3)
    assert len(tree_hash([row.sha256 for row in rows])) == 32


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff",
        pb.TelemetryBatch(run="x", producer=str(PRODUCER)).SerializeToString(),
        pb.TelemetryBatch(run=f"r/{RUN_ID}", producer="x").SerializeToString(),
        pb.TelemetryBatch(
            run=f"r/{RUN_ID}", producer=str(PRODUCER), kind=1, payload=b"\xff"
        ).SerializeToString(),
    ],
)
def test_what_nobody_can_read_is_left_out(data: bytes) -> None:
    assert parse(data, TODAY) is None


def test_points_of_a_clock_far_off_are_put_to_today() -> None:
    for time_us, day in (
        (NOW_US, TODAY),
        (0, TODAY),
        (2**63 - 1, TODAY),
        (-(2**63), TODAY),
        (NOW_US - 86_400_000_000 * 30, TODAY - timedelta(days=30)),
    ):
        found = parse(
            points_batch(1, [column("m", [(0, time_us, 1.0)])]).SerializeToString(), TODAY
        )
        assert found is not None
        assert [chunk.day for chunk in found.chunks] == [day]


async def test_the_sink_drains_the_stream_whatever_comes_in_it(pool: Pool, nats_url: str) -> None:
    bus = Bus(nats_url, "test")
    bells = RunBells()
    watch = bells.watch(RUN_ID)
    sink = Sink(bus, IngestStore(pool), bells, SystemClock(), 2**26)
    tasks = [asyncio.create_task(bus.run()), asyncio.create_task(sink.run())]
    made = [points_batch(n, [column("m", logged(float(n), start=n))]) for n in range(1, 21)]
    endless = "".join(map(chr, range(0x4E00, 0x7000)))  # no index takes such a name
    refused = points_batch(1, [column(endless, logged(1.0))], run=uuid4())
    sent = [one.SerializeToString() for one in (*made, made[3], made[3], refused)]
    sent += [b"nonsense \xff"]
    random.Random(3).shuffle(sent)
    try:
        await until(lambda: bus.connected, what="connected")
        stream = bus.jetstream

        async def there() -> bool:
            return bool(await stream.streams_info())

        await until(there, what="stream is made")
        for number, data in enumerate(sent):
            await bus.publish_durably(
                "tel.v1.points.0", data, message_id=f"m{number}", timeout_s=5.0
            )
        store = TelemetryStore(pool)

        async def all_there() -> bool:
            return await store.cursor(RUN_ID, PRODUCER) == 20

        await until(all_there, 20, what="cursor at 20")
        await watch.wait(timeout_s=5)
        assert await points(pool, RUN_ID, "m") == [(n, float(n)) for n in range(1, 21)]

        async def drained() -> bool:
            (info,) = await stream.consumers_info("TELEMETRY")
            return info.num_ack_pending == 0 and info.num_pending == 0

        await until(drained, 20, what="everything acknowledged")
    finally:
        for task in reversed(tasks):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_a_run_may_have_a_hundred_thousand_metrics(pool: Pool) -> None:
    buffer = PointBuffer()
    for number in range(100_000):
        buffer.add(f"layer/{number}/Größe ☃", float(number), number - 50_000)
    for number, columns in enumerate(iter(buffer.take, []), start=1):
        await ingest(pool, points_batch(number, [encode_points(one) for one in columns]))
    store = TelemetryStore(pool)
    found, after = 0, ""
    while page := await store.summaries(RUN_ID, after, 10_000):
        found, after = found + len(page), page[-1].metric
    assert found == 100_000
    assert await points(pool, RUN_ID, "layer/7/Größe ☃") == [(7 - 50_000, 7.0)]


async def test_two_producers_of_one_run_make_one_series(pool: Pool) -> None:
    other = UUID("0193a000-0000-7000-8000-00000000000c")
    await ingest(
        pool,
        points_batch(2, [column("m", logged(4.0, start=4))]),
        points_batch(1, [column("m", logged(1.0, start=2**60))], producer=other),
        points_batch(1, [column("m", logged(0.0, 1.0, start=0))]),
        points_batch(2, [column("m", logged(2.0, start=2))], producer=other),
    )
    assert await points(pool, RUN_ID, "m") == [
        (0, 0.0),
        (1, 1.0),
        (2, 2.0),
        (4, 4.0),
        (2**60, 1.0),
    ]
    store = TelemetryStore(pool)
    assert [await store.cursor(RUN_ID, one) for one in (PRODUCER, other)] == [2, 2]
