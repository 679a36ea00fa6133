"""Deciding that a run's telemetry and artifacts are deleted for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition
from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a run has: points, lines of output, spans, and artifacts' digests by path."""

    points: int
    log_lines: int
    spans: int
    artifacts: Mapping[str, bytes]


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
