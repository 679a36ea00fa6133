"""The runs of each pipeline, also after their end: what a pipeline needs to go on from anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import Json, RowRef, Table
from google.protobuf.message import Message

from epochal_scheduler.projections.live_runs import run_id_of
from epochal_scheduler.values import from_value


@dataclass(frozen=True, slots=True)
class ChildRow:
    """One run of a pipeline. `position` is of the event that last changed its status.

    `params` is kept for sweeps alone: their samplers learn from all trials there were.
    """

    run_id: UUID
    pipeline_id: UUID
    name: str
    step: str
    iteration: int
    status: int
    position: int
    schedule_time: datetime | None
    params: Json
    message: str


CHILDREN = Table("child", ChildRow, ("run_id",))

_STATUS: dict[type[Message], pb.RunStatus] = {
    pb.RunQueued: pb.RUN_STATUS_QUEUED,
    pb.RunStarted: pb.RUN_STATUS_RUNNING,
    pb.RunRetrying: pb.RUN_STATUS_RETRYING,
    pb.RunSucceeded: pb.RUN_STATUS_SUCCEEDED,
    pb.RunFailed: pb.RUN_STATUS_FAILED,
    pb.RunStopped: pb.RUN_STATUS_STOPPED,
    pb.RunSkipped: pb.RUN_STATUS_SKIPPED,
    pb.RunUpstreamFailed: pb.RUN_STATUS_UPSTREAM_FAILED,
}


def child_status(event: Message) -> pb.RunStatus:
    """Returns the status a pipeline sees after an event; unspecified for one that changes none.

    Between queue and process there are more; no pipeline decides by them.
    """
    return _STATUS.get(type(event), pb.RUN_STATUS_UNSPECIFIED)


class ChildProjector:
    """Follows the runs of pipelines."""

    name = "child"
    tables = (CHILDREN,)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Names the run's row, which is there if a pipeline made it."""
        if type(event.payload) in _STATUS:
            yield CHILDREN.ref(event.stream_id)

    def apply(self, rows: Rows, event: Event) -> None:
        """Writes what the event changes."""
        if isinstance(event.payload, pb.RunCreated):
            if event.payload.pipeline:
                rows.put(CHILDREN, _created(event, event.payload))
            return
        status = child_status(event.payload)
        if status == pb.RUN_STATUS_UNSPECIFIED:
            return
        row = rows.get(CHILDREN, event.stream_id)
        if row is not None and row.status != status:
            message = _why(event.payload)
            changed = replace(row, status=status, position=event.position, message=message)
            rows.put(CHILDREN, changed)


def _created(event: Event, created: pb.RunCreated) -> ChildRow:
    params = {}
    if created.iteration:
        params = {name: from_value(value) for name, value in created.params.items()}
    dated = created.HasField("schedule_time")
    return ChildRow(
        run_id=event.stream_id,
        pipeline_id=run_id_of(created.pipeline),
        name=created.name,
        step=created.step,
        iteration=created.iteration,
        status=pb.RUN_STATUS_CREATED,
        position=event.position,
        schedule_time=created.schedule_time.ToDatetime(UTC) if dated else None,
        params=Json(json.dumps(params, ensure_ascii=False, sort_keys=True)),
        message="",
    )


def _why(event: Message) -> str:
    match event:
        case pb.RunFailed(message=message):
            return str(message)[:500]
        case pb.RunStopped(reason=reason) | pb.RunSkipped(reason=reason):
            return str(reason)[:500]
        case pb.RunUpstreamFailed(upstream=upstream):
            return str(upstream)
        case _:
            return ""
