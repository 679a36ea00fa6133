"""The tracker's read model: runs with parameters and tags, producers, artifacts, captures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.model import ReadModel
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import Json, RowRef
from google.protobuf.message import Message

from epochal_tracker import named_values, params
from epochal_tracker.archive_rows import ArchiveProjector
from epochal_tracker.domain.capturing import merged
from epochal_tracker.keeping import KeepingProjector
from epochal_tracker.mark_rows import MarkProjector, SavedSearchProjector
from epochal_tracker.record_rows import RecordProjector
from epochal_tracker.rows import (
    ARTIFACTS,
    CAPTURES,
    PRODUCERS,
    RUN_DATASETS,
    RUN_FIELDS,
    RUNS,
    ArtifactRow,
    CaptureRow,
    ProducerRow,
    RunDatasetRow,
    RunRow,
)
from epochal_tracker.trace_rows import TraceProjector

#: How many losses a run shows, the newest; each is an event.
MOST_LOSSES = 20

NOTHING = Json("[]")

#: Events of telemetry that a run's own row shows.
_OF_RUNS = (pb.ParamsLogged, pb.TagsSet, pb.TelemetryLost, pb.RunPurged)


class RunProjector:
    """Projects the lifecycle of runs, with their parameters and tags."""

    name = "runs"
    tables = (RUNS, RUN_FIELDS)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Every event of a run's streams changes its row."""
        if event.category == "run" or isinstance(event.payload, _OF_RUNS):
            yield RUNS.ref(event.stream_id)

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        payload = event.payload
        if isinstance(payload, pb.RunCreated):
            created = _created(payload, event)
            rows.put(RUNS, created)
            named_values.write(rows, created, payload)
            return
        if event.category != "run" and not isinstance(payload, _OF_RUNS):
            return
        run = rows.get(RUNS, event.stream_id)
        if run is not None:
            if isinstance(payload, named_values.KINDS):
                named_values.write(rows, run, payload)
            changed = _changed(run, payload, event.recorded_at)
            if changed is not run:
                rows.put(RUNS, changed)


class ProducerProjector:
    """Projects producers and their seals."""

    name = "producers"
    tables = (PRODUCERS,)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Openings and seals change what is known of a producer."""
        if isinstance(event.payload, pb.ProducerOpened | pb.TelemetrySealed):
            yield PRODUCERS.ref(event.stream_id, UUID(event.payload.producer))

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        payload = event.payload
        if isinstance(payload, pb.ProducerOpened):
            key = UUID(payload.producer)
            known = rows.get(PRODUCERS, event.stream_id, key)
            opened = known.opened if known else event.position
            rows.put(PRODUCERS, ProducerRow(event.stream_id, key, payload.epoch, opened, None))
        elif isinstance(payload, pb.TelemetrySealed):
            known = rows.get(PRODUCERS, event.stream_id, UUID(payload.producer))
            if known is not None:
                rows.put(
                    PRODUCERS,
                    replace(
                        known,
                        sealed_batch=payload.last_batch,
                        sealed_root=payload.merkle_root,
                    ),
                )


class ArtifactProjector:
    """Projects artifacts: the newest bytes at each path, until they are deleted."""

    name = "artifacts"
    tables = (ARTIFACTS,)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Nothing is read."""
        return ()

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        payload = event.payload
        if isinstance(payload, pb.ArtifactLogged):
            rows.put(
                ARTIFACTS,
                ArtifactRow(
                    event.stream_id,
                    payload.path,
                    payload.sha256,
                    payload.size_bytes,
                    payload.kind,
                    payload.media_type,
                    event.recorded_at,
                ),
            )
        elif isinstance(payload, pb.ArtifactDeleted):
            rows.delete(ARTIFACTS, event.stream_id, payload.path)
        elif isinstance(payload, pb.ArtifactsDeleted):
            for path in payload.paths:
                rows.delete(ARTIFACTS, event.stream_id, path)


class CaptureProjector:
    """Projects what runs were made of; what is told later of an attempt adds to what is known."""

    name = "captures"
    tables = (CAPTURES,)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """A capture is added to the one of its attempt."""
        if isinstance(event.payload, pb.CaptureRecorded):
            yield CAPTURES.ref(event.stream_id, event.payload.capture.attempt)

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        payload = event.payload
        if isinstance(payload, pb.CaptureRecorded):
            attempt = payload.capture.attempt
            known = rows.get(CAPTURES, event.stream_id, attempt)
            before = pb.Capture.FromString(known.capture) if known else pb.Capture()
            capture = merged(before, payload.capture).SerializeToString(deterministic=True)
            rows.put(CAPTURES, CaptureRow(event.stream_id, attempt, capture))


class DatasetProjector:
    """Projects which datasets runs read."""

    name = "datasets"
    tables = (RUN_DATASETS,)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Nothing is read."""
        return ()

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        payload = event.payload
        if isinstance(payload, pb.DatasetUsed) and payload.run:
            rows.put(RUN_DATASETS, _dataset(payload))


def _dataset(used: pb.DatasetUsed) -> RunDatasetRow:
    name = used.dataset.partition("/datasets/")[2].partition("/")[0]
    details = pb.DatasetDetails(
        name=name, digest=used.digest, source_type="uri" if used.uri else "", source=used.uri
    )
    if used.HasField("details"):
        details = used.details
    return RunDatasetRow(
        UUID(used.run.rpartition("/")[2]),
        details.name,
        details.digest,
        details.tags.get("mlflow.data.context", ""),
        details.SerializeToString(deterministic=True),
    )


def _created(payload: pb.RunCreated, event: Event) -> RunRow:
    return RunRow(
        run_id=event.stream_id,
        project=payload.name.rpartition("/runs/")[0],
        display_name=payload.display_name,
        kind=payload.kind,
        status=pb.RUN_STATUS_CREATED,
        message=_waits_for(payload.holds),
        params=params.to_json(payload.params),
        tags=_tags(payload.tags),
        creator=payload.creator,
        queue=payload.queue,
        attempt=0,
        exit_code=None,
        create_time=event.recorded_at,
        start_time=_time(payload, "start_time"),
        end_time=None,
        spec_digest=payload.spec_digest,
        incomplete_producers=NOTHING,
        pipeline=payload.pipeline,
        step=payload.step,
        iteration=payload.iteration,
        origin=payload.origin,
        origin_kind=payload.origin_kind,
        holds=_list(payload.holds),
        outputs=params.NONE,
        schedule_time=_time(payload, "schedule_time"),
        service_path="",
        paused=False,
        more=_more(payload),
        delete_time=None,
    )


def _more(payload: pb.RunCreated) -> bytes:
    shown = pb.Run(
        resources=payload.resources if payload.HasField("resources") else None,
        cost=payload.cost,
        priority=payload.priority,
        edges=payload.edges,
        description=payload.description,
    )
    return shown.SerializeToString(deterministic=True)


def _told(more: bytes, payload: pb.TelemetryLost | pb.RunPurged, at: datetime) -> bytes:
    """Add what is no longer there, or never came, to what is shown of a run."""
    shown = pb.Run.FromString(more)
    if isinstance(payload, pb.RunPurged):
        shown.purge_time.FromDatetime(at)
    else:
        amounts = ((payload.points, "points"), (payload.log_lines, "lines of output"))
        lost = " and ".join(f"{count} {what}" for count, what in amounts if count)
        batch = f" of batch {payload.batch}" if payload.batch else ""
        shown.data_lost.append(f"{lost or 'telemetry'}{batch}: {payload.reason}")
        del shown.data_lost[:-MOST_LOSSES]
    return shown.SerializeToString(deterministic=True)


def _changed(run: RunRow, payload: Message, at: datetime) -> RunRow:
    match payload:
        case pb.RunQueued():
            return replace(run, status=pb.RUN_STATUS_QUEUED, queue=payload.queue, message="")
        case pb.RunScheduled():
            return replace(
                run,
                status=pb.RUN_STATUS_SCHEDULED,
                attempt=payload.attempt,
                queue=payload.queue,
                exit_code=None,
                message="",
                service_path="",
            )
        case pb.RunStarting():
            return replace(run, status=pb.RUN_STATUS_STARTING, attempt=payload.attempt)
        case pb.RunStarted():
            first = run.start_time or _time(payload, "start_time") or at
            return replace(run, status=pb.RUN_STATUS_RUNNING, start_time=first)
        case pb.RunProcessExited():
            return replace(
                run, exit_code=payload.exit_code, message=payload.message, service_path=""
            )
        case pb.RunStopRequested():
            return replace(run, status=pb.RUN_STATUS_STOPPING, message=payload.reason)
        case pb.RunAttemptLost():
            return replace(run, message=payload.reason, service_path="")
        case pb.RunRetrying():
            return replace(run, status=pb.RUN_STATUS_RETRYING, message=payload.reason)
        case pb.RunSucceeded():
            return _ended(
                run,
                pb.RUN_STATUS_SUCCEEDED,
                "",
                _time(payload, "end_time") or at,
                payload.incomplete_producers,
            )
        case pb.RunFailed():
            return _ended(
                run,
                pb.RUN_STATUS_FAILED,
                payload.message,
                _time(payload, "end_time") or at,
                payload.incomplete_producers,
            )
        case pb.RunStopped():
            end = _time(payload, "end_time") or at
            return _ended(run, pb.RUN_STATUS_STOPPED, payload.reason, end, ())
        case pb.RunSkipped():
            return _ended(run, pb.RUN_STATUS_SKIPPED, payload.reason, at, ())
        case pb.RunUpstreamFailed():
            message = f"{payload.upstream} failed"
            return _ended(run, pb.RUN_STATUS_UPSTREAM_FAILED, message, at, ())
        case pb.TelemetryLost() | pb.RunPurged():
            return replace(run, more=_told(run.more, payload, at))
        case pb.ParamsLogged():
            return replace(run, params=params.merge(run.params, payload.params))
        case pb.TagsSet():
            set_to, removed = named_values.tags_of(payload)
            kept = {k: v for k, v in json.loads(run.tags).items() if k not in removed}
            return replace(run, tags=_tags(kept | set_to))
        case _:
            return _orchestrated(run, payload, at)


def _orchestrated(run: RunRow, payload: Message, at: datetime) -> RunRow:
    """What pipelines, holds, services, caches and people do to a run."""
    match payload:
        case pb.RunHoldReleased():
            holds = [hold for hold in json.loads(run.holds) if hold != payload.hold]
            return replace(run, holds=_list(holds), message=_waits_for(holds))
        case pb.RunOutputsRecorded():
            return replace(run, outputs=params.replaced(run.outputs, payload.outputs))
        case pb.RunServiceReady():
            return replace(run, service_path=f"/services/v1/{run.project}/runs/{run.run_id}/")
        case pb.RunPaused():
            return replace(run, paused=True)
        case pb.RunUnpaused():
            return replace(run, paused=False)
        case pb.RunResumed():
            return replace(
                run,
                status=pb.RUN_STATUS_CREATED,
                message=payload.reason,
                end_time=None,
                incomplete_producers=NOTHING,
            )
        case pb.RunPreempted():
            return replace(
                run, status=pb.RUN_STATUS_QUEUED, message=payload.reason, service_path=""
            )
        case pb.RunRenamed():
            return replace(run, display_name=payload.display_name)
        case pb.RunDeleted():
            return replace(run, delete_time=_time(payload, "delete_time") or at)
        case pb.RunRestored():
            return replace(run, delete_time=None)
        case pb.RunReused():
            reused = replace(
                run,
                outputs=params.replaced(run.outputs, payload.outputs),
                origin=payload.source,
                origin_kind="cache",
            )
            return _ended(reused, pb.RUN_STATUS_SUCCEEDED, payload.explanation, at, ())
        case _:
            return run


def _ended(
    run: RunRow, status: int, message: str, at: datetime, incomplete: Iterable[str]
) -> RunRow:
    return replace(
        run,
        status=status,
        message=message or run.message,
        end_time=at,
        incomplete_producers=_list(incomplete),
        service_path="",
    )


def _waits_for(holds: Iterable[str]) -> str:
    names = ", ".join(holds)
    return f"waits for {names}" if names else ""


def _list(items: Iterable[str]) -> Json:
    return Json(json.dumps(list(items)))


def _tags(tags: Mapping[str, str]) -> Json:
    if not tags:
        return params.NONE
    return Json(json.dumps(dict(sorted(tags.items()))))


def _time(
    payload: pb.RunCreated
    | pb.RunStarted
    | pb.RunSucceeded
    | pb.RunFailed
    | pb.RunStopped
    | pb.RunDeleted,
    field: str,
) -> datetime | None:
    if not payload.HasField(field):
        return None
    stamp: datetime = getattr(payload, field).ToDatetime(tzinfo=UTC)
    return stamp


READ_MODEL = ReadModel(
    service="tracker",
    version=14,
    ddl=resources.files("epochal_tracker").joinpath("sql/read_model.sql").read_text(),
    projectors=(
        RunProjector(),
        ProducerProjector(),
        KeepingProjector(),
        ArchiveProjector(),
        ArtifactProjector(),
        CaptureProjector(),
        DatasetProjector(),
        MarkProjector(),
        SavedSearchProjector(),
        RecordProjector(),
        TraceProjector(),
    ),
)
