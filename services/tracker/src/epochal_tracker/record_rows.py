"""The read model's rows of typed records: images, histograms, tables, curves, spans and more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import RowRef, Table


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One record; `content` is the Record, serialized. `path` is the artifact with its bytes."""

    run_id: UUID
    record_id: str
    kind: str
    series: str
    step: int
    time_us: int
    path: str
    content: bytes


RECORDS = Table("record", RecordRow, ("run_id", "record_id"))


class RecordProjector:
    """Projects records; one that comes again under its id is one.

    Deletion needs nothing here: a record whose artifact is gone is not read any more.
    """

    name = "records"
    tables = (RECORDS,)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Nothing is read."""
        return ()

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        if isinstance(event.payload, pb.RecordsLogged):
            for record in event.payload.records:
                rows.put(
                    RECORDS,
                    RecordRow(
                        event.stream_id,
                        record.id,
                        record.kind,
                        record.series,
                        record.step,
                        record.time_us,
                        record.path,
                        record.SerializeToString(deterministic=True),
                    ),
                )
