"""Reading the model registry."""

from __future__ import annotations

from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_lineage.projections import ModelRow, ModelVersionRow

_SQL = load_sql("epochal_lineage", "registry.sql")


class RegistryStore:
    """Queries over models and versions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def model(self, name: str) -> ModelRow | None:
        """Return one model."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["model"], name)
        return ModelRow(*row) if row else None

    async def models(self, project: str, after: str, limit: int) -> list[ModelRow]:
        """Return models of a project by name."""
        with adapting():
            rows = await self._pool.fetch(_SQL["models"], project, after, limit)
        return [ModelRow(*row) for row in rows]

    async def version(self, model: str, version: int) -> ModelVersionRow | None:
        """Return one version."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["version"], model, version)
        return ModelVersionRow(*row) if row else None

    async def versions(self, model: str, before: int, limit: int) -> list[ModelVersionRow]:
        """Return versions below a number, newest first."""
        with adapting():
            rows = await self._pool.fetch(_SQL["versions"], model, before, limit)
        return [ModelVersionRow(*row) for row in rows]
