"""What is to be archived, read as the batches that came, and put back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import astuple, dataclass, fields
from datetime import date, datetime
from typing import Any
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition
from epochal_kernel.postgres import Connection, Pool, adapting, load_sql

from epochal_tracker.archive_rows import ArchiveRow
from epochal_tracker.store.ingest import ChunkRow, LogRow, NewBatch

_SQL = load_sql("epochal_tracker", "archiving.sql")
_CHUNK_COLUMNS = [field.name for field in fields(ChunkRow)]
_LOG_COLUMNS = [field.name for field in fields(LogRow)]

#: Reading or deleting all of a run may take longer than other statements may.
_LONG_S = 600.0
_ROWS = 500


@dataclass(frozen=True, slots=True)
class Due:
    """A producer that something is to be archived of: from which batch on, and its seal."""

    run_id: UUID
    producer: UUID
    through: int
    sealed_batch: int | None
    sealed_root: bytes | None
    expired: bool


@dataclass(frozen=True, slots=True)
class Leaf:
    """One batch that came: its number and sha256."""

    batch: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class StoredPoints:
    """What is stored of a batch of points: its columns, without how many values are odd."""

    batch: int
    columns: Sequence[pb.PointColumn]


@dataclass(frozen=True, slots=True)
class StoredLines:
    """What is stored of a batch of output."""

    batch: int
    lines: pb.LogLines


class ArchiveStore:
    """Queries over what is archived and what is to be."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def due(
        self, project: str, kind: pb.TelemetryKind, before: date, limit: int
    ) -> list[Due]:
        """Return producers of ended runs to archive: sealed ones, and others that are this old."""
        with adapting():
            rows = await self._pool.fetch(_SQL["due"], project, int(kind), before, limit)
        return [Due(*row) for row in rows]

    async def leaves(self, run_id: UUID, producer: UUID, after: int, through: int) -> list[Leaf]:
        """Return the batches of a producer after one and up to another."""
        with adapting():
            rows = await self._pool.fetch(_SQL["leaves"], run_id, producer, after, through)
        return [Leaf(*row) for row in rows]

    async def points(
        self, run_id: UUID, producer: UUID, after: int, through: int
    ) -> AsyncGenerator[StoredPoints]:
        """Yield what is stored of batches of points, in order, a few rows at a time in memory."""
        columns: list[pb.PointColumn] = []
        batch = 0
        async with aclosing(self._rows("points", run_id, producer, after, through)) as rows:
            async for row in rows:
                if row[0] != batch and columns:
                    yield StoredPoints(batch, columns)
                    columns = []
                batch = row[0]
                columns.append(_column(*row[1:]))
        if columns:
            yield StoredPoints(batch, columns)

    async def lines(
        self, run_id: UUID, producer: UUID, after: int, through: int
    ) -> AsyncGenerator[StoredLines]:
        """Yield what is stored of batches of output, in order."""
        async with aclosing(self._rows("lines", run_id, producer, after, through)) as rows:
            async for batch, lines, first_line, block in rows:
                content = pb.LogLines(lines=lines, first_line=first_line, block=block)
                yield StoredLines(batch, content)

    async def _rows(
        self, name: str, run_id: UUID, producer: UUID, after: int, through: int
    ) -> AsyncGenerator[tuple[Any, ...]]:
        with adapting():
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                async for row in connection.cursor(
                    _SQL[name], run_id, producer, after, through, prefetch=_ROWS, timeout=_LONG_S
                ):
                    yield tuple(row)

    async def advance(
        self, run_id: UUID, producer: UUID, kind: pb.TelemetryKind, batch: int
    ) -> None:
        """Remember that all batches of a kind up to one are archived, and told of."""
        with adapting():
            await self._pool.execute(_SQL["advance"], run_id, producer, int(kind), batch)

    async def purged(self, limit: int) -> list[tuple[str, UUID, list[bytes]]]:
        """Return project, run and objects of runs that were purged and have an archive."""
        with adapting():
            rows = await self._pool.fetch(_SQL["purged"], limit)
        return [(row[0], row[1], list(row[2])) for row in rows]

    async def objects(self, run_id: UUID, after: int, limit: int) -> list[ArchiveRow]:
        """Return objects of a run in the order they were archived in, after a position."""
        with adapting():
            rows = await self._pool.fetch(_SQL["objects"], run_id, after, limit)
        return [ArchiveRow(*row) for row in rows]

    async def object(self, run_id: UUID, sha256: bytes) -> ArchiveRow | None:
        """Return an object of a run."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["object"], run_id, sha256)
        return ArchiveRow(*row) if row else None

    async def restored_until(self, run_id: UUID) -> datetime | None:
        """Return until when retention leaves what was restored of a run."""
        with adapting():
            found: datetime | None = await self._pool.fetchval(_SQL["restored_until"], run_id)
        return found

    async def ensure_days(self, days: Sequence[date]) -> None:
        """Make the partitions of days, each in a transaction of its own.

        Making one keeps everybody out of the table: it must not last as long as putting rows back.
        """
        with adapting():
            for day in days:
                await self._pool.execute(_SQL["ensure_day"], day)

    @asynccontextmanager
    async def restoring(self, run_id: UUID) -> AsyncIterator[Restoring]:
        """Open what puts a run's telemetry back: all of it or nothing, one at a time.

        Raises:
            FailedPrecondition: it is being put back already.
        """
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction():
                if not await connection.fetchval(_SQL["lock_restoring"], str(run_id)):
                    raise FailedPrecondition(
                        f"{run_id} is being restored by somebody else: wait for that",
                        reason="RESTORING",
                    )
                yield Restoring(connection, run_id)


class Restoring:
    """Puts telemetry back within one transaction."""

    def __init__(self, connection: Connection, run_id: UUID) -> None:
        self._connection = connection
        self._run_id = run_id

    async def clear(self, kind: int, producer: UUID, through: int) -> None:
        """Delete what is still there of what comes back, which may be joined."""
        name = "drop_points" if kind == pb.TELEMETRY_KIND_POINTS else "drop_lines"
        await self._connection.execute(_SQL[name], self._run_id, producer, through, timeout=_LONG_S)
        # In a database that was made anew from the log nothing knows yet that it is archived, nor
        # that it ever came.
        await self._connection.execute(_SQL["advance"], self._run_id, producer, kind, through)
        await self._connection.execute(_SQL["missing_cursor"], self._run_id, producer, through)

    async def put(
        self, batches: Sequence[NewBatch], chunks: Sequence[ChunkRow], logs: Sequence[LogRow]
    ) -> None:
        """Store rows, and the hashes of batches where they are not known."""
        if batches:
            await self._connection.execute(
                _SQL["missing_batches"],
                self._run_id,
                batches[0].producer,
                batches[0].kind,
                [one.batch for one in batches],
                [one.points for one in batches],
                [one.lines for one in batches],
                [one.sha256 for one in batches],
            )
        for day in sorted({chunk.day for chunk in chunks}):
            await self._connection.execute(_SQL["ensure_day"], day)
        if chunks:
            await self._connection.copy_records_to_table(
                "metric_chunk",
                schema_name="tracker",
                columns=_CHUNK_COLUMNS,
                records=[tuple(getattr(row, name) for name in _CHUNK_COLUMNS) for row in chunks],
                timeout=_LONG_S,
            )
        if logs:
            await self._connection.copy_records_to_table(
                "log_chunk",
                schema_name="tracker",
                columns=_LOG_COLUMNS,
                records=[astuple(row) for row in logs],
                timeout=_LONG_S,
            )

    async def finish(self) -> None:
        """Make summaries of the metrics that have none."""
        await self._connection.execute(_SQL["missing_summaries"], self._run_id, timeout=_LONG_S)


def _column(
    metric: str,
    points: int,
    steps: bytes,
    times: bytes,
    values: bytes,
    first_step: int,
    last_step: int,
    first_time_us: int,
    last_time_us: int,
    least: float,
    greatest: float,
    last: float,
    min_step: int | None,
    max_step: int | None,
) -> pb.PointColumn:
    return pb.PointColumn(
        metric=metric,
        points=points,
        steps=steps,
        times=times,
        values=values,
        first_step=first_step,
        last_step=last_step,
        first_time_us=first_time_us,
        last_time_us=last_time_us,
        min=least,
        max=greatest,
        last=last,
        min_step=min_step,
        max_step=max_step,
    )
