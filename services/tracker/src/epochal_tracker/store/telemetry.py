"""Reading telemetry: cursors, batches, summaries, series, logs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from epochal_kernel.postgres import Connection, Pool, adapting, load_sql

from epochal_tracker.rows import ProducerRow

_SQL = load_sql("epochal_tracker", "telemetry.sql")


@dataclass(frozen=True, slots=True)
class BatchRow:
    """What a seal is computed over."""

    sha256: bytes
    points: int
    lines: int


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """Newest, least and greatest value of one series."""

    metric: str
    last: float
    last_step: int
    min: float
    max: float
    points: int
    last_time_us: int


@dataclass(frozen=True, slots=True)
class ChunkRef:
    """Where a chunk is and what steps it spans."""

    day: date
    producer: UUID
    batch: int
    part: int
    first_step: int
    last_step: int
    points: int
    below: int | None = None

    @property
    def whole(self) -> bool:
        """Whether all points of it are shown; those from step `below` on are hidden."""
        return self.below is None or self.last_step < self.below


@dataclass(frozen=True, slots=True)
class ChunkData:
    """The columns of a chunk, and what an empty one stands for."""

    points: int
    first_step: int
    last_step: int
    first_time_us: int
    last_time_us: int
    last: float
    steps: bytes
    times: bytes
    values: bytes


@dataclass(frozen=True, slots=True)
class SampledChunk:
    """A chunk of the series asked for at a place, from 1; no columns when it has one point.

    Points from step `below` on are hidden, if it is given.
    """

    place: int
    points: int
    first_step: int
    last_step: int
    last: float
    steps: bytes | None
    values: bytes | None
    below: int | None


class TelemetryView:
    """Chunks as they are at one moment."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def chunk_index(self, run_id: UUID, metric: str, start: int, end: int) -> list[ChunkRef]:
        """Return where the chunks are that may hold steps from `start` to `end`, by step."""
        with adapting():
            rows = await self._connection.fetch(_SQL["chunk_index"], run_id, metric, start, end)
        return [ChunkRef(*row) for row in rows]

    async def chunk(self, run_id: UUID, metric: str, ref: ChunkRef) -> ChunkData:
        """Return the columns of one chunk."""
        with adapting():
            row = await self._connection.fetchrow(
                _SQL["chunk"],
                run_id,
                metric,
                ref.first_step,
                ref.day,
                ref.producer,
                ref.batch,
                ref.part,
            )
        assert row is not None, "a view does not change"
        return ChunkData(*row)


class TelemetryStore:
    """Queries over telemetry."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def cursor(self, run_id: UUID, producer: UUID) -> int:
        """Return the last batch up to which all are there; 0 for none."""
        with adapting():
            return await self._pool.fetchval(_SQL["cursor"], run_id, producer) or 0

    async def producer(self, run_id: UUID, producer: UUID) -> ProducerRow | None:
        """Return what is known of a producer."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["producer"], run_id, producer)
        return ProducerRow(*row) if row else None

    async def batches(self, run_id: UUID, producer: UUID, last: int) -> list[BatchRow]:
        """Return the batches of a producer up to one, in order."""
        with adapting():
            rows = await self._pool.fetch(_SQL["batches"], run_id, producer, last)
        return [BatchRow(*row) for row in rows]

    async def summaries(self, run_id: UUID, after: str, limit: int) -> list[SummaryRow]:
        """Return series of a run by name."""
        with adapting():
            rows = await self._pool.fetch(_SQL["summaries"], run_id, after, limit)
        return [SummaryRow(*row) for row in rows]

    async def knows(self, run_id: UUID, metric: str) -> bool:
        """Return whether a run has a metric, be its points deleted."""
        with adapting():
            return bool(await self._pool.fetchval(_SQL["knows"], run_id, metric))

    async def has_summaries(self, run_id: UUID) -> bool:
        """Return whether a run has any metric; not in a database made anew from the log."""
        with adapting():
            return bool(await self._pool.fetchval(_SQL["has_summaries"], run_id))

    async def summaries_of(self, run_ids: Sequence[UUID]) -> dict[UUID, list[SummaryRow]]:
        """Return all series of several runs."""
        with adapting():
            rows = await self._pool.fetch(_SQL["summaries_of_runs"], list(run_ids))
        found: dict[UUID, list[SummaryRow]] = {}
        for run_id, *summary in rows:
            found.setdefault(run_id, []).append(SummaryRow(*summary))
        return found

    @asynccontextmanager
    async def view(self) -> AsyncIterator[TelemetryView]:
        """Open a view: joining and deleting of chunks is not seen in it."""
        with adapting():
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield TelemetryView(connection)

    async def sampled(
        self, run_ids: Sequence[UUID], metrics: Sequence[str], from_steps: Sequence[int], limit: int
    ) -> list[SampledChunk]:
        """Return the newest chunks of several series, the newest first, none beyond the limit."""
        with adapting():
            rows = await self._pool.fetch(
                _SQL["sampled"], list(run_ids), list(metrics), list(from_steps), limit
            )
        return [SampledChunk(*row) for row in rows]

    async def points_archived(self, run_id: UUID, metric: str) -> datetime | None:
        """Return when a run's points were archived, if they were and none of a metric is here."""
        with adapting():
            found: datetime | None = await self._pool.fetchval(
                _SQL["points_archived"], run_id, metric
            )
        return found

    async def output_archived(self, run_id: UUID) -> datetime | None:
        """Return when a run's output was archived, if it was and none of it is here."""
        with adapting():
            found: datetime | None = await self._pool.fetchval(_SQL["output_archived"], run_id)
        return found

    async def log_producers(self, run_id: UUID) -> list[UUID]:
        """Return the producers of log lines of a run, the first opened first."""
        with adapting():
            rows = await self._pool.fetch(_SQL["log_producers"], run_id)
        return [row[0] for row in rows]

    async def log_chunks(
        self, run_id: UUID, producer: UUID, first: int, limit: int
    ) -> list[tuple[int, bytes]]:
        """Return blocks of a producer from a batch on, only as far as all batches are there."""
        with adapting():
            rows = await self._pool.fetch(_SQL["log_chunks"], run_id, producer, first, limit)
        return [(row[0], row[1]) for row in rows]
