"""Running searches: which statement, in which order, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from epochal_kernel.postgres import Connection, Pool, adapting

from epochal_tracker.search.compiler import grouped
from epochal_tracker.search.ordering import Place, keys_of
from epochal_tracker.search.sources import Source
from epochal_tracker.search.statements import FEW, Part, Search, Statement, count, page, probe
from epochal_tracker.search.syntax import Node, Order


@dataclass(frozen=True, slots=True)
class Found:
    """Where runs of a page are in the order, and how many fit (None when not counted)."""

    places: list[Place]
    total: int | None


class SearchStore:
    """Finds runs.

    A condition that fits at most `few` runs is read from its index before anything else.
    """

    def __init__(self, pool: Pool, few: int = FEW) -> None:
        self._pool = pool
        self._few = few

    async def find(
        self,
        node: Node,
        orders: Sequence[Order],
        place: Place | None,
        limit: int,
        *,
        counted: bool = False,
    ) -> Found:
        """Return a page of the runs that fit, after a place.

        Raises:
            Unavailable: the database does not answer.
        """
        search = Search(grouped(node), keys_of(orders))
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction(readonly=True):
                # A plan for any values is wrong for most: which index is best depends on them.
                await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
                places = await self._places(connection, search, place, limit)
                total = None
                if counted:
                    statement = count(search.groups)
                    total = await connection.fetchval(statement.text, *statement.values)
        return Found(places, total)

    async def groups(self, statement: Statement) -> list[tuple[object, ...]]:
        """Return the rows of a statement of `search.grouping`.

        Raises:
            Unavailable: the database does not answer.
        """
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction(readonly=True):
                await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
                rows = await connection.fetch(statement.text, *statement.values)
        return [tuple(row) for row in rows]

    async def _places(
        self, connection: Connection, search: Search, place: Place | None, limit: int
    ) -> list[Place]:
        driver = await self._driver(connection, search)
        if driver is not None or search.lead is None:
            return await self._page(connection, page(search, Part.ALL, place, limit, driver))
        places: list[Place] = []
        if place is None or place.values[0] is not None:
            statement = page(search, Part.WITH, place, limit, None)
            places = await self._page(connection, statement)
            place = None
        if len(places) < limit and not search.needs_lead:
            statement = page(search, Part.WITHOUT, place, limit - len(places), None)
            places += await self._page(connection, statement)
        return places

    async def _driver(self, connection: Connection, search: Search) -> Source | None:
        """Return the named condition that fits few runs, if there is one: the fewest."""
        statement = probe(search.groups, self._few)
        if statement is None:
            return None
        counts = await connection.fetchrow(statement.text, *statement.values)
        assert counts is not None
        fewest, source = min(
            zip(counts, search.groups.by_source, strict=True), key=lambda it: it[0]
        )
        return source if fewest <= self._few else None

    async def _page(self, connection: Connection, statement: Statement) -> list[Place]:
        rows = await connection.fetch(statement.text, *statement.values)
        return [_place(row) for row in rows]


def _place(row: Sequence[object]) -> Place:
    run_id, *values = tuple(row)
    return Place(tuple(values), UUID(str(run_id)))
