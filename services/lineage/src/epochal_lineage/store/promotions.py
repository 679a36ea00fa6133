"""Reading promotions, policies, and what gates must know of versions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Final, NamedTuple

from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_lineage.projections.promotion_rows import (
    FOREVER,
    CardSectionRow,
    PromotionRow,
    RegistryPolicyRow,
    RunFactRow,
    SignatureRow,
    VersionFileRow,
)

_SQL: Final = load_sql("epochal_lineage", "promotions_queries.sql")
_PROMOTION: Final = ", ".join(field.name for field in fields(PromotionRow))


class _Reading(NamedTuple):
    """Where promotions are read: as they stand, or as they stood."""

    get: str
    list: str
    of_version: str


def _reading(table: str, held: str) -> _Reading:
    """Return the queries over a table; `held` is a condition with the number of its parameter.

    Both are ours: nothing of a request comes into the text.
    """
    return _Reading(
        f"SELECT {_PROMOTION} FROM {table} WHERE resource = $1 AND number = $2 "
        f"AND {held.format('$3')}",
        f"SELECT {_PROMOTION} FROM {table} WHERE owner = $1 AND ($2 = '' OR resource = $2) "
        "AND ($3 = 0 OR state = $3) AND (NOT $4 OR review_open) AND position < $5 "
        f"AND {held.format('$7')} ORDER BY position DESC LIMIT $6",
        f"SELECT {_PROMOTION} FROM {table} WHERE resource = $1 AND version = $2 "
        f"AND {held.format('$3')} ORDER BY number LIMIT 100",
    )


#: A row that is there now holds now: the position is only compared so that both take the same.
_NOW: Final = _reading("promotion", "{}::bigint IS NULL")
_THEN: Final = _reading("promotion_past", "since <= {0}::bigint AND until > {0}::bigint")


class PromotionStore:
    """Queries over promotions and facts about versions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def promotion(
        self, resource: str, number: int, position: int | None = None
    ) -> PromotionRow | None:
        """Return one promotion, as of a position."""
        with adapting():
            row = await self._pool.fetchrow(_at(position).get, resource, number, position)
        return PromotionRow(*row) if row else None

    async def promotions(
        self,
        owner: str,
        resource: str,
        state: int,
        open_reviews: bool,
        before: int,
        limit: int,
        position: int | None = None,
    ) -> list[PromotionRow]:
        """Return promotions of an owner or one of its resources, newest first, as of a position."""
        with adapting():
            rows = await self._pool.fetch(
                _at(position).list, owner, resource, state, open_reviews, before, limit, position
            )
        return [PromotionRow(*row) for row in rows]

    async def policy(
        self, owner: str, version: int, position: int = FOREVER
    ) -> RegistryPolicyRow | None:
        """Return a version of an owner's policy, for 0 the newest up to a position."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["policy"], owner, version, position)
        return RegistryPolicyRow(*row) if row else None

    async def of_version(
        self, resource: str, version: str, position: int | None = None
    ) -> list[PromotionRow]:
        """Return the promotions of one version, oldest first, as of a position."""
        with adapting():
            rows = await self._pool.fetch(_at(position).of_version, resource, version, position)
        return [PromotionRow(*row) for row in rows]

    async def sections(
        self, names: Collection[str], position: int = FOREVER
    ) -> list[CardSectionRow]:
        """Return what people wrote in the cards of models and versions, as of a position."""
        with adapting():
            rows = await self._pool.fetch(_SQL["sections"], list(names), position)
        return [CardSectionRow(*row) for row in rows]

    async def validations(self, version: str) -> list[RunFactRow]:
        """Return the runs that validated a version, oldest first; only of its organisation."""
        org = "/".join(version.split("/")[:2]) + "/"
        with adapting():
            rows = await self._pool.fetch(_SQL["validations"], version, org)
        return [
            RunFactRow(run, creator, display_name, component, True)
            for run, component, display_name, creator in rows
        ]

    async def validated_by(self, version: str, components: Sequence[str]) -> list[RunFactRow]:
        """Return the newest run of each of some components that validated a version."""
        if not components:
            return []
        org = "/".join(version.split("/")[:2]) + "/"
        with adapting():
            rows = await self._pool.fetch(_SQL["validated_by"], version, org, list(components))
        return [
            RunFactRow(run, creator, display_name, component, True)
            for run, component, display_name, creator in rows
        ]

    async def of_run(self, run: str, position: int | None = None) -> list[str]:
        """Return the versions that a run made, ten at most, as of a position."""
        run_id = run.rpartition("/")[2].replace("-", "")
        with adapting():
            rows = (
                await self._pool.fetch(_SQL["of_run"], run_id, run)
                if position is None
                else await self._pool.fetch(_SQL["of_run_then"], run_id, run, position)
            )
        return [f"{model}/versions/{version}" for model, version in rows]

    async def creators(self, runs: Collection[str]) -> dict[str, str]:
        """Return who started some runs."""
        with adapting():
            rows = await self._pool.fetch(_SQL["creators"], list(runs))
        return {row[0]: row[1] for row in rows}

    async def bundles(self, model: str, version: int) -> list[str]:
        """Return the signatures of a version."""
        with adapting():
            rows = await self._pool.fetch(_SQL["bundles"], model, version)
        return [row[1] for row in rows]

    async def digests(self, model: str, version: int) -> dict[str, bytes]:
        """Return the sha256 of every file of a version, by path."""
        with adapting():
            rows = await self._pool.fetch(_SQL["digests"], model, version)
        return {row[0]: row[1] for row in rows}

    async def files(
        self, model: str, version: int, after: str, limit: int, position: int = FOREVER
    ) -> Sequence[VersionFileRow]:
        """Return files of a version by path, as of a position."""
        with adapting():
            rows = await self._pool.fetch(_SQL["files"], model, version, after, limit, position)
        return [VersionFileRow(*row) for row in rows]

    async def signatures(
        self, model: str, version: int, after: str, limit: int, position: int = FOREVER
    ) -> Sequence[SignatureRow]:
        """Return signatures of a version by key, as of a position."""
        with adapting():
            rows = await self._pool.fetch(
                _SQL["signatures"], model, version, after, limit, position
            )
        return [SignatureRow(*row) for row in rows]


def _at(position: int | None) -> _Reading:
    return _NOW if position is None else _THEN
