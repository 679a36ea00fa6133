"""Archiving a run's telemetry and bringing it back, from and to a durable PostgreSQL."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID, uuid4

import epochal_proto.v1 as pb
import numpy as np
from epochal.audit_verifier import Told, check_object
from epochal_kernel.clock import SystemClock
from epochal_kernel.ids import Position, SystemIds
from epochal_kernel.log.appender import Appender
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.log.reader import LogReader
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Pool, connect
from epochal_kernel.projections.batch import apply_batch
from epochal_kernel.projections.store import prepare
from epochal_kernel.signals import LogSignal
from epochal_testing.projecting import recorded
from epochal_tracker.archiving import Archiver
from epochal_tracker.columns import Points
from epochal_tracker.keeping import RetentionRow
from epochal_tracker.merkle import tree_hash
from epochal_tracker.objects import ArchiveObjects
from epochal_tracker.packing import encode_arrays
from epochal_tracker.parsing import parse
from epochal_tracker.projections import READ_MODEL
from epochal_tracker.restoring import Restorer
from epochal_tracker.store.archiving import ArchiveStore
from epochal_tracker.store.ingest import IngestStore
from epochal_tracker.store.telemetry import TelemetryStore
from epochal_tracker.telling import Teller

from benchmarks.report import Row
from benchmarks.servers import durable_postgres

PROJECT = "orgs/acme/projects/vision"
BATCHES, METRICS, POINTS = 400, 100, 50
EVERY = BATCHES * METRICS * POINTS


async def run(seconds: float) -> list[Row]:
    """Archive 2,000,000 points of the realistic mix, check the objects, restore."""
    del seconds  # the run has a size, not a duration
    async with durable_postgres() as url, _tables(url) as pool, _ledger(pool) as ledger:
        run_id, producer = uuid4(), uuid4()
        await _log(pool, ledger, run_id, producer)
        with tempfile.TemporaryDirectory() as folder:
            return await _measure(pool, ledger, run_id, Path(folder))


async def _measure(pool: Pool, ledger: Ledger, run_id: UUID, folder: Path) -> list[Row]:
    store, objects = ArchiveStore(pool), ArchiveObjects(folder.as_uri())
    archiver = Archiver(store, objects, Teller(ledger, SystemIds()))
    kept = RetentionRow(PROJECT, 30, 30, 0, 0, 0, metrics_archived=True)
    today = datetime.now(UTC).date()
    started = time.perf_counter()
    await archiver.archive(kept, today)
    archived_s = time.perf_counter() - started
    await _project(pool)
    rows = await store.objects(run_id, 0, 1_000)
    assert sum(one.points for one in rows) == EVERY
    assert not any(one.altered for one in rows)
    started = time.perf_counter()
    for one in rows:
        told = Told(
            one.position,
            str(one.producer),
            one.sha256,
            one.first_batch,
            one.last_batch,
            one.sealed,
            one.tree_size,
            one.merkle_root,
        )
        check_object(await objects.get(one.sha256), told)
    verified_s = time.perf_counter() - started
    restorer = Restorer(store, objects, SystemClock())
    started = time.perf_counter()
    states = [state async for state in restorer.check(rows)]
    async for _ in restorer.restore(run_id, rows, states[-1]):
        pass
    restored_s = time.perf_counter() - started
    size_bytes = sum(one.size_bytes for one in rows)
    return [
        Row("archive", EVERY / archived_s, "points/s"),
        Row("archived point", size_bytes / EVERY, "bytes"),
        Row("verify the objects", EVERY / verified_s, "points/s"),
        Row("restore, checking first", EVERY / restored_s, "points/s"),
    ]


async def _log(pool: Pool, ledger: Ledger, run_id: UUID, producer: UUID) -> None:
    """A run that flushed each second: noisy values, many metrics, few points a column."""
    name, today = f"{PROJECT}/runs/{run_id}", datetime.now(UTC).date()
    chance = np.random.default_rng(7)
    for first in range(1, BATCHES + 1, 20):
        batches = [_batch(name, producer, number, chance) for number in range(first, first + 20)]
        await _ingest(pool, batches, today)
    leaves = await TelemetryStore(pool).batches(run_id, producer, BATCHES)
    teller = Teller(ledger, SystemIds())
    lifecycle = [pb.RunCreated(name=name), pb.RunSucceeded()]
    async with pool.acquire() as connection, connection.transaction():
        events = [recorded(one, at, run_id) for at, one in enumerate(lifecycle, 1)]
        await apply_batch(connection, READ_MODEL, events)
    for event in (
        pb.ProducerOpened(run=name, producer=str(producer), epoch=1),
        pb.TelemetrySealed(
            run=name,
            producer=str(producer),
            last_batch=BATCHES,
            points=EVERY,
            merkle_root=tree_hash([one.sha256 for one in leaves]),
        ),
    ):
        await teller.tell(str(uuid4()), run_id, name, [event])
    await _project(pool)


def _batch(run: str, producer: UUID, number: int, chance: np.random.Generator) -> pb.TelemetryBatch:
    steps = np.arange(number * POINTS, (number + 1) * POINTS, dtype=np.int64)
    columns = [
        encode_arrays(
            f"metric/{place}",
            Points(steps, 1_800_000_000_000_000 + steps * 20_000, chance.normal(size=POINTS)),
        )
        for place in range(METRICS)
    ]
    return pb.TelemetryBatch(
        run=run,
        producer=str(producer),
        epoch=1,
        batch=number,
        kind=pb.TELEMETRY_KIND_POINTS,
        payload=pb.PointColumns(columns=columns).SerializeToString(),
    )


async def _ingest(pool: Pool, batches: list[pb.TelemetryBatch], today: date) -> None:
    parsed = [one for batch in batches if (one := parse(batch.SerializeToString(), today))]
    await IngestStore(pool).ingest(
        [one.batch for one in parsed], [chunk for one in parsed for chunk in one.chunks], []
    )


async def _project(pool: Pool) -> None:
    """The view as the log is now, without a consumer."""
    records = await LogReader(pool).page(Position(0))
    codec = EventCodec(Subjects(pool, SystemClock()))
    events = [await codec.decode(one) for one in records]
    async with pool.acquire() as connection, connection.transaction():
        await apply_batch(connection, READ_MODEL, events)


@asynccontextmanager
async def _tables(url: str) -> AsyncIterator[Pool]:
    async with await connect(url, name="bench") as pool, pool.acquire() as connection:
        await migrate(connection, "log", "epochal_kernel.log")
        await migrate(connection, "tracker", "epochal_tracker")
        live = await prepare(connection, READ_MODEL)
    async with await connect(url, name="bench", search_path=f"{live.schema}, tracker") as pool:
        yield pool


@asynccontextmanager
async def _ledger(pool: Pool) -> AsyncIterator[Ledger]:
    subjects = Subjects(pool, SystemClock())
    appender = Appender(pool, LogSignal(), SystemIds(), SystemClock(), subjects)
    appending = asyncio.create_task(appender.run())
    try:
        yield Ledger(pool, appender, EventCodec(subjects))
    finally:
        appender.close()
        await appending
