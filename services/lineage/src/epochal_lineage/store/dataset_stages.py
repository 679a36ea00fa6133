"""Reading stages of datasets."""

from __future__ import annotations

from typing import Final

from epochal_kernel.postgres import Pool, adapting

from epochal_lineage.projections.dataset_stages import DatasetStageRow

_COLUMNS: Final = "dataset, stage, version, reason, author, update_time"
_ONE: Final = f"SELECT {_COLUMNS} FROM dataset_stage WHERE dataset = $1 AND stage = $2"
_LIST: Final = (
    f"SELECT {_COLUMNS} FROM dataset_stage WHERE dataset = $1 AND stage > $2 "
    "ORDER BY stage LIMIT $3"
)


class DatasetStageStore:
    """Queries over stages of datasets."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def stage(self, dataset: str, stage: str) -> DatasetStageRow | None:
        """Return a stage."""
        with adapting():
            row = await self._pool.fetchrow(_ONE, dataset, stage)
        return DatasetStageRow(*row) if row else None

    async def stages(self, dataset: str, after: str, limit: int) -> list[DatasetStageRow]:
        """Return stages of a dataset by name."""
        with adapting():
            rows = await self._pool.fetch(_LIST, dataset, after, limit)
        return [DatasetStageRow(*row) for row in rows]
