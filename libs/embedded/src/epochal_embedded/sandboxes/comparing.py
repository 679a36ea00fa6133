"""What this release makes of a fork's history, held against what the source's own release had made.

For each service a read model is built from nothing by the projectors of this release, up to the
position that the copied one was at, and every table is compared row by row in the database. What
only one of them has, tables and columns, is told apart from what they have in common and differ in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from epochal_kernel.clock import SystemClock
from epochal_kernel.ids import Position
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.reader import LogReader
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.postgres import Connection, load_sql
from epochal_kernel.projections.model import ReadModel
from epochal_kernel.projections.rebuild import replay
from epochal_kernel.projections.store import create_generation
from epochal_kernel.projections.tables import Table

from epochal_embedded.errors import EmbeddedError
from epochal_embedded.sandboxes.copying import quoted
from epochal_embedded.sandboxes.views import View, copied_views

_SOURCE = load_sql("epochal_embedded.sandboxes", "sources.sql")


@dataclass(frozen=True, slots=True)
class Difference:
    """The first row, in key order, that is not the same.

    Attributes:
        key: its key columns.
        original: the row as the source had it, only columns that differ; None when it had none.
        here: the same of this release.
    """

    key: dict[str, object]
    original: dict[str, object] | None
    here: dict[str, object] | None


@dataclass(frozen=True, slots=True)
class TableComparison:
    """One table of one service.

    Attributes:
        service: whose.
        table: its name.
        position: at which both are.
        original_rows: of the source; None when it had no such table.
        rows: of this release; None when it has no such table any more.
        only_original: rows by key that only the source had.
        only_here: rows by key that only this release makes.
        changed: rows of both that differ in a common column.
        added: columns that only this release has.
        removed: columns that only the source had.
        first: the first difference.
    """

    service: str
    table: str
    position: int
    original_rows: int | None
    rows: int | None
    only_original: int = 0
    only_here: int = 0
    changed: int = 0
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    first: Difference | None = None

    @property
    def equal(self) -> bool:
        """Whether all rows are the same in all that both releases keep of them."""
        return not (self.only_original or self.only_here or self.changed)


Told = Callable[[str, int, int], None]


async def compare(url: str, models: Sequence[ReadModel], told: Told) -> list[TableComparison]:
    """Compare every copied read model with what `models` make of the same events.

    Raises:
        EmbeddedError: the fork has no copied read models.
    """
    connection: Connection = await asyncpg.connect(url)
    reader: Connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET jit = off")
        views = await copied_views(connection)
        if not views:
            raise EmbeddedError(
                "This fork has no read models of its source to compare with: it was made with "
                "--without-views or --without-names, or --until a position that they were beyond."
            )
        found: list[TableComparison] = []
        for view in views:
            model = next((one for one in models if one.service == view.service), None)
            if model is not None:
                found += await _compare(connection, reader, view, model, told)
        return found
    finally:
        await reader.close(timeout=5)
        await connection.close(timeout=5)


async def _compare(
    connection: Connection, reader: Connection, view: View, model: ReadModel, told: Told
) -> list[TableComparison]:
    scratch = f"{model.service}_compared"
    await create_generation(connection, model, scratch)
    try:
        async for position in replay(
            connection,
            model,
            scratch,
            EventCodec(Subjects(connection, SystemClock())),
            Position(view.position),
            LogReader(reader),
        ):
            told(model.service, position, view.position)
        originals = {
            row["name"]: tuple(row["columns"])
            for row in await connection.fetch(_SOURCE["tables_of"], view.schema)
        }
        found = [
            await _compare_table(connection, view, scratch, table, originals.get(table.name))
            for table in model.tables
        ]
        ours = {table.name for table in model.tables}
        for name in sorted(originals.keys() - ours):
            rows = await connection.fetchval(
                f"SELECT count(*) FROM {quoted(view.schema)}.{quoted(name)}"
            )
            found.append(TableComparison(view.service, name, view.position, rows, None))
        return found
    finally:
        await connection.execute(f"DROP SCHEMA IF EXISTS {scratch} CASCADE")


async def _compare_table(
    connection: Connection,
    view: View,
    scratch: str,
    table: Table[Any],
    original: tuple[str, ...] | None,
) -> TableComparison:
    here = f"{scratch}.{quoted(table.name)}"
    rows = await connection.fetchval(f"SELECT count(*) FROM {here}")
    if original is None:
        return TableComparison(view.service, table.name, view.position, None, rows)
    there = f"{quoted(view.schema)}.{quoted(table.name)}"
    original_rows = await connection.fetchval(f"SELECT count(*) FROM {there}")
    added = tuple(column for column in table.columns if column not in original)
    removed = tuple(column for column in original if column not in table.columns)
    common = [column for column in table.columns if column in original]
    if any(column not in common for column in table.key):
        # Another key is another table: rows cannot be told to be the same.
        return TableComparison(
            view.service, table.name, view.position, original_rows, rows, original_rows, rows, 0,
            added, removed,
        )  # fmt: skip
    joined = _joined(there, here, table.key, common)
    counts = await connection.fetchrow(
        "SELECT count(*) FILTER (WHERE only_original) AS original, "
        "count(*) FILTER (WHERE only_here) AS here, "
        f"count(*) FILTER (WHERE NOT only_original AND NOT only_here) AS changed FROM ({joined}) d"
    )
    assert counts is not None, "an aggregate has a row"
    first = None
    if counts["original"] or counts["here"] or counts["changed"]:
        row = await connection.fetchrow(f"{joined} ORDER BY place LIMIT 1")
        assert row is not None, "it was counted"
        first = _difference(row["original"], row["here"], table.key)
    return TableComparison(
        view.service, table.name, view.position, original_rows, rows,
        counts["original"], counts["here"], counts["changed"], added, removed, first,
    )  # fmt: skip


def _joined(there: str, here: str, key: Sequence[str], common: Sequence[str]) -> str:
    """Return the statement that finds the rows that differ.

    Values are compared as text, because a column may be of another type in another release.
    """
    match = " AND ".join(f"o.{quoted(one)}::text = n.{quoted(one)}::text" for one in key)
    differ = " OR ".join(
        f"o.{quoted(one)}::text IS DISTINCT FROM n.{quoted(one)}::text" for one in common
    )
    place = ", ".join(
        f'coalesce(o.{quoted(one)}::text, n.{quoted(one)}::text) COLLATE "C"' for one in key
    )
    one = quoted(key[0])
    return (
        f"SELECT o.{one} IS NULL AS only_here, n.{one} IS NULL AS only_original, "
        f"ROW({place}) AS place, to_jsonb(o) AS original, to_jsonb(n) AS here "
        f"FROM {there} o FULL JOIN {here} n ON {match} WHERE {differ}"
    )


def _difference(original: str | None, here: str | None, key: Sequence[str]) -> Difference:
    before: dict[str, object] | None = json.loads(original) if original else None
    after: dict[str, object] | None = json.loads(here) if here else None
    either = before or after or {}
    names = {one: either[one] for one in key}
    if before is None or after is None:
        return Difference(names, before, after)
    changed = [one for one in before if one in after and before[one] != after[one]]
    return Difference(
        names, {one: before[one] for one in changed}, {one: after[one] for one in changed}
    )
