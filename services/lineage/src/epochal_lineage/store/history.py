"""Reading the log of one organisation up to a moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from datetime import datetime
from typing import Final

from epochal_kernel.log.events import EventRecord
from epochal_kernel.log.reader import LogReader
from epochal_kernel.postgres import Pool, adapting, load_sql

PAGE: Final = 5_000

_SQL: Final = load_sql("epochal_lineage", "history.sql")


class HistoryStore:
    """Queries over log.event."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def event(self, org_id: str, position: int) -> EventRecord | None:
        """Return an event of an organisation; None when it is another's or not there."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["event"], position, org_id)
        return EventRecord.from_row(row) if row else None

    async def events(
        self, org_id: str, types: Collection[str], after: int, through: int
    ) -> AsyncIterator[EventRecord]:
        """Yield an organisation's events of some types, in order."""
        while True:
            with adapting():
                rows = await self._pool.fetch(
                    _SQL["of_types"], org_id, list(types), after, through, PAGE
                )
            for row in rows:
                yield EventRecord.from_row(row)
            if len(rows) < PAGE:
                return
            after = rows[-1][0]

    async def head(self) -> int:
        """Return the position of the last event."""
        return (await LogReader(self._pool).head()).position

    async def position_at(self, moment: datetime) -> int:
        """Return the position of the last event recorded up to a time, 0 for none.

        Events are recorded one after the other, so it is found by halving.
        """
        with adapting():
            return int(await self._pool.fetchval(_SQL["position_at"], moment))
