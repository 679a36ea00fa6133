"""Reading what other systems told."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from epochal_kernel.postgres import Pool, adapting

from epochal_lineage.projections.openlineage import OpenLineageRow

_COLUMNS: Final = ", ".join(field.name for field in fields(OpenLineageRow))
_GET: Final = f"SELECT {_COLUMNS} FROM openlineage_node WHERE name = $1"


class OpenLineageStore:
    """Queries over what other systems told."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def node(self, name: str) -> OpenLineageRow | None:
        """Return what was told of a run, a job or a dataset."""
        with adapting():
            row = await self._pool.fetchrow(_GET, name)
        return OpenLineageRow(*row) if row else None
