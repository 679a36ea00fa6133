"""Runs that have not ended: where they stand, what they ask for, whose telemetry is awaited."""

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
from google.protobuf.message import Message

from epochal_scheduler.domain.ending import Producers
from epochal_scheduler.domain.queueing.limits import Amounts, Ask, QueueKey

_MOVES = (
    pb.RunQueued, pb.RunScheduled, pb.RunStarting, pb.RunStarted, pb.RunStopRequested,
    pb.RunRetrying,
)  # fmt: skip
ENDS = (pb.RunSucceeded, pb.RunFailed, pb.RunStopped, pb.RunSkipped, pb.RunUpstreamFailed)


@dataclass(frozen=True, slots=True)
class LiveRunRow:
    """One run that has not ended.

    `unsealed` maps each producer whose telemetry is not sealed to the position it was opened at;
    what was opened before `attempt_position` belongs to an attempt that was given up. `asked` is
    the position of the event that put the run where it is in its queue.
    """

    run_id: UUID
    org_id: str
    name: str
    kind: int
    status: int
    creator: str
    queue: str
    priority: int
    amounts: Json
    asked: int
    asked_at: datetime
    pipeline: str
    fence: int
    attempt_position: int
    agent: str
    started_at: datetime | None
    unsealed: Json

    def producers(self) -> Producers:
        """Returns the producers not sealed, apart by whether they may still be."""
        opened: dict[str, int] = json.loads(self.unsealed)
        return Producers(
            awaited=sorted(name for name, at in opened.items() if at > self.attempt_position),
            abandoned=sorted(name for name, at in opened.items() if at <= self.attempt_position),
        )

    def ask(self) -> Ask:
        """Returns what the run asks of its queue."""
        return Ask(
            run_id=self.run_id,
            name=self.name,
            key=QueueKey(self.org_id, self.queue),
            project="projects/" + self.name.split("/")[3],
            user=self.creator,
            priority=self.priority,
            amounts=Amounts(json.loads(self.amounts)),
            order=self.asked,
            queued_at_s=self.asked_at.timestamp(),
        )


LIVE_RUNS = Table("live_run", LiveRunRow, ("run_id",))


def run_id_of(name: str) -> UUID:
    """Returns the id at the end of a run's resource name."""
    return UUID(name.rpartition("/")[2])


class LiveRunProjector:
    """Follows runs from creation to end, and their producers from opening to seal."""

    name = "live_run"
    tables = (LIVE_RUNS,)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Names the run's row."""
        match event.payload:
            case pb.ProducerOpened(run=run) | pb.TelemetrySealed(run=run):
                yield LIVE_RUNS.ref(run_id_of(run))
            case payload if isinstance(payload, _MOVES):
                yield LIVE_RUNS.ref(event.stream_id)

    def apply(self, rows: Rows, event: Event) -> None:
        """Writes what the event changes."""
        match event.payload:
            case pb.RunCreated() as created:
                rows.put(LIVE_RUNS, _created(event, created))
            case pb.ProducerOpened(run=run, producer=producer):
                self._note(rows, run, producer, event.position)
            case pb.TelemetrySealed(run=run, producer=producer):
                self._note(rows, run, producer, None)
            case pb.RunResumed() as resumed:
                rows.put(LIVE_RUNS, _created(event, resumed.created))
            case payload if isinstance(payload, ENDS):
                rows.delete(LIVE_RUNS, event.stream_id)
            case payload if isinstance(payload, _MOVES):
                row = rows.get(LIVE_RUNS, event.stream_id)
                if row is not None:
                    changed = _changed(row, event, payload)
                    if changed is not row:
                        rows.put(LIVE_RUNS, changed)

    @staticmethod
    def _note(rows: Rows, run: str, producer: str, opened_at: int | None) -> None:
        row = rows.get(LIVE_RUNS, run_id_of(run))
        if row is None:
            return
        unsealed: dict[str, int] = json.loads(row.unsealed)
        if opened_at is None:
            unsealed.pop(producer, None)
        else:
            unsealed[producer] = opened_at
        rows.put(LIVE_RUNS, replace(row, unsealed=Json(json.dumps(unsealed, sort_keys=True))))


def _created(event: Event, created: pb.RunCreated) -> LiveRunRow:
    amounts = Amounts.from_message(created.resources, created.cost).of
    return LiveRunRow(
        run_id=event.stream_id,
        org_id=event.org_id,
        name=created.name,
        kind=created.kind,
        status=pb.RUN_STATUS_CREATED,
        creator=created.creator,
        queue=created.queue,
        priority=created.priority,
        amounts=Json(json.dumps(dict(amounts), sort_keys=True)),
        asked=event.position,
        asked_at=event.recorded_at,
        pipeline=created.pipeline,
        fence=0,
        attempt_position=0,
        agent="",
        started_at=None,
        unsealed=Json("{}"),
    )


def _changed(row: LiveRunRow, event: Event, payload: Message) -> LiveRunRow:
    match payload:
        case pb.RunQueued(queue=queue):
            return replace(
                row,
                status=pb.RUN_STATUS_QUEUED,
                queue=queue,
                asked=event.position,
                asked_at=event.recorded_at,
            )
        case pb.RunScheduled(fence=fence):
            return replace(row, status=pb.RUN_STATUS_SCHEDULED, fence=fence)
        case pb.RunStarting(agent=agent):
            return replace(
                row,
                status=pb.RUN_STATUS_STARTING,
                attempt_position=event.position,
                agent=agent,
                started_at=event.recorded_at,
            )
        case pb.RunStarted():
            stopping = row.status == pb.RUN_STATUS_STOPPING
            return row if stopping else replace(row, status=pb.RUN_STATUS_RUNNING)
        case pb.RunStopRequested():
            return replace(row, status=pb.RUN_STATUS_STOPPING)
        case pb.RunRetrying():
            return replace(row, status=pb.RUN_STATUS_RETRYING)
        case _:
            return row
