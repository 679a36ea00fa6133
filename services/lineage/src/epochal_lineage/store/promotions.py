"""Reading promotions, policies, and what gates must know of versions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Final

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
_GET: Final = f"SELECT {_PROMOTION} FROM promotion WHERE model = $1 AND number = $2"
_LIST: Final = (
    f"SELECT {_PROMOTION} FROM promotion WHERE project = $1 AND ($2 = '' OR model = $2) "
    "AND ($3 = 0 OR state = $3) AND (NOT $4 OR review_open) AND position < $5 "
    "ORDER BY position DESC LIMIT $6"
)
_OF_VERSION: Final = (
    f"SELECT {_PROMOTION} FROM promotion WHERE model = $1 AND version = $2 "
    "ORDER BY number LIMIT 100"
)


class PromotionStore:
    """Queries over promotions and facts about versions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def promotion(self, model: str, number: int) -> PromotionRow | None:
        """Return one promotion."""
        with adapting():
            row = await self._pool.fetchrow(_GET, model, number)
        return PromotionRow(*row) if row else None

    async def promotions(
        self, project: str, model: str, state: int, open_reviews: bool, before: int, limit: int
    ) -> list[PromotionRow]:
        """Return promotions of a project or one of its models, newest first."""
        with adapting():
            rows = await self._pool.fetch(_LIST, project, model, state, open_reviews, before, limit)
        return [PromotionRow(*row) for row in rows]

    async def policy(
        self, project: str, version: int, position: int = FOREVER
    ) -> RegistryPolicyRow | None:
        """Return a version of a project's policy, for 0 the newest up to a position."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["policy"], project, version, position)
        return RegistryPolicyRow(*row) if row else None

    async def of_version(self, model: str, version: int) -> list[PromotionRow]:
        """Return the promotions of one version, oldest first."""
        with adapting():
            rows = await self._pool.fetch(_OF_VERSION, model, version)
        return [PromotionRow(*row) for row in rows]

    async def sections(self, names: Collection[str]) -> list[CardSectionRow]:
        """Return what people wrote in the cards of models and versions."""
        with adapting():
            rows = await self._pool.fetch(_SQL["sections"], list(names))
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

    async def of_run(self, run: str) -> list[str]:
        """Return the versions that a run made, ten at most."""
        run_id = run.rpartition("/")[2].replace("-", "")
        with adapting():
            rows = await self._pool.fetch(_SQL["of_run"], run_id, run)
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
        self, model: str, version: int, after: str, limit: int
    ) -> Sequence[VersionFileRow]:
        """Return files of a version by path."""
        with adapting():
            rows = await self._pool.fetch(_SQL["files"], model, version, after, limit)
        return [VersionFileRow(*row) for row in rows]

    async def signatures(
        self, model: str, version: int, after: str, limit: int
    ) -> Sequence[SignatureRow]:
        """Return signatures of a version by key."""
        with adapting():
            rows = await self._pool.fetch(_SQL["signatures"], model, version, after, limit)
        return [SignatureRow(*row) for row in rows]
