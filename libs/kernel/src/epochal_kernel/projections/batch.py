"""Applying a batch of events to the tables of a read model, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from epochal_kernel.log.events import Event
from epochal_kernel.postgres import Connection
from epochal_kernel.projections.model import ReadModel
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import Key, Table


class ProjectionFailed(Exception):
    """A projector raised on an event; it would raise again.

    Attributes:
        position: of the event.
    """

    def __init__(self, position: int, type_name: str, projector: str) -> None:
        self.position = position
        super().__init__(f"projector {projector} failed on event {position} ({type_name})")


async def apply_batch(connection: Connection, model: ReadModel, events: Sequence[Event]) -> None:
    """Load what the events touch, apply them in order, write back what changed.

    The search path of the connection decides which generation is written.

    Raises:
        ProjectionFailed: names the event; nothing of the batch may be committed then.
    """
    rows = Rows()
    await _load(connection, model, rows, events)
    for event in events:
        for projector in model.projectors:
            try:
                projector.apply(rows, event)
            except Exception as error:
                raise ProjectionFailed(event.position, event.type, projector.name) from error
    for table in model.tables:
        await _store(connection, table, rows)


async def _load(
    connection: Connection, model: ReadModel, rows: Rows, events: Sequence[Event]
) -> None:
    wanted: dict[str, dict[Key, None]] = {}
    for event in events:
        for projector in model.projectors:
            try:
                refs = list(projector.touches(event))
            except Exception as error:
                raise ProjectionFailed(event.position, event.type, projector.name) from error
            for ref in refs:
                wanted.setdefault(ref.table, {})[ref.key] = None
    for table in model.tables:
        keys = wanted.get(table.name)
        if not keys:
            continue
        columns = [list(column) for column in zip(*keys, strict=True)]
        found = await connection.fetch(table.select_sql, *columns)
        for key in keys:
            rows.load(table, key, None)
        for record in found:
            row = table.row(*record)
            rows.load(table, table.key_of(row), row)


async def _store(connection: Connection, table: Table[Any], rows: Rows) -> None:
    deletions = rows.deletions(table)
    if deletions:
        await connection.execute(
            table.delete_sql, *[list(column) for column in zip(*deletions, strict=True)]
        )
    upserts = rows.upserts(table)
    if upserts:
        columns = [[getattr(row, column) for row in upserts] for column in table.columns]
        await connection.execute(table.upsert_sql, *columns)
