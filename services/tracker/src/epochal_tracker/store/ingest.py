"""Writing telemetry: one transaction for many batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date
from operator import attrgetter
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.failpoints import failpoint
from epochal_kernel.postgres import Connection, Pool, adapting, load_sql

_SQL = load_sql("epochal_tracker", "ingest.sql")


@dataclass(frozen=True, slots=True)
class NewBatch:
    """One batch as it is remembered."""

    run_id: UUID
    producer: UUID
    batch: int
    kind: int
    points: int
    lines: int
    sha256: bytes
    run: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A batch that no table takes: how much it said it held, and why."""

    run_id: UUID
    producer: UUID
    batch: int
    run: str
    points: int
    lines: int
    reason: str


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """Points of one metric out of one batch, columns still compressed."""

    day: date
    run_id: UUID
    metric: str
    producer: UUID
    batch: int
    part: int
    first_step: int
    last_step: int
    first_time_us: int
    last_time_us: int
    points: int
    min: float
    max: float
    last: float
    steps: bytes
    times: bytes
    vals: bytes
    min_step: int | None
    max_step: int | None


@dataclass(frozen=True, slots=True)
class LogRow:
    """Lines of one batch, still compressed."""

    run_id: UUID
    producer: UUID
    batch: int
    first_line: int
    lines: int
    block: bytes


#: Chunks of fewer points are joined some day.
SMALL = 4_096

_CHUNK_COLUMNS = [field.name for field in fields(ChunkRow)]
_VALUES = attrgetter(*_CHUNK_COLUMNS)
_EPOCH = date(1970, 1, 1).toordinal()
_DAY_US = 86_400_000_000
_BATCH_COLUMNS = [field.name for field in fields(NewBatch) if field.name != "run"]
_LOG_COLUMNS = [field.name for field in fields(LogRow)]


class IngestStore:
    """Stores batches; each of them once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ingest(
        self,
        batches: Sequence[NewBatch],
        chunks: Sequence[ChunkRow],
        logs: Sequence[LogRow],
        refusals: Sequence[Refusal] = (),
    ) -> None:
        """Store what is new of these batches, and move cursors and summaries, all or nothing.

        Raises:
            Unavailable, ResourceExhausted: nothing is stored, or all is and the answer was lost.
        """
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction():
                new = await self._new(connection, batches)
                fresh = [c for c in chunks if (c.run_id, c.producer, c.batch) in new]
                if fresh:
                    await self.store_chunks(connection, fresh)
                lines = [row for row in logs if (row.run_id, row.producer, row.batch) in new]
                if lines:
                    await connection.copy_records_to_table(
                        "log_chunk",
                        schema_name="tracker",
                        columns=_LOG_COLUMNS,
                        records=[astuple(row) for row in lines],
                    )
                refused = [r for r in refusals if (r.run_id, r.producer, r.batch) in new]
                if refused:
                    await connection.executemany(
                        _SQL["refuse"], [astuple(refusal) for refusal in refused]
                    )
                failpoint("sink.after_copy")
                await self.advance(connection, {(row.run_id, row.producer) for row in batches})

    async def store_chunks(self, connection: Connection, chunks: Sequence[ChunkRow]) -> None:
        """Store chunks and fold them into the summaries."""
        await self._ensure_days(connection, {chunk.day for chunk in chunks})
        await connection.copy_records_to_table(
            "metric_chunk",
            schema_name="tracker",
            columns=_CHUNK_COLUMNS,
            records=[_record(chunk) for chunk in chunks],
        )
        await self._summarise(connection, chunks)

    async def _new(
        self, connection: Connection, batches: Sequence[NewBatch]
    ) -> set[tuple[UUID, UUID, int]]:
        rows = await connection.fetch(
            _SQL["new_batches"],
            *([getattr(row, column) for row in batches] for column in _BATCH_COLUMNS),
        )
        return {(row[0], row[1], row[2]) for row in rows}

    async def _ensure_days(self, connection: Connection, days: set[date]) -> None:
        # Each time, for retention drops old ones: never while the lock that this takes is held.
        for day in sorted(days):
            await connection.execute(_SQL["ensure_day"], day)

    async def _summarise(self, connection: Connection, chunks: Sequence[ChunkRow]) -> None:
        """Fold chunks into one row a series before the database sees them."""
        folded: dict[tuple[UUID, str], list[ChunkRow]] = {}
        for chunk in chunks:
            folded.setdefault((chunk.run_id, chunk.metric), []).append(chunk)
        newest = [
            max(group, key=lambda c: (c.last_step, c.last_time_us)) for group in folded.values()
        ]
        groups = list(folded.values())
        await connection.execute(
            _SQL["summaries"],
            [run_id for run_id, _ in folded],
            [metric for _, metric in folded],
            [chunk.last for chunk in newest],
            [chunk.last_step for chunk in newest],
            [chunk.last_time_us for chunk in newest],
            [_least(group) for group in groups],
            [_greatest(group) for group in groups],
            [sum(chunk.points for chunk in group) for group in groups],
            [sum(chunk.points < SMALL for chunk in group) for group in groups],
        )

    async def advance(self, connection: Connection, producers: set[tuple[UUID, UUID]]) -> None:
        """Move producers' cursors over batches that are all there."""
        # In one order everywhere, so that two sinks never wait for each other in a circle.
        ordered = sorted(producers)
        await connection.execute(
            _SQL["advance"], [run for run, _ in ordered], [producer for _, producer in ordered]
        )


def chunk_row(
    run_id: UUID, producer: UUID, batch: int, part: int, column: pb.PointColumn, today: date
) -> ChunkRow:
    """Return a column as a row; its bytes as they came."""
    return ChunkRow(
        day=_day(column.last_time_us, today),
        run_id=run_id,
        metric=column.metric,
        producer=producer,
        batch=batch,
        part=part,
        first_step=column.first_step,
        last_step=column.last_step,
        first_time_us=column.first_time_us,
        last_time_us=column.last_time_us,
        points=column.points,
        min=column.min,
        max=column.max,
        last=column.last,
        steps=column.steps,
        times=column.times,
        vals=column.values,
        min_step=column.min_step if column.HasField("min_step") else None,
        max_step=column.max_step if column.HasField("max_step") else None,
    )


def _day(time_us: int, today: date) -> date:
    """The partition of a chunk: its own day, or today when the producer's clock is far off."""
    # By arithmetic: a datetime for each chunk took a fifth of the time that its row takes to make.
    ordinal = _EPOCH + time_us // _DAY_US
    return date.fromordinal(ordinal) if abs(today.toordinal() - ordinal) <= 3_650 else today


def _record(chunk: ChunkRow) -> tuple[object, ...]:
    record: tuple[object, ...] = _VALUES(chunk)
    return record


def _least(group: Sequence[ChunkRow]) -> float:
    """Least value that is a number, NaN when there is none."""
    numbers = [chunk.min for chunk in group if chunk.min == chunk.min]
    return min(numbers, default=float("nan"))


def _greatest(group: Sequence[ChunkRow]) -> float:
    """Greatest value that is a number, NaN when there is none."""
    numbers = [chunk.max for chunk in group if chunk.max == chunk.max]
    return max(numbers, default=float("nan"))
