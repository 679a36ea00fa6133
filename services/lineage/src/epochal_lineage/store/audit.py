"""Reading the log as an auditor: by organisation, actor, resource, type, time, correlation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from epochal_kernel.log.events import COLUMNS, EventRecord
from epochal_kernel.postgres import Pool, adapting


@dataclass(frozen=True, slots=True)
class EventQuery:
    """What to look for; empty or None means any.

    Attributes:
        org_id: organisation; always limits.
        actors: who, by any of the names stored events have for them.
        resource: this resource and what is below it.
        types: full protobuf names.
        after: position to go on from, exclusive; None for the first page.
    """

    org_id: str
    actors: tuple[str, ...]
    resource: str
    types: tuple[str, ...]
    start: datetime | None
    end: datetime | None
    correlation_id: UUID | None
    after: int | None
    descending: bool
    limit: int


class AuditStore:
    """Queries over log.event itself: what auditors see is what was recorded, not a copy."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def events(self, query: EventQuery) -> list[EventRecord]:
        """Return events that fit, by position."""
        values: list[object] = [query.org_id]
        parts = ["org_id = $1"]

        def add(condition: str, value: object) -> None:
            values.append(value)
            parts.append(condition.replace("?", f"${len(values)}"))

        if query.actors:
            add("actor = ANY(?)", list(query.actors))
        if query.resource:
            add("(resource = ? OR starts_with(resource, ? || '/'))", query.resource)
        if query.types:
            add("type = ANY(?)", list(query.types))
        if query.start is not None:
            add("recorded_at >= ?", query.start)
        if query.end is not None:
            add("recorded_at < ?", query.end)
        if query.correlation_id is not None:
            add("correlation_id = ?", query.correlation_id)
        if query.after is not None:
            add("position < ?" if query.descending else "position > ?", query.after)
        direction = "DESC" if query.descending else "ASC"
        values.append(query.limit)
        statement = (
            f"SELECT {COLUMNS} FROM log.event WHERE {' AND '.join(parts)} "
            f"ORDER BY position {direction} LIMIT ${len(values)}"
        )
        with adapting():
            rows = await self._pool.fetch(statement, *values)
        return [EventRecord.from_row(row) for row in rows]
