"""Reading the model registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from epochal_kernel.postgres import Pool, adapting

from epochal_lineage.projections.rows import ModelRow, ModelVersionRow
from epochal_lineage.searching import clauses, vocabularies
from epochal_lineage.searching.compiler import Order, Parameters, order_of, plain, where

_MODEL = ", ".join(f"m.{field.name}" for field in fields(ModelRow))
_VERSION = ", ".join(f"v.{field.name}" for field in fields(ModelVersionRow))
_MODEL_COLUMNS = len(fields(ModelRow))


class _Tables(NamedTuple):
    """Where models and versions are read: as they are, or as they were."""

    get_model: str
    list_models: str
    get_version: str
    list_versions: str
    latest: str
    called: str
    model: str
    version: str
    holding: str


def _reading(model: str, version: str, held: str) -> _Tables:
    """Return the queries over two tables; `held` says with which condition, by alias and number.

    All names are ours: nothing of a request comes into the text.
    """

    def when(alias: str, number: int) -> str:
        return held.format(alias=alias, position=f"${number}")

    return _Tables(
        f"SELECT {_MODEL} FROM {model} m WHERE m.name = $1 AND {when('m', 2)}",
        f"SELECT {_MODEL} FROM {model} m WHERE m.project = $1 AND m.name > $2 AND {when('m', 4)} "
        "ORDER BY m.name LIMIT $3",
        f"SELECT {_VERSION} FROM {version} v WHERE v.model = $1 AND v.version = $2 "
        f"AND {when('v', 3)}",
        f"SELECT {_VERSION} FROM {version} v WHERE v.model = $1 AND v.version < $2 "
        f"AND {when('v', 4)} ORDER BY v.version DESC LIMIT $3",
        f"SELECT DISTINCT ON (v.model, v.stage) {_VERSION} FROM {version} v "
        f"WHERE v.model = ANY($1) AND {when('v', 2)} ORDER BY v.model, v.stage, v.version DESC",
        f"SELECT {_MODEL} FROM {model} m WHERE m.display_name = $1 AND m.project = ANY($2) "
        f"AND {when('m', 3)} ORDER BY m.name",
        model,
        version,
        held,
    )


#: A row that is there now holds now: the position is only compared so that both take the same.
_NOW = _reading("model", "model_version", "{position}::bigint IS NULL")
_THEN = _reading(
    "model_past",
    "model_version_past",
    "{alias}.since <= {position}::bigint AND {alias}.until > {position}::bigint",
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
        position: as of which; None for now.
    """

    projects: Sequence[str]
    filter: str
    order_by: str
    page_token: str
    size: int
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Versioned:
    """A version with the model it is of."""

    model: ModelRow
    version: ModelVersionRow


class RegistryStore:
    """Queries over models and versions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def model(self, name: str, position: int | None = None) -> ModelRow | None:
        """Return one model, as of a position."""
        with adapting():
            row = await self._pool.fetchrow(_tables(position).get_model, name, position)
        return ModelRow(*row) if row else None

    async def models(
        self, project: str, after: str, limit: int, position: int | None = None
    ) -> list[ModelRow]:
        """Return models of a project by name, as of a position."""
        with adapting():
            rows = await self._pool.fetch(
                _tables(position).list_models, project, after, limit, position
            )
        return [ModelRow(*row) for row in rows]

    async def called(
        self, display_name: str, projects: Sequence[str], position: int | None = None
    ) -> list[ModelRow]:
        """Return the models of some projects that people call this, as of a position."""
        with adapting():
            rows = await self._pool.fetch(
                _tables(position).called, display_name, list(projects), position
            )
        return [ModelRow(*row) for row in rows]

    async def version(
        self, model: str, version: int, position: int | None = None
    ) -> ModelVersionRow | None:
        """Return one version, as of a position."""
        with adapting():
            row = await self._pool.fetchrow(_tables(position).get_version, model, version, position)
        return ModelVersionRow(*row) if row else None

    async def versions(
        self, model: str, before: int, limit: int, position: int | None = None
    ) -> list[ModelVersionRow]:
        """Return versions below a number, newest first, as of a position."""
        with adapting():
            rows = await self._pool.fetch(
                _tables(position).list_versions, model, before, limit, position
            )
        return [ModelVersionRow(*row) for row in rows]

    async def latest(
        self, models: Sequence[str], position: int | None = None
    ) -> dict[str, list[ModelVersionRow]]:
        """Return the newest version of each stage of some models, by model, as of a position."""
        with adapting():
            rows = await self._pool.fetch(_tables(position).latest, list(models), position)
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
        tables = _tables(question.position)
        then = parameters.add(question.position)
        held = tables.holding.format(alias="m", position=then)
        rows, token = await page(
            self._pool,
            f"SELECT {_MODEL}, {order.columns()} FROM {tables.model} m "
            f"WHERE m.project = ANY({home}) AND {held} AND {condition}",
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
        tables = _tables(question.position)
        then = parameters.add(question.position)
        held = " AND ".join(tables.holding.format(alias=one, position=then) for one in "vm")
        rows, token = await page(
            self._pool,
            f"SELECT {_MODEL}, {_VERSION}, {order.columns()} "
            f"FROM {tables.version} v JOIN {tables.model} m ON m.name = v.model "
            f"WHERE v.project = ANY({home}) AND {held} AND {condition}",
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


def _tables(position: int | None) -> _Tables:
    return _NOW if position is None else _THEN


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
