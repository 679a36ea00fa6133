"""Searching experiments, over the directory in memory."""

from __future__ import annotations

from functools import cmp_to_key
from typing import Final

from epochal_gateway.doors.mlflow import experiments, paging
from epochal_gateway.doors.mlflow.filters import Grammar, Key, Order, holds
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.routing import MlflowRoute
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject
from epochal_gateway.projections import ProjectRow

GRAMMAR: Final = Grammar(
    texts=frozenset({"name", "experiment_id"}),
    numbers=frozenset({"creation_time", "last_update_time"}),
    lists=frozenset({"experiment_id"}),
    orders=frozenset({"name", "experiment_id", "creation_time", "last_update_time"}),
)

#: The newest first, as MLflow has it.
_NEWEST: Final = Order(Key("attribute", "creation_time"), ascending=False)
_TIE: Final = Order(Key("attribute", "experiment_id"), ascending=False)


async def search(session: Session, fields: Fields) -> JsonObject:
    """Search experiments."""
    size = paging.max_results(fields)
    active, deleted = paging.view(fields, "view_type")
    text, order_by = fields.text("filter"), fields.texts("order_by")
    clauses = GRAMMAR.clauses(text)
    orders = [GRAMMAR.order(one) for one in order_by] or [_NEWEST]
    question = [text, order_by, active, deleted]
    start = paging.offset_of(fields.text("page_token"), question)
    await session.fresh()
    found = [
        row
        for row in experiments.visible(session)
        if (deleted if row.archived else active)
        and all(holds(clause, value(row, clause.key)) for clause in clauses)
    ]
    found.sort(key=cmp_to_key(lambda a, b: _compare(a, b, [*orders, _TIE])))
    answer: dict[str, object] = {
        "experiments": [experiments.message(row) for row in found[start : start + size]]
    }
    if len(found) > start + size:
        answer["next_page_token"] = paging.token_of(question, start + size)
    return answer


def value(row: ProjectRow, key: Key) -> str | float | None:
    """Return what a project has at a key."""
    if key.kind == "tag":
        return experiments.tags_of(row).get(key.name)
    match key.name:
        case "name":
            return experiments.experiment_name(row)
        case "experiment_id":
            return experiments.experiment_id(row)
        case "creation_time":
            return float(int(row.create_time.timestamp() * 1000))
        case _:
            return float(int(row.update_time.timestamp() * 1000))


def _compare(left: ProjectRow, right: ProjectRow, orders: list[Order]) -> int:
    for order in orders:
        a, b = _sortable(left, order.key), _sortable(right, order.key)
        if a != b:
            return (-1 if a < b else 1) if order.ascending else (1 if a < b else -1)
    return 0


def _sortable(row: ProjectRow, key: Key) -> tuple[float, str]:
    if key.name == "experiment_id":
        return float(experiments.experiment_id(row)), ""
    found = value(row, key)
    return (found, "") if isinstance(found, float) else (0.0, found or "")


def routes() -> list[MlflowRoute]:
    """Return the routes of the search."""
    return [
        MlflowRoute("POST", "experiments/search", search),
        MlflowRoute("GET", "experiments/search", search),
    ]
