"""Reading versions of datasets."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_lineage.projections.datasets import DatasetVersionRow
from epochal_lineage.projections.facts.stating import project_of
from epochal_lineage.projections.promotion_rows import FOREVER

_SQL: Final = load_sql("epochal_lineage", "datasets.sql")


class FoundDataset(NamedTuple):
    """A dataset and the newest of its versions."""

    name: str
    versions: int
    latest: str
    update_time: datetime


class DatasetStore:
    """Queries over versions of datasets."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def datasets(
        self, project: str, after: str, limit: int, position: int | None = None
    ) -> list[FoundDataset]:
        """Return datasets of a project by name, as of a position."""
        until = FOREVER if position is None else position
        with adapting():
            rows = await self._pool.fetch(_SQL["families"], project, after, limit, until)
        return [FoundDataset(*row) for row in rows]

    async def versions(
        self, dataset: str, before: int, limit: int, position: int | None = None
    ) -> list[DatasetVersionRow]:
        """Return versions that were told of before one, newest first, as of a position."""
        given = (project_of(dataset), dataset, before, limit)
        with adapting():
            rows = (
                await self._pool.fetch(_SQL["versions"], *given)
                if position is None
                else await self._pool.fetch(_SQL["versions_then"], *given, position)
            )
        return [DatasetVersionRow(*row) for row in rows]

    async def version(self, name: str, position: int | None = None) -> DatasetVersionRow | None:
        """Return a version, as of a position."""
        with adapting():
            row = (
                await self._pool.fetchrow(_SQL["version"], name)
                if position is None
                else await self._pool.fetchrow(_SQL["version_then"], name, position)
            )
        return DatasetVersionRow(*row) if row else None
