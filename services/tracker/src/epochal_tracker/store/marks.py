"""Reading marks of runs and saved searches."""

from __future__ import annotations

from uuid import UUID

from epochal_kernel.postgres import Pool, adapting

from epochal_tracker.rows import MarkRow

_MARKS = (
    "SELECT run_id, kind, owner, text, author FROM run_mark WHERE run_id = $1 "
    "AND (owner = '' OR owner = $2)"
)
_SEARCH = "SELECT content FROM saved_search WHERE name = $1 AND (shared OR owner = $2)"
_SEARCHES = (
    "SELECT name, content FROM saved_search WHERE project = $1 AND (shared OR owner = $2) "
    "AND name > $3 ORDER BY name LIMIT $4"
)


class MarkStore:
    """Queries over marks and saved searches."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def marks(self, run_id: UUID, user: str) -> list[MarkRow]:
        """Return the marks of a run that a user sees."""
        with adapting():
            rows = await self._pool.fetch(_MARKS, run_id, user)
        return [MarkRow(*row) for row in rows]

    async def search(self, name: str, user: str) -> bytes | None:
        """Return a saved search, serialized, if the user may see it."""
        with adapting():
            found: bytes | None = await self._pool.fetchval(_SEARCH, name, user)
        return found

    async def searches(
        self, project: str, user: str, after: str, limit: int
    ) -> list[tuple[str, bytes]]:
        """Return names and contents of the saved searches that a user may see, by name."""
        with adapting():
            rows = await self._pool.fetch(_SEARCHES, project, user, after, limit)
        return [(row[0], row[1]) for row in rows]
