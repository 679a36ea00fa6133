"""Conditions to SQL: every value is a parameter, every name of a column comes from this file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation
from epochal_kernel.paging import foreign

from epochal_tracker.search.filters import Condition, Field, Order

_COLUMNS = {
    "name": "r.display_name",
    "creator": "r.creator",
    "queue": "r.queue",
    "create_time": "r.create_time",
    "status": "r.status",
    "kind": "r.kind",
    "schedule_time": "r.schedule_time",
    "pipeline": "r.pipeline",
    "step": "r.step",
    "iteration": "r.iteration",
    "origin": "r.origin",
}
_TIMES = ("create_time", "schedule_time")
_RUNS = ("pipeline", "origin")
_VALUES = ("params", "outputs")

#: The number of a parameter, kept as params.py says; NaN compares with nothing and sorts as absent.
_NUMBER = "CASE WHEN v.key IN ('i', 'd') THEN nullif((v.value #>> '{}')::float8, 'NaN') END"


@dataclass
class Parameters:
    """The parameters of a statement in the making."""

    values: list[object] = field(default_factory=list)

    def add(self, value: object) -> str:
        """Add a parameter and return its name in the statement."""
        self.values.append(value)
        return f"${len(self.values)}"


@dataclass(frozen=True, slots=True)
class After:
    """Where a page begins: the sort value of the last run before it, and its id."""

    value: str | float | None
    run_id: UUID


def where(conditions: Sequence[Condition], parameters: Parameters) -> str:
    """Return the conditions as SQL, "true" when there are none.

    Raises:
        InvalidArgument: a value does not fit its field.
    """
    parts = [_condition(condition, parameters) for condition in conditions]
    return " AND ".join(parts) or "true"


def sort_value(order: Order, parameters: Parameters) -> str:
    """Return the expression runs are sorted by; NULL sorts last either way."""
    found = order.field
    if found.name == "metrics":
        name = parameters.add(found.key)
        return (
            "(SELECT nullif(m.last, 'NaN') FROM tracker.metric_summary m "
            f"WHERE m.run_id = r.run_id AND m.metric = {name})"
        )
    if found.name in _VALUES:
        return _param_number(f"r.{found.name}", parameters.add(found.key))
    if found.name == "tags":
        return f"(r.tags ->> {parameters.add(found.key)})"
    return _COLUMNS[found.name]


def is_number(order: Order) -> bool:
    """Whether runs are sorted by a double."""
    return order.field.name in ("metrics", *_VALUES)


def after_clause(order: Order, after: After, parameters: Parameters) -> str:
    """Return the condition that a run comes after a place in the order (sort, run_id).

    Raises:
        InvalidArgument: the place is not one of this order.
    """
    run = parameters.add(after.run_id)
    if after.value is None:
        return f"(sort IS NULL AND run_id < {run})"
    compare = "<" if order.descending else ">"
    try:
        value = parameters.add(_typed(order, after.value))
    except (TypeError, ValueError, OverflowError):
        raise foreign() from None
    return f"(sort {compare} {value} OR (sort = {value} AND run_id < {run}) OR sort IS NULL)"


def _typed(order: Order, value: str | float) -> object:
    name = order.field.name
    if name in ("metrics", *_VALUES):
        return float(value)
    if name in _TIMES:
        return _instant(str(value))
    if name in ("status", "kind"):
        return _enum_number(int(value))
    if name == "iteration":
        return _int64(int(value))
    return str(value)


def _enum_number(number: int) -> int:
    if not 0 <= number < 2**31:
        raise ValueError(f"{number} is no number of an enum")
    return number


def _int64(number: int) -> int:
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{number} is no 64-bit number")
    return number


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def _condition(condition: Condition, parameters: Parameters) -> str:
    name = condition.field.name
    if name == "metrics":
        text = _metric(condition, parameters)
    elif name in _VALUES:
        text = _param(condition, parameters)
    elif name == "tags":
        key = parameters.add(condition.field.key)
        text = _text(condition, f"(r.tags ->> {key})", parameters)
    elif name in ("status", "kind"):
        text = _enum(condition, parameters)
    elif name in _RUNS:
        text = _run(condition, parameters)
    elif name == "iteration":
        text = _iteration(condition, parameters)
    elif name in _TIMES:
        text = _time(condition, parameters)
    else:
        text = _text(condition, _COLUMNS[name], parameters)
    return f"NOT coalesce({text}, false)" if condition.negated else f"({text})"


def _metric(condition: Condition, parameters: Parameters) -> str:
    name = parameters.add(condition.field.key)
    compare = " OR ".join(
        f"m.last {_operator(condition)} {parameters.add(_number(condition, value))}"
        for value in condition.values
    )
    return (
        "EXISTS (SELECT 1 FROM tracker.metric_summary m "
        f"WHERE m.run_id = r.run_id AND m.metric = {name} AND m.last <> 'NaN' AND ({compare}))"
    )


def _param(condition: Condition, parameters: Parameters) -> str:
    column = f"r.{condition.field.name}"
    key = parameters.add(condition.field.key)
    parts: list[str] = []
    for value in condition.values:
        number = _as_number(value)
        if condition.operator in ("%", "="):
            parts.append(_compare_text(condition, _param_text(column, key), value, parameters))
        elif number is None:
            raise _unfit(condition.field, value, "a number")
        if number is not None and condition.operator != "%":
            parts.append(
                f"{_param_number(column, key)} {_operator(condition)} {parameters.add(number)}"
            )
    return " OR ".join(parts)


def _param_text(column: str, key: str) -> str:
    return f"(SELECT v.value #>> '{{}}' FROM jsonb_each({column} -> {key}) v LIMIT 1)"


def _param_number(column: str, key: str) -> str:
    return f"(SELECT {_NUMBER} FROM jsonb_each({column} -> {key}) v LIMIT 1)"


def _run(condition: Condition, parameters: Parameters) -> str:
    """A run by the UUID that its name ends in; the index on it is partial, hence the first part."""
    if condition.operator != "=":
        raise _unfit(condition.field, condition.operator, "no operator")
    column, ids = _COLUMNS[condition.field.name], list[str]()
    for value in condition.values:
        try:
            ids.append(str(UUID(value.rpartition("/")[2])))
        except ValueError:
            raise _unfit(condition.field, value, "a run's name or UUID") from None
    return f"({column} <> '' AND right({column}, 36) = ANY({parameters.add(ids)}::text[]))"


def _iteration(condition: Condition, parameters: Parameters) -> str:
    operator = _operator(condition)
    parts: list[str] = []
    for value in condition.values:
        try:
            number = _int64(int(value))
        except ValueError:
            raise _unfit(condition.field, value, "a whole number") from None
        parts.append(f"r.iteration {operator} {parameters.add(number)}::bigint")
    return " OR ".join(parts)


def _text(condition: Condition, column: str, parameters: Parameters) -> str:
    return " OR ".join(
        _compare_text(condition, column, value, parameters) for value in condition.values
    )


def _compare_text(condition: Condition, column: str, value: str, parameters: Parameters) -> str:
    if condition.operator == "%":
        return f"position(lower({parameters.add(value)}::text) IN lower({column})) > 0"
    return f"{column} {_operator(condition)} {parameters.add(value)}::text"


def _enum(condition: Condition, parameters: Parameters) -> str:
    if condition.operator != "=":
        raise _unfit(condition.field, condition.operator, "no operator")
    kind = pb.RunStatus if condition.field.name == "status" else pb.RunKind
    prefix = "RUN_STATUS_" if condition.field.name == "status" else "RUN_KIND_"
    known = {name.removeprefix(prefix).lower(): number for name, number in kind.items()}
    numbers: list[int] = []
    for value in condition.values:
        number = known.get(value.lower())
        if number is None or number == 0:
            names = ", ".join(name for name, number in known.items() if number)
            raise _unfit(condition.field, value, f"one of {names}")
        numbers.append(number)
    return f"{_COLUMNS[condition.field.name]} = ANY({parameters.add(numbers)})"


def _time(condition: Condition, parameters: Parameters) -> str:
    operator = _operator(condition)
    parts: list[str] = []
    for value in condition.values:
        try:
            at = _instant(value)
        except (ValueError, OverflowError):
            raise _unfit(condition.field, value, "a time such as 2026-01-31T12:00:00Z") from None
        parts.append(f"{_COLUMNS[condition.field.name]} {operator} {parameters.add(at)}")
    return " OR ".join(parts)


def _operator(condition: Condition) -> str:
    if condition.operator == "%":
        raise _unfit(condition.field, "%", "a comparison: only text can contain text")
    return condition.operator


def _number(condition: Condition, value: str) -> float:
    number = _as_number(value)
    if number is None:
        raise _unfit(condition.field, value, "a number")
    return number


def _as_number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _unfit(field_: Field, value: str, wanted: str) -> InvalidArgument:
    name = f"{field_.name}.{field_.key}" if field_.key else field_.name
    message = f"{name}:{value}: {name} takes {wanted}"
    return InvalidArgument(message, violations=[Violation("filter", "type", message)])
