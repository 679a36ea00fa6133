"""What other systems told, and how far they were told."""

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


class ReceiverStore:
    """How far receivers of our events are."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def position(self, url: str) -> int | None:
        """Return the position up to which a receiver was told; None for a new one."""
        with adapting():
            position: int | None = await self._pool.fetchval(
                "SELECT position FROM lineage.openlineage_receiver WHERE url = $1", url
            )
        return position

    async def reached(self, url: str, position: int) -> None:
        """Note that a receiver was told up to a position."""
        with adapting():
            await self._pool.execute(
                "INSERT INTO lineage.openlineage_receiver (url, position) VALUES ($1, $2) "
                "ON CONFLICT (url) DO UPDATE SET position = $2, told_at = clock_timestamp()",
                url,
                position,
            )
