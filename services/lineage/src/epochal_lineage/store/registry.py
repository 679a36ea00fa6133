"""Reading the model registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from epochal_kernel.postgres import Pool, adapting

from epochal_lineage.projections.rows import ModelRow, ModelVersionRow
from epochal_lineage.searching import clauses, vocabularies
from epochal_lineage.searching.compiler import Order, Parameters, order_of, plain, where

_MODEL = ", ".join(f"m.{field.name}" for field in fields(ModelRow))
_VERSION = ", ".join(f"v.{field.name}" for field in fields(ModelVersionRow))
_MODEL_COLUMNS = len(fields(ModelRow))

_GET_MODEL = f"SELECT {_MODEL} FROM model m WHERE m.name = $1"
_LIST_MODELS = (
    f"SELECT {_MODEL} FROM model m WHERE m.project = $1 AND m.name > $2 ORDER BY m.name LIMIT $3"
)
_CALLED = (
    f"SELECT {_MODEL} FROM model m WHERE m.display_name = $1 AND m.project = ANY($2) "
    "ORDER BY m.name"
)
_GET_VERSION = f"SELECT {_VERSION} FROM model_version v WHERE v.model = $1 AND v.version = $2"
_LIST_VERSIONS = (
    f"SELECT {_VERSION} FROM model_version v WHERE v.model = $1 AND v.version < $2 "
    "ORDER BY v.version DESC LIMIT $3"
)

_LATEST = (
    f"SELECT DISTINCT ON (v.model, v.stage) {_VERSION} FROM model_version v "
    "WHERE v.model = ANY($1) ORDER BY v.model, v.stage, v.version DESC"
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched for.

    Attributes:
        projects: to look in.
        filter: in MLflow's grammar.
        order_by: fields to sort by.
        page_token: from the page before, empty for the first.
        size: rows at most.
    """

    projects: Sequence[str]
    filter: str
    order_by: str
    page_token: str
    size: int


@dataclass(frozen=True, slots=True)
class Versioned:
    """A version with the model it is of."""

    model: ModelRow
    version: ModelVersionRow


class RegistryStore:
    """Queries over models and versions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def model(self, name: str) -> ModelRow | None:
        """Return one model."""
        with adapting():
            row = await self._pool.fetchrow(_GET_MODEL, name)
        return ModelRow(*row) if row else None

    async def models(self, project: str, after: str, limit: int) -> list[ModelRow]:
        """Return models of a project by name."""
        with adapting():
            rows = await self._pool.fetch(_LIST_MODELS, project, after, limit)
        return [ModelRow(*row) for row in rows]

    async def called(self, display_name: str, projects: Sequence[str]) -> list[ModelRow]:
        """Return the models of some projects that people call this."""
        with adapting():
            rows = await self._pool.fetch(_CALLED, display_name, list(projects))
        return [ModelRow(*row) for row in rows]

    async def version(self, model: str, version: int) -> ModelVersionRow | None:
        """Return one version."""
        with adapting():
            row = await self._pool.fetchrow(_GET_VERSION, model, version)
        return ModelVersionRow(*row) if row else None

    async def versions(self, model: str, before: int, limit: int) -> list[ModelVersionRow]:
        """Return versions below a number, newest first."""
        with adapting():
            rows = await self._pool.fetch(_LIST_VERSIONS, model, before, limit)
        return [ModelVersionRow(*row) for row in rows]

    async def latest(self, models: Sequence[str]) -> dict[str, list[ModelVersionRow]]:
        """Return the newest version of each stage of some models, by model."""
        with adapting():
            rows = await self._pool.fetch(_LATEST, list(models))
        found: dict[str, list[ModelVersionRow]] = {}
        for row in rows:
            found.setdefault(row[0], []).append(ModelVersionRow(*row))
        return found

    async def search_models(self, question: Question) -> tuple[list[ModelRow], str]:
        """Return a page of models, and the token for the next; empty at the end.

        Raises:
            InvalidArgument: the filter, the order or the token is not right.
        """
        vocabulary, express = vocabularies.MODELS, vocabularies.express_model
        parameters = Parameters()
        home = parameters.add(list(question.projects))
        condition = where(clauses.parse(question.filter, vocabulary), express, parameters)
        order = order_of(
            clauses.parse_order(question.order_by, vocabulary),
            vocabularies.MODEL_DEFAULT,
            vocabularies.MODEL_LAST,
            express,
            parameters,
        )
        rows, token = await page(
            self._pool,
            f"SELECT {_MODEL}, {order.columns()} FROM model m "
            f"WHERE m.project = ANY({home}) AND {condition}",
            order,
            parameters,
            question,
            _MODEL_COLUMNS,
        )
        return [ModelRow(*row) for row in rows], token  # type: ignore[arg-type]  # as selected

    async def search_versions(self, question: Question) -> tuple[list[Versioned], str]:
        """Return a page of versions, and the token for the next; empty at the end.

        Raises:
            InvalidArgument: the filter, the order or the token is not right.
        """
        vocabulary, express = vocabularies.VERSIONS, vocabularies.express_version
        parameters = Parameters()
        home = parameters.add(list(question.projects))
        condition = where(clauses.parse(question.filter, vocabulary), express, parameters)
        order = order_of(
            clauses.parse_order(question.order_by, vocabulary),
            vocabularies.VERSION_DEFAULT,
            vocabularies.MODEL_LAST,
            express,
            parameters,
        )
        columns = _MODEL_COLUMNS + len(fields(ModelVersionRow))
        rows, token = await page(
            self._pool,
            f"SELECT {_MODEL}, {_VERSION}, {order.columns()} "
            "FROM model_version v JOIN model m ON m.name = v.model "
            f"WHERE v.project = ANY({home}) AND {condition}",
            order,
            parameters,
            question,
            columns,
        )
        found = [
            Versioned(ModelRow(*row[:_MODEL_COLUMNS]), ModelVersionRow(*row[_MODEL_COLUMNS:]))  # type: ignore[arg-type]  # as selected
            for row in rows
        ]
        return found, token


async def page(
    pool: Pool,
    statement: str,
    order: Order,
    parameters: Parameters,
    question: Question,
    columns: int,
) -> tuple[list[tuple[object, ...]], str]:
    """Run a search: rows without their sort values, and the token for the next page.

    Raises:
        InvalidArgument: the token is not of this order.
    """
    after = order.after(question.page_token, parameters)
    limit = parameters.add(question.size + 1)
    text = f"{statement} AND {after} ORDER BY {order.by()} LIMIT {limit}"
    with adapting():
        rows = [tuple(row) for row in await pool.fetch(text, *parameters.values)]
    more = len(rows) > question.size
    rows = rows[: question.size]
    token = order.token([plain(value) for value in rows[-1][columns:]]) if more else ""
    return [row[:columns] for row in rows], token
