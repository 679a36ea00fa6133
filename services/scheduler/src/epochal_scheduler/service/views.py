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
        display_name=state.display_name,
        kind=created.kind,
        status=state.status,
        params=created.params,
        tags=created.tags,
        creator=created.creator,
        queue=state.queue,
        attempt=state.attempt,
        spec_digest=created.spec_digest,
        pipeline=created.pipeline,
        step=created.step,
        iteration=created.iteration,
        origin=created.origin,
        origin_kind=created.origin_kind,
        holds=sorted(state.holds),
        outputs=state.outputs,
        paused=state.paused,
        cost=created.cost,
        priority=created.priority,
        edges=created.edges,
        description=created.description,
        resources=created.resources if created.HasField("resources") else None,
        schedule_time=created.schedule_time if created.HasField("schedule_time") else None,
    )
    if state.exit is not None:
        run.exit_code = state.exit.exit_code
    run.message = state.message or state.stop_reason
    return run
