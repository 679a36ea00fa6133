"""Writing points at once: the tracker numbers their batches itself, under a lock a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.failpoints import failpoint
from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_tracker.store.ingest import IngestStore, chunk_row

_SQL = load_sql("epochal_tracker", "writing.sql")


@dataclass(frozen=True, slots=True)
class NewRequest:
    """One call's points, as its batch will be remembered."""

    run_id: UUID
    request_id: UUID | None
    sha256: bytes
    points: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """Which of the calls was stored, and as which batch."""

    place: int
    producer: UUID
    batch: int


@dataclass(frozen=True, slots=True)
class Sealable:
    """A producer of the tracker's own that may be sealed."""

    run_id: UUID
    generation: int
    producer: UUID
    project: str


class WriteStore:
    """Stores calls, each once."""

    def __init__(self, pool: Pool, ingest: IngestStore) -> None:
        self._pool = pool
        self._ingest = ingest

    async def write(
        self,
        requests: Sequence[NewRequest],
        columns: Sequence[Sequence[pb.PointColumn]],
        today: date,
    ) -> list[Claimed]:
        """Store what is new of these calls, all or nothing; return which it was, as what batches.

        Args:
            requests: at most one of a run and request_id.
            columns: of each call.
            today: where points of a clock that is far off are put.

        Raises:
            Unavailable, ResourceExhausted: nothing is stored, or all is and the answer was lost.
            Internal: PostgreSQL refuses a value.
        """
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction():
                rows = await connection.fetch(
                    _SQL["claim_batches"],
                    [one.run_id for one in requests],
                    [one.request_id for one in requests],
                    [one.sha256 for one in requests],
                    [one.points for one in requests],
                )
                claimed = [Claimed(place - 1, producer, batch) for place, producer, batch in rows]
                fresh = [
                    chunk_row(
                        requests[one.place].run_id, one.producer, one.batch, part, column, today
                    )
                    for one in claimed
                    for part, column in enumerate(columns[one.place])
                ]
                if fresh:
                    await self._ingest.store_chunks(connection, fresh)
                    await self._ingest.advance(
                        connection, {(chunk.run_id, chunk.producer) for chunk in fresh}
                    )
                failpoint("writer.before_commit")
        failpoint("writer.after_commit")
        return claimed

    async def sealable(self, idle_s: float, limit: int) -> list[Sealable]:
        """Return producers of runs that have ended, which nothing is written to any more."""
        with adapting():
            rows = await self._pool.fetch(_SQL["unsealed"], idle_s, limit)
        return [Sealable(*row) for row in rows]

    async def close(self, one: Sealable) -> int:
        """Let a producer take no more, and return its last batch."""
        with adapting():
            last: int = await self._pool.fetchval(_SQL["close"], one.run_id, one.generation)
        return last

    async def sealed(self, one: Sealable) -> None:
        """Remember that a producer's seal is in the log."""
        with adapting():
            await self._pool.execute(_SQL["sealed"], one.run_id, one.generation)
