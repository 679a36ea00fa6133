"""Statements that group runs by fields: counts, aggregates, the best run of each group."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from epochal_tracker.search.compiler import Groups, where
from epochal_tracker.search.epochal import parse_field
from epochal_tracker.search.fields import COLUMNS, MANY, Type, shown, type_of, wrong
from epochal_tracker.search.ordering import Key
from epochal_tracker.search.sources import Parameters, source_of
from epochal_tracker.search.statements import Statement
from epochal_tracker.search.syntax import Field

_FUNCTIONS: Final = ("min", "max", "avg", "sum", "count")
_CALL: Final = re.compile(r"\s*([a-z]+)\s*\((.*)\)\s*\Z", re.DOTALL)
_GROUPED: Final = (Type.TEXT, Type.WHOLE, Type.STATUS, Type.KIND, Type.RUN, Type.FLAG, Type.VALUE)
_NUMERIC: Final = (Type.NUMBER, Type.WHOLE, Type.VALUE)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function over one number of each run of a group."""

    function: str
    field: Field


def group_key(text: str) -> Field:
    """Read a field to group by.

    Raises:
        InvalidArgument: there is none such, or its values are too many to be groups.
    """
    field = parse_field(text, "group_by")
    if field.name in MANY or type_of(field) not in _GROUPED:
        raise wrong(
            f"cannot group by {shown(field)}: use a parameter, an output, a tag or a field of text",
            "group_by",
            "type",
        )
    return field


def aggregate(text: str) -> Aggregate:
    """Read an aggregate, such as "min(metrics.loss)".

    The least and greatest of a metric are those over all points of all runs; avg and sum are over
    the newest value of each run.

    Raises:
        InvalidArgument: the function or the field is not known, or the field is no number.
    """
    call = _CALL.match(text)
    if call is None or call.group(1) not in _FUNCTIONS:
        raise wrong(
            f"{text!r} is no aggregate: use {', '.join(_FUNCTIONS)} of a field, such as "
            "min(metrics.loss)",
            "values",
        )
    function, field = call.group(1), parse_field(call.group(2), "values")
    if field.name in MANY or type_of(field) not in _NUMERIC:
        raise wrong(f"{shown(field)} is no number: {function}() takes one", "values", "type")
    if field.name == "metrics" and not field.aggregate and function in ("min", "max"):
        field = replace(field, aggregate=function)
    return Aggregate(function, field)


def groups_page(
    groups: Groups,
    by: Sequence[Field],
    aggregates: Sequence[Aggregate],
    best: Key | None,
    limit: int,
    skipped: int,
) -> Statement:
    """Return the statement of a page of groups, the largest first: keys, count, numbers, best."""
    parameters = Parameters()
    tables = ["run r"]

    def joined(field: Field) -> str:
        source = source_of(field)
        if source is None:
            return "r"
        alias = f"g{len(tables)}"
        rows = source.rows(alias, parameters)
        tables.append(f"LEFT JOIN {source.table} {alias} ON {alias}.run_id = r.run_id AND {rows}")
        return alias

    keys = [_key(field, joined(field)) for field in by]
    numbers = []
    for each in aggregates:
        kind = Type.WHOLE if type_of(each.field) is Type.WHOLE else Type.NUMBER
        column = Key(each.field, kind, False, True).column(joined(each.field))
        numbers.append(_number(each.function, column))
    chosen = "NULL::text"
    if best is not None:
        column = best.column(joined(best.field))
        direction = "DESC" if best.descending else "ASC"
        chosen = (
            "(array_agg(r.project || '/runs/' || r.run_id::text "
            f"ORDER BY {column} {direction} NULLS LAST, r.run_id))[1]"
        )
    places = ", ".join(str(number) for number in range(1, len(keys) + 1))
    condition = where(groups, parameters)
    text = (
        f"SELECT {', '.join([*keys, 'count(*)', chosen, *numbers])} FROM {' '.join(tables)} "
        f"WHERE {condition} GROUP BY {places} ORDER BY count(*) DESC, {places} "
        f"LIMIT {parameters.add(limit)}::bigint OFFSET {parameters.add(skipped)}::bigint"
    )
    return Statement(text, tuple(parameters.values))


def _number(function: str, column: str) -> str:
    if function not in ("avg", "sum"):
        return f"{function}({column})::float8"
    # In numeric: sums of doubles end the statement when they overflow.
    found = f"{function}({column}::numeric)"
    return (
        f"CASE WHEN {found} = 'NaN' THEN 'NaN'::float8 "
        f"WHEN {found} > 1.7e308 THEN 'Infinity'::float8 "
        f"WHEN {found} < -1.7e308 THEN '-Infinity'::float8 ELSE {found}::float8 END"
    )


def _key(field: Field, alias: str) -> str:
    if source_of(field) is not None:
        return f"{alias}.text"
    column = COLUMNS[field.name].sql
    return f"({column})::text"
