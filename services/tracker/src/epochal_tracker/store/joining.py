"""Joining small chunks of one series, in one transaction, under the lock of its summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import date
from uuid import UUID

from epochal_kernel.errors import Unavailable
from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_tracker.store.ingest import SMALL, ChunkRow

_SQL = load_sql("epochal_tracker", "curves.sql")
_COLUMNS = [field.name for field in fields(ChunkRow)]

#: Batches of each producer that are left alone: tails may be about to send them.
NEWEST = 100
#: Small chunks at which a series is looked at; the index in 0003_series.sql says so, too.
MANY = 64
#: Chunks of a series that are looked at at a time.
MOST = 500


@dataclass(frozen=True, slots=True)
class SmallChunk:
    """A chunk that may be joined with others of its day and producer."""

    day: date
    producer: UUID
    batch: int
    part: int
    points: int
    first_step: int
    last_step: int
    first_time_us: int
    last_time_us: int
    last: float
    steps: bytes
    times: bytes
    values: bytes


Joined = Callable[[UUID, str, Sequence[SmallChunk]], tuple[list[SmallChunk], list[ChunkRow]]]


class JoinStore:
    """Finds and joins."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def loose(self, limit: int) -> list[tuple[UUID, str]]:
        """Return series with many small chunks, the worst first."""
        with adapting():
            rows = await self._pool.fetch(_SQL["loose"], limit)
        return [(row[0], row[1]) for row in rows]

    async def join(
        self,
        run_id: UUID,
        metric: str,
        joined: Callable[
            [UUID, str, Sequence[SmallChunk]], tuple[list[SmallChunk], list[ChunkRow]]
        ],
    ) -> int:
        """Replace small chunks of a series by what `joined` makes of them; return how many went.

        Args:
            run_id: of the series.
            metric: of the series.
            joined: returns the chunks that go and those that come; they hold the same points.

        Raises:
            Unavailable: a chunk was deleted meanwhile; nothing is changed.
            DataLoss: a chunk does not decode; nothing is changed.
        """
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(_SQL["lock_series"], run_id, metric)
                rows = await connection.fetch(_SQL["joinable"], run_id, metric, SMALL, NEWEST, MOST)
                gone, made = joined(run_id, metric, [SmallChunk(*row) for row in rows])
                if gone:
                    dropped = await connection.execute(
                        _SQL["drop_joined"],
                        run_id,
                        metric,
                        [chunk.day for chunk in gone],
                        [chunk.producer for chunk in gone],
                        [chunk.batch for chunk in gone],
                        [chunk.part for chunk in gone],
                        [chunk.first_step for chunk in gone],
                    )
                    if dropped != f"DELETE {len(gone)}":
                        # Retention or a purge was here meanwhile: what it deleted must not return.
                        raise Unavailable("chunks were deleted while they were being joined")
                    await connection.copy_records_to_table(
                        "metric_chunk",
                        schema_name="tracker",
                        columns=_COLUMNS,
                        records=[tuple(getattr(row, name) for name in _COLUMNS) for row in made],
                    )
                # What was looked at counts no more, else it would be looked at for ever.
                left = MANY if len(rows) == MOST and gone else 0
                await connection.execute(_SQL["count_loose"], run_id, metric, left)
        return len(gone)
