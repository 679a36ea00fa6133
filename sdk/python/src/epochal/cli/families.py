"""The children of pipelines: read in order, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import epochal_proto.v1 as pb
from epochal_proto.v1.services import RunService

from epochal.cli.session import Session
from epochal.cli.statuses import ENDED, status_text
from epochal.names import last_part, project_of


def ordered_children(opened: Session, run: pb.Run, limit: int = 0) -> list[pb.Run]:
    """The children of a run in the order in which they were made; all when `limit` is 0."""
    request = pb.ListRunsRequest(
        parent=project_of(run.name),
        filter=f"pipeline:{last_part(run.name)}",
        order_by="create_time" if run.kind == pb.RUN_KIND_DAG else "iteration",
    )
    return list(opened.paged(RunService.LIST_RUNS, request, lambda page: page.runs, limit))


def counts(runs: Sequence[pb.Run]) -> str:
    """How many have which status: "3 of 10 ended: 2 succeeded, 1 failed, 7 queued"."""
    if not runs:
        return "nothing started"
    by_status = Counter(status_text(run) for run in runs)
    ended = sum(run.status in ENDED for run in runs)
    told = ", ".join(f"{count} {word}" for word, count in by_status.most_common())
    return f"{ended} of {len(runs)} ended: {told}"
