"""Sorting and keyset cursors: values in any direction, missing ones last, then the run's id.

A page begins after a place, not at a number of rows: runs that come or go meanwhile neither repeat
nor hide others. A run whose sort value changes may be met again where it now belongs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import UUID

from epochal_kernel.paging import foreign

from epochal_tracker.search.fields import COLUMNS, NULLABLE, Type, type_of
from epochal_tracker.search.sources import Parameters, Source, number_column, source_of
from epochal_tracker.search.syntax import Field, Order

#: Texts are sorted by as many letters: a place in the order must fit into a token.
SORTED_LETTERS = 200

Plain: TypeAlias = str | float | int | bool | None


@dataclass(frozen=True, slots=True)
class Key:
    """One value to sort by: of what, as which type, in which direction."""

    field: Field
    type: Type
    descending: bool
    nullable: bool

    @property
    def source(self) -> Source | None:
        """The named value it is, None for a field of the run."""
        return source_of(self.field)

    def column(self, alias: str) -> str:
        """Return its SQL; `alias` is the row of its source."""
        if self.source is None:
            known = COLUMNS[self.field.name].sql
            return _text(known) if self.type is Type.TEXT else known
        if self.type is Type.TEXT:
            return _text(f"{alias}.text")
        column = number_column(self.field, alias)
        if self.field.name != "metrics" or self.field.aggregate == "count":
            return f"{column}::float8"
        return f"nullif({column}, 'NaN'::float8)"


@dataclass(frozen=True, slots=True)
class Place:
    """The sort values of a run and its id: what a page begins after."""

    values: tuple[object, ...]
    run_id: UUID


def keys_of(orders: Sequence[Order]) -> tuple[Key, ...]:
    """Return what to sort by. Parameters sort as numbers; those that are none after, as text."""
    keys: list[Key] = []
    for order in orders:
        kind = type_of(order.field)
        nullable = order.field.name in NULLABLE or source_of(order.field) is not None
        if kind is Type.VALUE:
            keys.append(Key(order.field, Type.NUMBER, order.descending, nullable))
            kind = Type.TEXT
        elif kind is Type.RUN and order.field.name != "run_id":
            kind = Type.TEXT
        keys.append(Key(order.field, kind, order.descending, nullable))
    return tuple(keys)


def after(keys: Sequence[Key], columns: Sequence[str], place: Place, parameters: Parameters) -> str:
    """Return the condition that a run comes after a place."""
    alternatives: list[str] = []
    same: list[str] = []
    for key, column, value in zip(keys, columns, place.values, strict=True):
        if value is None:
            same.append(f"{column} IS NULL")
            continue
        name = f"{parameters.add(value)}::{_cast(key)}"
        beyond = f"{column} {'<' if key.descending else '>'} {name}"
        if key.nullable:
            beyond = f"({beyond} OR {column} IS NULL)"
        alternatives.append(" AND ".join([*same, beyond]))
        same.append(f"{column} = {name}")
    tie = "<" if keys[0].descending else ">"
    run = f"r.run_id {tie} {parameters.add(place.run_id)}::uuid"
    alternatives.append(" AND ".join([*same, run]))
    return f"({' OR '.join(f'({each})' for each in alternatives)})"


def plain(value: object) -> Plain:
    """Return a sort value as a token can hold it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    assert value is None or isinstance(value, str | float | int | bool)
    return value


def place_of(keys: Sequence[Key], values: object, run_id: object) -> Place:
    """Return a place out of a token.

    Raises:
        InvalidArgument: it is none of this order.
    """
    try:
        if not isinstance(values, list) or len(values) != len(keys):
            raise ValueError(values)
        typed = tuple(_typed(key, value) for key, value in zip(keys, values, strict=True))
        return Place(typed, UUID(str(run_id)))
    except (TypeError, ValueError, OverflowError):
        raise foreign() from None


def _typed(key: Key, value: object) -> object:
    if value is None:
        if not key.nullable:
            raise ValueError(value)
        return None
    match key.type:
        case Type.NUMBER:
            return float(str(value))
        case Type.TIME:
            return datetime.fromisoformat(str(value)).astimezone(UTC)
        case Type.STATUS | Type.KIND | Type.WHOLE:
            number = int(str(value))
            if not -(2**63) <= number < 2**63:
                raise ValueError(value)
            return number
        case Type.FLAG:
            if not isinstance(value, bool):
                raise ValueError(value)
            return value
        case Type.RUN:
            return UUID(str(value))
        case _:
            if not isinstance(value, str) or "\0" in value:
                raise ValueError(value)
            return value


def _cast(key: Key) -> str:
    match key.type:
        case Type.NUMBER:
            return "float8"
        case Type.TIME:
            return "timestamptz"
        case Type.STATUS | Type.KIND | Type.WHOLE:
            return "bigint"
        case Type.FLAG:
            return "boolean"
        case Type.RUN:
            return "uuid"
        case _:
            return "text"


def _text(column: str) -> str:
    return f'left({column}, {SORTED_LETTERS}) COLLATE "C"'
