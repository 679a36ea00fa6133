"""Reading logged models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_lineage.projections.rows import LinkedModelRow, LoggedMetricRow, LoggedModelRow
from epochal_lineage.searching import clauses, vocabularies
from epochal_lineage.searching.compiler import Parameters, order_of, where
from epochal_lineage.store.registry import Question, page

_SQL = load_sql("epochal_lineage", "logged_models.sql")
_COLUMNS = ", ".join(f"l.{field.name}" for field in fields(LoggedModelRow))


@dataclass(frozen=True, slots=True)
class MeasuredOn:
    """A dataset that metrics count of; an empty digest means any."""

    name: str
    digest: str


class LoggedModelStore:
    """Queries over logged models."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def model(self, name: str) -> LoggedModelRow | None:
        """Return one logged model."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["model"], name)
        return LoggedModelRow(*row) if row else None

    async def metrics(self, names: Sequence[str]) -> dict[str, list[LoggedMetricRow]]:
        """Return what was measured of some logged models."""
        with adapting():
            rows = await self._pool.fetch(_SQL["metrics"], list(names))
        found: dict[str, list[LoggedMetricRow]] = {}
        for row in rows:
            found.setdefault(row[0], []).append(LoggedMetricRow(*row))
        return found

    async def links(self, runs: Sequence[str]) -> list[LinkedModelRow]:
        """Return the logged models that some runs have read and made, in order."""
        with adapting():
            rows = await self._pool.fetch(_SQL["links"], list(runs))
        return [LinkedModelRow(*row) for row in rows]

    async def search(
        self, question: Question, datasets: Sequence[MeasuredOn]
    ) -> tuple[list[LoggedModelRow], str]:
        """Return a page of logged models, and the token for the next; empty at the end.

        Raises:
            InvalidArgument: the filter, the order or the token is not right.
        """
        vocabulary = vocabularies.LOGGED_MODELS
        parameters = Parameters()
        home = parameters.add(list(question.projects))
        express = vocabularies.ExpressLogged(_measured_on(datasets, parameters))
        condition = where(clauses.parse(question.filter, vocabulary), express, parameters)
        order = order_of(
            clauses.parse_order(question.order_by, vocabulary),
            vocabularies.LOGGED_DEFAULT,
            vocabularies.MODEL_LAST,
            express,
            parameters,
        )
        rows, token = await page(
            self._pool,
            f"SELECT {_COLUMNS}, {order.columns()} FROM logged_model l "
            f"WHERE l.project = ANY({home}) AND {condition}",
            order,
            parameters,
            question,
            len(fields(LoggedModelRow)),
        )
        return [LoggedModelRow(*row) for row in rows], token  # type: ignore[arg-type]  # as selected


def _measured_on(datasets: Sequence[MeasuredOn], parameters: Parameters) -> str:
    parts: list[str] = []
    for dataset in datasets:
        part = f"d.dataset_name = {parameters.add(dataset.name)}"
        if dataset.digest:
            part += f" AND d.dataset_digest = {parameters.add(dataset.digest)}"
        parts.append(f"({part})")
    return f"({' OR '.join(parts)})" if parts else "true"
