"""Rows as messages, and names taken apart."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import cast
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation
from google.protobuf.timestamp_pb2 import Timestamp

from epochal_tracker import params
from epochal_tracker.rows import ArtifactRow, RunRow
from epochal_tracker.store.telemetry import SummaryRow

ENDED = frozenset(
    {
        pb.RUN_STATUS_SUCCEEDED,
        pb.RUN_STATUS_FAILED,
        pb.RUN_STATUS_STOPPED,
        pb.RUN_STATUS_SKIPPED,
        pb.RUN_STATUS_UPSTREAM_FAILED,
    }
)


def split(name: str) -> tuple[str, UUID]:
    """Return project and id of a run's name.

    Raises:
        InvalidArgument: the last part is no UUID.
    """
    project, _, uid = name.rpartition("/runs/")
    try:
        return project, UUID(uid)
    except ValueError:
        raise InvalidArgument(
            f"{uid!r} is no run id",
            violations=[Violation("name", "uuid", "a run's name ends in its UUID")],
        ) from None


def run_message(
    row: RunRow, summaries: Iterable[SummaryRow], inputs: Iterable[bytes] = ()
) -> pb.Run:
    """Return a run with its metrics and what it read."""
    message = pb.Run(
        name=f"{row.project}/runs/{row.run_id}",
        uid=str(row.run_id),
        inputs=[pb.DatasetDetails.FromString(details) for details in inputs],
        display_name=row.display_name,
        kind=cast("pb.RunKind", row.kind),
        status=cast("pb.RunStatus", row.status),
        message=row.message,
        params=params.from_json(row.params),
        tags=json.loads(row.tags),
        metrics={one.metric: summary_message(one) for one in summaries},
        creator=row.creator,
        queue=row.queue,
        attempt=row.attempt,
        create_time=timestamp(row.create_time),
        spec_digest=row.spec_digest,
        incomplete_producers=json.loads(row.incomplete_producers),
        pipeline=row.pipeline,
        step=row.step,
        iteration=row.iteration,
        origin=row.origin,
        origin_kind=row.origin_kind,
        holds=json.loads(row.holds),
        outputs=params.from_json(row.outputs),
        service_path=row.service_path,
        paused=row.paused,
    )
    if row.more:
        message.MergeFromString(row.more)
    if row.schedule_time is not None:
        message.schedule_time.CopyFrom(timestamp(row.schedule_time))
    if row.delete_time is not None:
        message.delete_time.CopyFrom(timestamp(row.delete_time))
    if row.exit_code is not None:
        message.exit_code = row.exit_code
    if row.start_time is not None:
        message.start_time.CopyFrom(timestamp(row.start_time))
    if row.end_time is not None:
        message.end_time.CopyFrom(timestamp(row.end_time))
    return message


def summary_message(row: SummaryRow) -> pb.MetricSummary:
    """Return a series' summary."""
    return pb.MetricSummary(
        metric=row.metric,
        last=row.last,
        last_step=row.last_step,
        min=row.min,
        max=row.max,
        points=row.points,
        last_time_us=row.last_time_us,
    )


def artifact_message(run: str, row: ArtifactRow) -> pb.Artifact:
    """Return an artifact."""
    return pb.Artifact(
        name=f"{run}/artifacts/{row.path}",
        path=row.path,
        digest=f"sha256:{row.sha256.hex()}",
        size_bytes=row.size_bytes,
        kind=row.kind,
        media_type=row.media_type,
        create_time=timestamp(row.create_time),
    )


def timestamp(at: datetime) -> Timestamp:
    """Return an aware time as a Timestamp."""
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
