"""Reading series for plots and tails; what is read of one series is of one moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from epochal_kernel.postgres import Connection, Pool, adapting, load_sql

_SQL = load_sql("epochal_tracker", "curves.sql")
_PREFETCH = 64


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of a chunk without its columns; from step `below` on it is hidden."""

    first_step: int
    last_step: int
    first_time_us: int
    last_time_us: int
    points: int
    last: float
    min: float
    max: float
    min_step: int | None
    max_step: int | None
    below: int | None


@dataclass(frozen=True, slots=True)
class WholeChunk:
    """A chunk with its columns; points from step `below` on are hidden, if it is given."""

    points: int
    first_step: int
    last_step: int
    first_time_us: int
    last_time_us: int
    last: float
    steps: bytes
    times: bytes
    values: bytes
    below: int | None


@dataclass(frozen=True, slots=True)
class NewChunk:
    """A chunk that a tail has not sent."""

    metric: str
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
    below: int | None


@dataclass(frozen=True, slots=True)
class Pattern:
    """Names of metrics, and patterns in SQL's own notation; all metrics when there is neither."""

    names: Sequence[str]
    likes: Sequence[str]


def pattern_of(wanted: Sequence[str]) -> Pattern:
    """Return names and patterns such as "val/*" as the database takes them."""
    likes = [
        text.replace("\\", "\\\\")
        .replace("%", "\\%")
        .replace("_", "\\_")
        .replace("*", "%")
        .replace("?", "_")
        for text in wanted
        if "*" in text or "?" in text
    ]
    # A name may hold a star: what is written is also looked up as it is.
    return Pattern(list(wanted), likes)


class SeriesView:
    """Series as they are at one moment."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def outlines(self, run_id: UUID, metric: str, start: int, end: int) -> list[Outline]:
        """Return what is known of chunks that may hold steps from `start` to `end`, by step."""
        with adapting():
            rows = await self._connection.fetch(_SQL["outlines"], run_id, metric, start, end)
        return [Outline(*row) for row in rows]

    async def chunks(
        self, run_id: UUID, metric: str, start: int, end: int
    ) -> AsyncIterator[WholeChunk]:
        """Return chunks that may hold steps from `start` to `end`, by step, a few in memory."""
        with adapting():
            async for row in self._connection.cursor(
                _SQL["whole"], run_id, metric, start, end, prefetch=_PREFETCH
            ):
                yield WholeChunk(*row)


class CurveStore:
    """Queries for plots and tails."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def series(
        self, run_ids: Sequence[UUID], pattern: Pattern, limit: int
    ) -> list[tuple[UUID, str]]:
        """Return series of runs, in the order of the runs, then by metric."""
        with adapting():
            rows = await self._pool.fetch(
                _SQL["series"], list(run_ids), pattern.names, pattern.likes, limit
            )
        return [(row[0], row[1]) for row in rows]

    async def archived(self, run_ids: Collection[UUID]) -> set[UUID]:
        """Return those of the runs that points are archived of, be they here still or again."""
        with adapting():
            rows = await self._pool.fetch(_SQL["archived"], list(run_ids))
        return {row[0] for row in rows}

    @asynccontextmanager
    async def view(self) -> AsyncIterator[SeriesView]:
        """Open a view: joining of chunks, which goes on meanwhile, is not seen in it."""
        with adapting():
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield SeriesView(connection)

    async def grown(self, run_id: UUID, pattern: Pattern) -> dict[str, int]:
        """Return how many points each metric has had."""
        with adapting():
            rows = await self._pool.fetch(_SQL["grown"], run_id, pattern.names, pattern.likes)
        return {row[0]: row[1] for row in rows}

    async def news(
        self, run_id: UUID, metrics: Sequence[str], sent: Mapping[UUID, tuple[int, int]], limit: int
    ) -> list[NewChunk]:
        """Return chunks of metrics beyond the batch and part that were sent of each producer."""
        with adapting():
            rows = await self._pool.fetch(
                _SQL["news"],
                run_id,
                list(metrics),
                list(sent),
                [batch for batch, _ in sent.values()],
                [part for _, part in sent.values()],
                limit,
            )
        return [NewChunk(*row) for row in rows]
