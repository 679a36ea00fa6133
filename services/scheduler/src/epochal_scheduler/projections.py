"""The scheduler's read model: runs that have not ended, and whose telemetry is still awaited."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import resources
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.model import ReadModel, event_types
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import Json, RowRef, Table

from epochal_scheduler.domain.ending import Producers

ENDS = (pb.RunSucceeded, pb.RunFailed, pb.RunStopped, pb.RunSkipped, pb.RunUpstreamFailed)


@dataclass(frozen=True, slots=True)
class LiveRunRow:
    """One run that has not ended.

    `unsealed` maps each producer whose telemetry is not sealed to the position it was opened at;
    what was opened before `attempt_position` belongs to an attempt that was given up.
    """

    run_id: UUID
    fence: int
    attempt_position: int
    unsealed: Json

    def producers(self) -> Producers:
        """Returns the producers not sealed, apart by whether they may still be."""
        opened: dict[str, int] = json.loads(self.unsealed)
        return Producers(
            awaited=sorted(name for name, at in opened.items() if at > self.attempt_position),
            abandoned=sorted(name for name, at in opened.items() if at <= self.attempt_position),
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
            case pb.RunScheduled() | pb.RunStarting():
                yield LIVE_RUNS.ref(event.stream_id)
            case pb.ProducerOpened(run=run) | pb.TelemetrySealed(run=run):
                yield LIVE_RUNS.ref(run_id_of(run))

    def apply(self, rows: Rows, event: Event) -> None:
        """Writes what the event changes."""
        match event.payload:
            case pb.RunCreated():
                rows.put(LIVE_RUNS, LiveRunRow(event.stream_id, 0, 0, Json("{}")))
            case pb.RunScheduled(fence=fence):
                row = rows.get(LIVE_RUNS, event.stream_id)
                if row is not None:
                    rows.put(LIVE_RUNS, replace(row, fence=fence))
            case pb.RunStarting():
                row = rows.get(LIVE_RUNS, event.stream_id)
                if row is not None:
                    rows.put(LIVE_RUNS, replace(row, attempt_position=event.position))
            case pb.ProducerOpened(run=run, producer=producer):
                self._note(rows, run, producer, event.position)
            case pb.TelemetrySealed(run=run, producer=producer):
                self._note(rows, run, producer, None)
            case payload if isinstance(payload, ENDS):
                rows.delete(LIVE_RUNS, event.stream_id)

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


READ_MODEL = ReadModel(
    service="scheduler",
    version=1,
    ddl=resources.files("epochal_scheduler").joinpath("sql", "read_model.sql").read_text(),
    projectors=(LiveRunProjector(),),
    interests=event_types(
        pb.RunCreated,
        pb.RunQueued,
        pb.RunScheduled,
        pb.RunStarting,
        pb.RunStarted,
        pb.RunProcessExited,
        pb.RunStopRequested,
        pb.RunAttemptLost,
        pb.RunRetrying,
        *ENDS,
        pb.ProducerOpened,
        pb.TelemetrySealed,
    ),
)
