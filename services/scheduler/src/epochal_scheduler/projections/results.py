"""Results that equal runs may reuse, by key; the newest good one counts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import Json, RowRef, Table

from epochal_scheduler.projections.live_runs import ENDS
from epochal_scheduler.values import from_value


@dataclass(frozen=True, slots=True)
class PendingResultRow:
    """A run that will leave a result under its key if it ends well."""

    run_id: UUID
    project: str
    cache_key: str
    params: Json
    outputs: Json


@dataclass(frozen=True, slots=True)
class ResultRow:
    """The newest result under a key of a project."""

    project: str
    cache_key: str
    run_id: UUID
    name: str
    ended_at: datetime
    params: Json
    outputs: Json


PENDING_RESULTS = Table("pending_result", PendingResultRow, ("run_id",))
RESULTS = Table("result", ResultRow, ("project", "cache_key"))


class ResultProjector:
    """Follows runs whose results may be reused."""

    name = "result"
    tables = (PENDING_RESULTS, RESULTS)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Names the run's pending result."""
        if isinstance(event.payload, (pb.RunOutputsRecorded, *ENDS)):
            yield PENDING_RESULTS.ref(event.stream_id)

    def apply(self, rows: Rows, event: Event) -> None:
        """Writes what the event changes."""
        match event.payload:
            case pb.RunCreated() as created if created.cache_key:
                project = created.name.partition("/runs/")[0]
                params = _json(created.params)
                pending = PendingResultRow(
                    event.stream_id, project, created.cache_key, params, Json("{}")
                )
                rows.put(PENDING_RESULTS, pending)
            case pb.RunReused():  # its source keeps the key
                rows.delete(PENDING_RESULTS, event.stream_id)
            case pb.RunOutputsRecorded(outputs=outputs):
                row = rows.get(PENDING_RESULTS, event.stream_id)
                if row is not None:
                    merged = {**json.loads(row.outputs), **json.loads(_json(outputs))}
                    rows.put(
                        PENDING_RESULTS,
                        replace(row, outputs=Json(json.dumps(merged, sort_keys=True))),
                    )
            case pb.RunSucceeded():
                self._keep(rows, event)
            case payload if isinstance(payload, ENDS):
                if rows.get(PENDING_RESULTS, event.stream_id) is not None:
                    rows.delete(PENDING_RESULTS, event.stream_id)

    @staticmethod
    def _keep(rows: Rows, event: Event) -> None:
        row = rows.get(PENDING_RESULTS, event.stream_id)
        if row is None:
            return
        rows.delete(PENDING_RESULTS, event.stream_id)
        name = f"{row.project}/runs/{event.stream_id}"
        rows.put(
            RESULTS,
            ResultRow(
                row.project,
                row.cache_key,
                event.stream_id,
                name,
                event.recorded_at,
                row.params,
                row.outputs,
            ),
        )


def _json(values: object) -> Json:
    assert isinstance(values, dict) or hasattr(values, "items")
    found = {name: from_value(value) for name, value in values.items()}
    return Json(json.dumps(found, ensure_ascii=False, sort_keys=True))
