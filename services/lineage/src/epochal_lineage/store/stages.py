"""Reading stages of datasets and components, now and as of any position."""

from __future__ import annotations

from typing import Final

from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_lineage.projections.stages import StageRow

_SQL: Final = load_sql("epochal_lineage", "stages.sql")


class StageStore:
    """Queries over stages, and over which versions there are to have them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def stages(
        self, resource: str, after: str, limit: int, position: int | None = None
    ) -> list[StageRow]:
        """Return stages of a dataset or a component by name, as of a position."""
        with adapting():
            rows = (
                await self._pool.fetch(_SQL["now"], resource, after, limit)
                if position is None
                else await self._pool.fetch(_SQL["then"], resource, after, limit, position)
            )
        return [StageRow(*row) for row in rows]

    async def stage(self, resource: str, stage: str) -> StageRow | None:
        """Return one stage."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["one"], resource, stage)
        return StageRow(*row) if row else None

    async def held(self, resource: str) -> dict[str, str]:
        """Return the version that has each stage, by the last part of its name."""
        with adapting():
            rows = await self._pool.fetch(_SQL["held"], resource)
        return {stage: version for stage, version in rows}

    async def there(self, version: str) -> bool:
        """Whether there is a version of a dataset or a component."""
        with adapting():
            return bool(await self._pool.fetchval(_SQL["there"], version))

    async def component_creator(self, version: str) -> str:
        """Return who registered a version of a component; empty when there is none."""
        with adapting():
            return await self._pool.fetchval(_SQL["creator"], version) or ""

    async def tags(self, component: str) -> frozenset[str]:
        """Return the tags that a component has now."""
        with adapting():
            rows = await self._pool.fetch(_SQL["tags"], component)
        return frozenset(tag for (tag,) in rows)
