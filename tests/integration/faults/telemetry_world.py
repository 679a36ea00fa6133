"""A producer of telemetry with a spool, and the real tracker that persists it."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import epochal_proto.v1 as pb
import zstandard
from epochal_kernel.bus import TELEMETRY, Bus, StreamSpec
from epochal_kernel.errors import DeadlineExceeded, Unavailable
from epochal_kernel.postgres import Pool
from epochal_testing.processes import PythonProcess, python_process
from epochal_testing.waiting import until

POINTS = 50
METRICS = ("loss", "accuracy")
STREAM = StreamSpec(TELEMETRY, ("tel.v1.>",), 1 << 28, work_queue=True, refuse_when_full=True)
DAY_US = 1_800_000_000_000_000


@asynccontextmanager
async def tracker(
    database: str, nats_url: str, failpoints: Mapping[str, str] | None = None, **settings: str
) -> AsyncIterator[PythonProcess]:
    """Run the real tracker."""
    environment = {"EPOCHAL_DATABASE_URL": database, "EPOCHAL_NATS_URL": nats_url, **settings}
    async with python_process(
        "-m", "epochal_tracker.main", environment=environment, failpoints=failpoints
    ) as process:
        yield process


@dataclass
class Producer:
    """Keeps every batch until PostgreSQL has it, as the SDK does."""

    bus: Bus
    pool: Pool
    run: UUID
    id: UUID

    @classmethod
    def new(cls, bus: Bus, pool: Pool) -> Producer:
        return cls(bus, pool, uuid4(), uuid4())

    async def send(self, numbers: range, life: str = "") -> None:
        """Publish batches until the broker has acknowledged each."""
        for number in numbers:
            data = batch(self.run, self.id, number).SerializeToString()

            async def published(data: bytes = data, number: int = number) -> bool:
                try:
                    await self.bus.ensure_stream(STREAM)
                    await self.bus.publish_durably(
                        "tel.v1.points.0",
                        data,
                        message_id=f"{self.id}:{number}{life}",
                        timeout_s=1.0,
                    )
                except (Unavailable, DeadlineExceeded) as error:
                    raise AssertionError(error.message) from error
                return True

            await until(published, 30)

    async def until_refused(self, why: str) -> int:
        """Publish batches from the first; return the number of the one that was refused."""
        for number in range(1, 10_000):
            data = batch(self.run, self.id, number).SerializeToString()
            try:
                await self.bus.publish_durably(
                    "tel.v1.points.0", data, message_id=f"{self.id}:{number}"
                )
            except Unavailable as error:
                assert why in error.message, error.message  # noqa: PT017 - any other is a failure
                return number
        raise AssertionError("everything was accepted")

    async def persisted(self) -> int:
        """Up to which batch PostgreSQL has all."""
        try:
            cursor = await self.pool.fetchval(
                "SELECT batch FROM tracker.producer_cursor WHERE run_id = $1 AND producer = $2",
                self.run,
                self.id,
            )
        except asyncpg.UndefinedTableError:
            return 0
        return cursor or 0

    async def until_persisted(self, number: int) -> None:
        async def there() -> bool:
            return await self.persisted() >= number

        await until(there, 40, what=f"batch {number} being persisted")

    async def check(self, batches: int) -> None:
        """Check that every point of every batch is there, and none twice."""
        rows = await self.pool.fetch(
            "SELECT metric, first_step, last_step, points FROM tracker.metric_chunk "
            "WHERE run_id = $1 ORDER BY metric, first_step",
            self.run,
        )
        wanted = [
            (metric, first, first + POINTS - 1, POINTS)
            for metric in sorted(METRICS)
            for first in range(0, batches * POINTS, POINTS)
        ]
        assert [tuple(row) for row in rows] == wanted
        summaries = await self.pool.fetch(
            "SELECT points, last_step FROM tracker.metric_summary WHERE run_id = $1", self.run
        )
        assert {tuple(row) for row in summaries} == {(batches * POINTS, batches * POINTS - 1)}
        assert await self.persisted() == batches


def batch(run: UUID, producer: UUID, number: int, metrics: tuple[str, ...] = METRICS) -> object:
    """Make a batch; its number says which steps it holds."""
    first = (number - 1) * POINTS
    columns = pb.PointColumns(columns=[_column(metric, first) for metric in metrics])
    return pb.TelemetryBatch(
        run=f"orgs/acme/projects/p/runs/{run}",
        producer=str(producer),
        epoch=1,
        batch=number,
        kind=pb.TELEMETRY_KIND_POINTS,
        payload=columns.SerializeToString(),
    )


def _column(metric: str, first: int) -> pb.PointColumn:
    values = [float(first + n) for n in range(POINTS)]
    raw = struct.pack(f"<{POINTS}d", *values)
    shuffled = b"".join(raw[byte::8] for byte in range(8))
    pack = zstandard.ZstdCompressor().compress
    return pb.PointColumn(
        metric=metric,
        points=POINTS,
        steps=pack(struct.pack(f"<{POINTS}q", first, *[1] * (POINTS - 1))),
        times=pack(struct.pack(f"<{POINTS}q", DAY_US + first, *[1] * (POINTS - 1))),
        values=pack(shuffled),
        first_step=first,
        last_step=first + POINTS - 1,
        first_time_us=DAY_US + first,
        last_time_us=DAY_US + first + POINTS - 1,
        min=values[0],
        max=values[-1],
        last=values[-1],
    )
