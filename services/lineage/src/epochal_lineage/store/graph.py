"""Reading the graph."""

from __future__ import annotations

from collections.abc import Sequence

from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_lineage.projections.rows import EdgeRow, NodeRow, RunArtifactRow

_SQL = load_sql("epochal_lineage", "graph.sql")


class GraphStore:
    """Queries over nodes and edges, never beyond one project."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def node(self, name: str, project: str) -> NodeRow | None:
        """Return a node of a project."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["node"], name, project)
        return NodeRow(*row) if row else None

    async def nodes(self, names: Sequence[str], project: str) -> list[NodeRow]:
        """Return the nodes of a project that have these names."""
        with adapting():
            rows = await self._pool.fetch(_SQL["nodes"], list(names), project)
        return [NodeRow(*row) for row in rows]

    async def upstream(self, names: Sequence[str], project: str, limit: int) -> list[EdgeRow]:
        """Return edges that lead to any of the names."""
        with adapting():
            rows = await self._pool.fetch(_SQL["upstream"], list(names), project, limit)
        return [EdgeRow(*row) for row in rows]

    async def downstream(self, names: Sequence[str], project: str, limit: int) -> list[EdgeRow]:
        """Return edges that lead away from any of the names."""
        with adapting():
            rows = await self._pool.fetch(_SQL["downstream"], list(names), project, limit)
        return [EdgeRow(*row) for row in rows]

    async def artifacts(self, run: str, path: str) -> list[RunArtifactRow]:
        """Return the artifact at a path of a run, or all below it when it ends in "/"."""
        with adapting():
            rows = await self._pool.fetch(_SQL["artifacts"], run, path, path.endswith("/"))
        return [RunArtifactRow(*row) for row in rows]
