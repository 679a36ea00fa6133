"""Tables of a read model, described by frozen dataclasses, and the SQL to load and store rows.

A row class has one field per column, of type str, int, float, bool, UUID, bytes, datetime or
`Json`, each possibly `| None`. The SQL moves whole sets of rows at once with unnest, so that a
batch of five thousand events costs a handful of statements.
"""

from __future__ import annotations

import types
import typing
from dataclasses import fields
from datetime import datetime
from functools import cached_property
from operator import attrgetter
from typing import Generic, NamedTuple, NewType, TypeVar
from uuid import UUID

Json = NewType("Json", str)

RowT = TypeVar("RowT")
Key = tuple[object, ...]

_COLUMN_TYPES: dict[object, str] = {
    str: "text",
    int: "int8",
    float: "float8",
    bool: "bool",
    UUID: "uuid",
    bytes: "bytea",
    datetime: "timestamptz",
    Json: "jsonb",
}


class RowRef(NamedTuple):
    """A row by table name and key."""

    table: str
    key: Key


class Table(Generic[RowT]):
    """One table: its name, its row class and its key columns.

    Raises:
        TypeError: a field has a type no column holds, or a key column is no field.
    """

    def __init__(self, name: str, row: type[RowT], key: tuple[str, ...]) -> None:
        self.name = name
        self.row = row
        self.key = key
        self.columns = tuple(field.name for field in fields(row))  # type: ignore[arg-type]  # RowT is a dataclass by contract
        hints = typing.get_type_hints(row)
        self.types = tuple(_column_type(name, hints[name]) for name in self.columns)
        missing = [name for name in key if name not in self.columns]
        if missing:
            raise TypeError(f"table {name}: key column {missing[0]!r} is not a field of the row")
        self._key_indexes = tuple(self.columns.index(column) for column in key)
        self._key_of = attrgetter(*key)

    def ref(self, *key: object) -> RowRef:
        """Name a row by its key."""
        return RowRef(self.name, key)

    def key_of(self, row: RowT) -> Key:
        """Return a row's key."""
        found = self._key_of(row)
        return found if len(self.key) > 1 else (found,)

    @cached_property
    def select_sql(self) -> str:
        """Load rows by keys: one array parameter per key column."""
        keys = ", ".join(
            f"${number}::{self.types[index]}[]"
            for number, index in enumerate(self._key_indexes, start=1)
        )
        columns = ", ".join(f"t.{column}" for column in self.columns)
        match = " AND ".join(f"t.{column} = k.{column}" for column in self.key)
        return (
            f"SELECT {columns} FROM {self.name} t "
            f"JOIN unnest({keys}) AS k ({', '.join(self.key)}) ON {match}"
        )

    @cached_property
    def upsert_sql(self) -> str:
        """Store rows: one array parameter per column."""
        arrays = ", ".join(
            f"${number}::{kind}[]" for number, kind in enumerate(self.types, start=1)
        )
        changes = [column for column in self.columns if column not in self.key]
        conflict = (
            "DO UPDATE SET " + ", ".join(f"{column} = EXCLUDED.{column}" for column in changes)
            if changes
            else "DO NOTHING"
        )
        return (
            f"INSERT INTO {self.name} ({', '.join(self.columns)}) "
            f"SELECT * FROM unnest({arrays}) ON CONFLICT ({', '.join(self.key)}) {conflict}"
        )

    @cached_property
    def delete_sql(self) -> str:
        """Delete rows by keys: one array parameter per key column."""
        keys = ", ".join(
            f"${number}::{self.types[index]}[]"
            for number, index in enumerate(self._key_indexes, start=1)
        )
        match = " AND ".join(f"t.{column} = k.{column}" for column in self.key)
        return (
            f"DELETE FROM {self.name} t "
            f"USING unnest({keys}) AS k ({', '.join(self.key)}) WHERE {match}"
        )

    @cached_property
    def digest_sql(self) -> str:
        """Count the rows and hash them in key order."""
        order = ", ".join(
            f't.{column} COLLATE "C"'
            if self.types[self.columns.index(column)] == "text"
            else f"t.{column}"
            for column in self.key
        )
        return (
            "SELECT count(*), encode(sha256(convert_to(coalesce("
            f"string_agg(ROW({', '.join(f't.{column}' for column in self.columns)})::text, "
            f"E'\\n' ORDER BY {order}), ''), 'UTF8')), 'hex') FROM {self.name} t"
        )


def _column_type(name: str, hint: object) -> str:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        if len(options) == 1:
            hint = options[0]
    found = _COLUMN_TYPES.get(hint) or _COLUMN_TYPES.get(getattr(hint, "__supertype__", None))
    if found is None:
        raise TypeError(f"field {name!r}: no column type for {hint!r}")
    return found
