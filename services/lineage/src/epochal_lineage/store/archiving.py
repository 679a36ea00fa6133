"""How far places have the archived log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_lineage.domain.naming import PersonName

_SQL: Final = load_sql("epochal_lineage", "archiving.sql")


@dataclass(frozen=True, slots=True)
class Reached:
    """Up to which position a place has segments, and what its manifest says."""

    segments: int = 0
    size: int = 0


class LogArchiveStore:
    """Remembers."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def reached(self, place: str) -> Reached:
        """Return how far a place is."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["reached"], place)
        return Reached(*row) if row else Reached()

    async def names(self) -> list[PersonName]:
        """Return whom every pseudonym of the log stands for."""
        with adapting():
            rows = await self._pool.fetch(_SQL["names"])
        return [PersonName(*row) for row in rows]

    async def note(self, place: str, reached: Reached) -> None:
        """Remember how far a place is now."""
        with adapting():
            await self._pool.execute(_SQL["note_reached"], place, reached.segments, reached.size)
