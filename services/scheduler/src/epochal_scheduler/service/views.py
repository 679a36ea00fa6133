"""What callers are told of a run, as far as the scheduler knows it."""

from __future__ import annotations

import epochal_proto.v1 as pb

from epochal_scheduler.domain.run import RunState


def run_view(state: RunState) -> pb.Run:
    """Returns a run as its events have it; metrics and times are the tracker's to tell."""
    created = state.created
    run = pb.Run(
        name=created.name,
        uid=created.name.rpartition("/")[2],
        display_name=created.display_name,
        kind=created.kind,
        status=state.status,
        params=created.params,
        tags=created.tags,
        creator=created.creator,
        queue=state.queue,
        attempt=state.attempt,
        spec_digest=created.spec_digest,
    )
    if state.exit is not None:
        run.exit_code = state.exit.exit_code
    if state.stop_reason:
        run.message = state.stop_reason
    return run
