"""What is refused, hidden, kept and deleted: the tables behind losses, truncation and retention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_tracker.keeping import RetentionRow
from epochal_tracker.store.ingest import Refusal

_SQL = load_sql("epochal_tracker", "keeping.sql")


@dataclass(frozen=True, slots=True)
class ShownChunk:
    """A chunk of which points below a step are shown; all when there is none."""

    metric: str
    points: int
    first_step: int
    last_step: int
    first_time_us: int
    last_time_us: int
    last: float
    min: float
    max: float
    steps: bytes
    times: bytes
    values: bytes
    below: int | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a series' summary is to be."""

    last: float
    last_step: int
    last_time_us: int
    min: float
    max: float
    points: int


@dataclass(frozen=True, slots=True)
class Expired:
    """What of one day a project keeps no longer."""

    project: str
    system: bool
    runs: int
    points: int


@dataclass(frozen=True, slots=True)
class OldArtifact:
    """An artifact that may go."""

    run_id: UUID
    path: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class DeadObject:
    """Bytes of a deleted artifact, and whether another artifact has the same."""

    sha256: bytes
    position: int
    in_use: bool


class LossStore:
    """Refused batches that the log has not been told of."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def untold(self, limit: int) -> list[Refusal]:
        """Return refusals to tell."""
        with adapting():
            rows = await self._pool.fetch(_SQL["untold"], limit)
        return [Refusal(*row) for row in rows]

    async def told(self, one: Refusal) -> None:
        """Remember that the log has been told."""
        with adapting():
            await self._pool.execute(_SQL["told"], one.run_id, one.producer, one.batch)


class TruncationStore:
    """Hidden points, left out of summaries."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def producers(self, run_id: UUID) -> list[UUID]:
        """Close the tracker's own producers of a run, and return all it has had."""
        with adapting():
            await self._pool.execute(_SQL["close_own"], run_id)
            rows = await self._pool.fetch(_SQL["producers"], run_id)
        return [row[0] for row in rows]

    async def untruncated(self, limit: int) -> list[UUID]:
        """Return runs whose summaries still count points that are hidden."""
        with adapting():
            rows = await self._pool.fetch(_SQL["untruncated"], limit)
        return [row[0] for row in rows]

    async def summarise(
        self, run_id: UUID, summary: Callable[[Sequence[ShownChunk]], Summary | None]
    ) -> None:
        """Make summaries anew of the metrics of a run that have hidden points.

        The rows are locked first: a sink that stores points meanwhile adds them afterwards.
        """
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(_SQL["lock_summaries"], run_id)
                rows = await connection.fetch(_SQL["hidden_metrics"], run_id)
                for (metric,) in rows:
                    chunks = await connection.fetch(_SQL["shown_chunks"], run_id, [metric])
                    made = summary([ShownChunk(*chunk) for chunk in chunks])
                    if made is None:
                        await connection.execute(_SQL["drop_summary"], run_id, metric)
                        continue
                    await connection.execute(
                        _SQL["set_summary"],
                        run_id,
                        metric,
                        made.last,
                        made.last_step,
                        made.last_time_us,
                        made.min,
                        made.max,
                        made.points,
                    )
                await connection.execute(_SQL["truncated"], run_id)


class RetentionStore:
    """What is old, and its deletion."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def retention(self, project: str) -> RetentionRow:
        """Return what a project keeps; everything for ever unless it was said."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["retention"], project)
        return RetentionRow(*row) if row else RetentionRow(project, 0, 0, 0, 0, 0)

    async def retentions(self) -> list[RetentionRow]:
        """Return projects that do not keep everything for ever."""
        with adapting():
            rows = await self._pool.fetch(_SQL["retentions"])
        return [RetentionRow(*row) for row in rows]

    async def old_days(self, before: date) -> list[date]:
        """Return days before one that have points."""
        with adapting():
            rows = await self._pool.fetch(_SQL["old_days"], before)
        return [row[0] for row in rows]

    async def expired(self, day: date, today: date) -> list[Expired]:
        """Return what of a day is older than its projects keep."""
        with adapting():
            rows = await self._pool.fetch(_SQL["expired_of_day"], day, today)
        return [Expired(*row) for row in rows]

    async def drop_expired(self, day: date, today: date) -> None:
        """Delete what of a day is older than kept; a day that has nothing else goes whole."""
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = '5s'")
                await connection.execute(_SQL["lock_days"])
                if await connection.fetchval(_SQL["kept_of_day"], day, today):
                    await connection.execute(_SQL["drop_expired_of_day"], day, today)
                else:
                    await connection.execute(_SQL["drop_day"], day)

    async def drop_logs(self, project: str, before: date, today: date) -> tuple[int, int]:
        """Delete output of runs that ended before a day; return how many runs and lines."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["drop_expired_logs"], project, before, today)
        return (row[0], row[1]) if row else (0, 0)

    async def drop_spans(self, project: str, before: date) -> tuple[int, int]:
        """Delete spans that began before a day; return of how many traces, and how many."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["drop_expired_spans"], project, before)
        return (row[0], row[1]) if row else (0, 0)

    async def expired_artifacts(self, project: str, before: date, limit: int) -> list[OldArtifact]:
        """Return artifacts of runs that have ended, uploaded before a day, by run."""
        with adapting():
            rows = await self._pool.fetch(_SQL["expired_artifacts"], project, before, limit)
        return [OldArtifact(*row) for row in rows]

    async def needed_by(self, run_id: UUID) -> list[str]:
        """Return registered model versions that a run made."""
        with adapting():
            rows = await self._pool.fetch(_SQL["needed_by"], run_id)
        return [row[0] for row in rows]

    async def needing(self, run_id: UUID, paths: Sequence[str]) -> tuple[str, str] | None:
        """Return a registered model version that is of one of some artifacts, and which."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["needing"], run_id, list(paths))
        return (row[0], row[1]) if row else None

    async def holdings(self, run_id: UUID) -> tuple[int, int, int]:
        """Return how many points, lines and spans of a run there are."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["holdings"], run_id)
        return (row[0], row[1], row[2]) if row else (0, 0, 0)

    async def artifacts(self, run_id: UUID) -> list[OldArtifact]:
        """Return all artifacts of a run."""
        with adapting():
            rows = await self._pool.fetch(_SQL["artifacts_of"], run_id)
        return [OldArtifact(run_id, *row) for row in rows]

    async def purge(self, run_id: UUID) -> None:
        """Delete points, lines, spans and summaries of a run; hashes stay, for its seals."""
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction():
                for name in ("purge_points", "purge_lines", "purge_spans", "purge_summaries"):
                    await connection.execute(_SQL[name], run_id)

    async def unpurged(self) -> list[UUID]:
        """Return runs that were purged and have something still, or again."""
        with adapting():
            rows = await self._pool.fetch(_SQL["unpurged"])
        return [row[0] for row in rows]

    async def dead_objects(self, limit: int) -> list[DeadObject]:
        """Return bytes of deleted artifacts that are not deleted themselves."""
        with adapting():
            rows = await self._pool.fetch(_SQL["dead_objects"], limit)
        return [DeadObject(*row) for row in rows]

    async def removed(self, objects: Sequence[DeadObject]) -> None:
        """Remember bytes that are deleted, or in use."""
        with adapting():
            await self._pool.execute(
                _SQL["removed"],
                [one.sha256 for one in objects],
                [one.position for one in objects],
            )
