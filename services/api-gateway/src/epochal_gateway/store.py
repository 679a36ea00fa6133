"""Queries of the gateway's read model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from epochal_kernel.postgres import Connection, Pool, adapting, load_sql

from epochal_gateway.projections import MemberRow, OrganizationRow, ProjectRow, TokenRow

_SQL = load_sql("epochal_gateway", "queries.sql")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All access state at one position."""

    position: int
    organizations: Sequence[OrganizationRow]
    projects: Sequence[ProjectRow]
    members: Sequence[MemberRow]
    tokens: Sequence[TokenRow]


class AccessStore:
    """Reads organisations, projects, members and tokens."""

    def __init__(self, pool: Pool, past: int = 0) -> None:
        """Prepare.

        Args:
            pool: of the gateway's database.
            past: position up to which a fork's history is another platform's, 0 for none.
        """
        self._pool = pool
        self._past = past

    async def organizations(
        self, names: Sequence[str], after: str, limit: int
    ) -> list[OrganizationRow]:
        """Return those of the named organisations that follow `after`, by name."""
        with adapting():
            rows = await self._pool.fetch(_SQL["organizations"], list(names), after, limit)
        return [OrganizationRow(*row) for row in rows]

    async def organization(self, name: str) -> OrganizationRow | None:
        """Return one organisation."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["organization"], name)
        return OrganizationRow(*row) if row else None

    async def project(self, name: str) -> ProjectRow | None:
        """Return one project."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["project"], name)
        return ProjectRow(*row) if row else None

    async def projects(
        self, parent: str, after: str, archived: bool, only: Sequence[str] | None, limit: int
    ) -> list[ProjectRow]:
        """Return projects of an organisation by name, `only` those named unless None."""
        with adapting():
            rows = await self._pool.fetch(
                _SQL["projects"],
                parent,
                after,
                archived,
                None if only is None else list(only),
                limit,
            )
        return [ProjectRow(*row) for row in rows]

    async def members(self, parent: str, after: str, limit: int) -> list[MemberRow]:
        """Return members of an organisation or project by user."""
        with adapting():
            rows = await self._pool.fetch(_SQL["members"], parent, after, limit)
        return [MemberRow(*row) for row in rows]

    async def tokens(self, parent: str, after: str, user: str, limit: int) -> list[TokenRow]:
        """Return tokens of an organisation by name, of one user unless empty."""
        with adapting():
            rows = await self._pool.fetch(_SQL["tokens"], parent, after, user, limit)
        return [TokenRow(*row) for row in rows]

    async def token(self, name: str) -> TokenRow | None:
        """Return one token."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["token"], name)
        return TokenRow(*row) if row else None

    async def snapshot(self) -> Snapshot:
        """Return everything, with the position it is at."""
        with adapting():
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                return Snapshot(
                    position=await connection.fetchval(_SQL["checkpoint"]) or 0,
                    organizations=[
                        OrganizationRow(*row)
                        for row in await connection.fetch(_SQL["all_organizations"])
                    ],
                    projects=[
                        ProjectRow(*row) for row in await connection.fetch(_SQL["all_projects"])
                    ],
                    members=[
                        MemberRow(*row) for row in await connection.fetch(_SQL["all_members"])
                    ],
                    tokens=await self._tokens_that_count(connection),
                )

    async def _tokens_that_count(self, connection: Connection) -> list[TokenRow]:
        """All of them; in a fork those it issued itself: the source's open the source only."""
        if self._past:
            rows = await connection.fetch(_SQL["tokens_since"], self._past)
        else:
            rows = await connection.fetch(_SQL["all_tokens"])
        return [TokenRow(*row) for row in rows]

    async def runs_elsewhere(self, run_id: UUID) -> bool:
        """Whether all that is known of a run is another platform's history: see `log.forks`."""
        if not self._past:
            return False
        with adapting():
            last = await self._pool.fetchval(_SQL["last_of_run"], run_id)
        return last is not None and int(last) <= self._past
