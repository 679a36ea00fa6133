"""Runs projectors over events in memory as a consumer does over a database: batch by batch.

Only rows that `touches` names are handed to a batch, so a projector that reads another one fails
here as it would live, and a test can compare what batches of different sizes come to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from epochal_kernel.ids import Position, Version
from epochal_kernel.log.events import Event, category_of
from epochal_kernel.projections.model import ReadModel
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import Key
from google.protobuf.message import Message

_START = datetime(2030, 1, 1, tzinfo=UTC)

Stored = dict[str, dict[Key, Any]]
"""Rows by table and key."""


def recorded(
    payload: Message, position: int, stream_id: UUID, *, resource: str = "", org_id: str = "acme"
) -> Event:
    """Return an event as the log would have recorded it, one second after the one before."""
    event_id = uuid5(NAMESPACE_OID, str(position))
    return Event(
        Position(position),
        event_id,
        org_id,
        category_of(type(payload)),
        stream_id,
        Version(position),
        payload.DESCRIPTOR.full_name,
        payload,
        "users/alice",
        resource,
        event_id,
        None,
        "",
        _START + timedelta(seconds=position),
    )


def project(model: ReadModel, events: Sequence[Event], batches: Iterable[int] = ()) -> Stored:
    """Apply events in batches of the given sizes, the rest in one, and return all rows.

    Raises:
        NotTouched: a projector read a row that it did not announce.
    """
    stored: Stored = {table.name: {} for table in model.tables}
    left = list(events)
    for size in batches:
        _apply(model, stored, left[:size])
        left = left[size:]
    _apply(model, stored, left)
    return stored


def _apply(model: ReadModel, stored: Stored, events: Sequence[Event]) -> None:
    rows = Rows()
    tables = {table.name: table for table in model.tables}
    for event in events:
        for projector in model.projectors:
            for ref in projector.touches(event):
                rows.load(tables[ref.table], ref.key, stored[ref.table].get(ref.key))
    for event in events:
        for projector in model.projectors:
            projector.apply(rows, event)
    for table in model.tables:
        for key in rows.deletions(table):
            stored[table.name].pop(key, None)
        for row in rows.upserts(table):
            stored[table.name][table.key_of(row)] = row
