"""The rows of one batch in memory: what a projector reads and writes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar, cast

from epochal_kernel.log.events import Event
from epochal_kernel.projections.tables import Key, RowRef, Table

RowT = TypeVar("RowT")

_ABSENT = object()


class NotTouched(LookupError):
    """A projector read a row that its `touches` did not name, so it was never loaded."""


class Rows:
    """A unit of work: rows loaded from the database, changed in memory, written back in sets.

    Pure: a test makes one with `Rows.of(...)`, applies events and looks at the rows.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, dict[Key, object]] = {}
        self._changed: dict[str, dict[Key, object]] = {}

    @classmethod
    def of(cls, *contents: tuple[Table[Any], Iterable[object]]) -> Rows:
        """Make rows for a test: everything not given does not exist."""
        rows = _Complete()
        for table, items in contents:
            for item in items:
                rows.load(table, table.key_of(item), item)
        return rows

    def load(self, table: Table[Any], key: Key, row: object | None) -> None:
        """Note what the database has under a key."""
        self._loaded.setdefault(table.name, {})[key] = _ABSENT if row is None else row

    def get(self, table: Table[RowT], *key: object) -> RowT | None:
        """Return the row under a key, or None.

        Raises:
            NotTouched: `touches` did not name it.
        """
        changed = self._changed.get(table.name, {}).get(key)
        found = changed or self._loaded.get(table.name, {}).get(key) or self._missing(table, key)
        return None if found is _ABSENT else cast("RowT", found)

    def put(self, table: Table[RowT], row: RowT) -> None:
        """Insert a row or replace the one under its key."""
        self._changed.setdefault(table.name, {})[table.key_of(row)] = row

    def delete(self, table: Table[Any], *key: object) -> None:
        """Delete the row under a key, if there is one."""
        self._changed.setdefault(table.name, {})[key] = _ABSENT

    def known(self, ref: RowRef) -> bool:
        """Whether the row was loaded or changed already."""
        return ref.key in self._loaded.get(ref.table, {}) or ref.key in self._changed.get(
            ref.table, {}
        )

    def upserts(self, table: Table[RowT]) -> list[RowT]:
        """Return the rows to store."""
        changed = self._changed.get(table.name, {})
        return [cast("RowT", row) for row in changed.values() if row is not _ABSENT]

    def deletions(self, table: Table[Any]) -> list[Key]:
        """Return the keys to delete."""
        changed = self._changed.get(table.name, {})
        return [key for key, row in changed.items() if row is _ABSENT]

    def _missing(self, table: Table[Any], key: Key) -> object:
        raise NotTouched(f"{table.name}{key} was read but not named by touches()")


class _Complete(Rows):
    """Rows that are all there is."""

    def _missing(self, table: Table[Any], key: Key) -> object:
        return _ABSENT


class Projector(Protocol):
    """Turns events into rows. Pure: the same events give the same rows, for ever.

    Side effects have no place here; see `Reactor`. A projector runs live and in every replay.
    """

    @property
    def name(self) -> str:
        """Name for messages."""
        ...

    @property
    def tables(self) -> tuple[Table[Any], ...]:
        """Tables it writes; no other projector of the model writes them."""
        ...

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Name every row that `apply` may read for this event."""
        ...

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what the event changes."""
        ...
