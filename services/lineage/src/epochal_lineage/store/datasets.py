"""Reading versions of datasets."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_lineage.projections.datasets import DatasetVersionRow
from epochal_lineage.projections.facts.stating import project_of

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

    async def datasets(self, project: str, after: str, limit: int) -> list[FoundDataset]:
        """Return datasets of a project, by name."""
        with adapting():
            rows = await self._pool.fetch(_SQL["families"], project, after, limit)
        return [FoundDataset(*row) for row in rows]

    async def versions(self, dataset: str, before: int, limit: int) -> list[DatasetVersionRow]:
        """Return versions that were told of before a position, newest first."""
        with adapting():
            rows = await self._pool.fetch(
                _SQL["versions"], project_of(dataset), dataset, before, limit
            )
        return [DatasetVersionRow(*row) for row in rows]

    async def version(self, name: str) -> DatasetVersionRow | None:
        """Return a version."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["version"], name)
        return DatasetVersionRow(*row) if row else None
