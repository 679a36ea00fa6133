"""Deciding that a run's telemetry and artifacts are deleted for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition, InvalidArgument, Violation
from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a run has: points, lines of output, spans, and artifacts' digests by path."""

    points: int
    log_lines: int
    spans: int
    artifacts: Mapping[str, bytes]


def check_retention(wanted: pb.Retention, *, has_store: bool) -> None:
    """Check that what is to be archived can be.

    Raises:
        InvalidArgument: something is to be archived at the end of no days; names each.
        FailedPrecondition: there is no object store to archive to.
    """
    kinds = {
        "metrics": (wanted.metrics_then, wanted.metrics_days),
        "system_metrics": (wanted.system_metrics_then, wanted.system_metrics_days),
        "logs": (wanted.logs_then, wanted.logs_days),
    }
    archived = [kind for kind, (then, _) in kinds.items() if then == pb.AT_EXPIRY_ARCHIVE]
    endless = [kind for kind in archived if not kinds[kind][1]]
    if endless:
        raise InvalidArgument(
            f"{', '.join(endless)}: what is kept for ever is never archived; give days, or delete",
            violations=[
                Violation(f"retention.{kind}_then", "archive", f"needs {kind}_days of 1 or more")
                for kind in endless
            ],
        )
    if archived and not has_store:
        raise FailedPrecondition(
            "the tracker has no object store to archive to: set EPOCHAL_OBJECT_STORE_URL for it",
            reason="NO_OBJECT_STORE",
            resource=wanted.project,
        )


def purge(run: str, reason: str, holdings: Holdings, needed_by: Sequence[str]) -> Sequence[Message]:
    """Delete all that a run has.

    Raises:
        FailedPrecondition: a registered model version was made by it; names them.
    """
    if needed_by:
        raise FailedPrecondition(
            f"{run} made {', '.join(needed_by)}: what a registered model version was made by is "
            "kept, so that it can be explained",
            reason="NEEDED_BY_MODEL_VERSION",
            resource=run,
        )
    events: list[Message] = []
    if holdings.artifacts:
        events.append(
            pb.ArtifactsDeleted(
                run=run,
                paths=holdings.artifacts.keys(),
                digests=holdings.artifacts.values(),
                reason=reason,
            )
        )
    events.append(
        pb.RunPurged(
            run=run,
            reason=reason,
            points=holdings.points,
            log_lines=holdings.log_lines,
            artifacts=len(holdings.artifacts),
            spans=holdings.spans,
        )
    )
    return events
