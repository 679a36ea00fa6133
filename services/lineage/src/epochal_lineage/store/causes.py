"""Reading the events that explain others, of one organisation, up to a moment."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from epochal_kernel.log.events import EventRecord
from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_lineage.store.graph import Scope

_SQL: Final = load_sql("epochal_lineage", "causes.sql")


class CauseStore:
    """Queries over log.event."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def about(
        self, resource: str, category: str, types: Collection[str], scope: Scope, limit: int
    ) -> list[EventRecord]:
        """Return events recorded under a resource, oldest first; all types when none is named."""
        with adapting():
            rows = await self._pool.fetch(
                _SQL["about"],
                resource,
                _org_id(scope),
                scope.position,
                category,
                list(types),
                limit,
            )
        return [EventRecord.from_row(row) for row in rows]

    async def at(self, position: int, scope: Scope) -> EventRecord | None:
        """Return the event at a position."""
        return await self._one("at", position, _org_id(scope))

    async def by_id(self, event_id: UUID, scope: Scope) -> EventRecord | None:
        """Return the event that has an id."""
        return await self._one("by_id", event_id, _org_id(scope), scope.position)

    async def first_of_request(self, correlation_id: UUID, scope: Scope) -> EventRecord | None:
        """Return the first event of a request."""
        return await self._one("first_of_request", correlation_id, _org_id(scope))

    async def _one(self, statement: str, *values: object) -> EventRecord | None:
        with adapting():
            row = await self._pool.fetchrow(_SQL[statement], *values)
        return EventRecord.from_row(row) if row else None


def _org_id(scope: Scope) -> str:
    return scope.org.removeprefix("orgs/")
