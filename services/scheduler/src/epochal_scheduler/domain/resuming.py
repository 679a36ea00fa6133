"""Decisions that let runs pause, go on, or go on anew after an end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition, NotFound
from google.protobuf.message import Message

from epochal_scheduler.domain.approving import OVERLAP
from epochal_scheduler.domain.creating import begin
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.domain.statuses import RESUMABLE, word


class NotResumable(FailedPrecondition):
    """The run cannot go on from where it is."""

    default_reason = "NOT_RESUMABLE"


class NotAPipeline(FailedPrecondition):
    """Only pipelines do this."""

    default_reason = "NOT_A_PIPELINE"


def resume(state: RunState, requester: str, reason: str) -> Sequence[Message]:
    """Decides that a run that ended badly goes on: a new attempt of the same run.

    What its attempts before did stays as it was recorded. What it still waited for it waits for
    again: to stop a run and resume it is no way around an approval. A tracked run goes on however
    it ended: its process is its owner's, who says that it runs again.

    Raises:
        NotFound: there is no such run.
        NotResumable: it has not ended, or ended well and is not tracked.
    """
    _assert_exists(state)
    if state.kind == pb.RUN_KIND_TRACKED and state.is_over:
        return _resumed(state, requester, reason), pb.RunStarted(attempt=0)
    if state.status not in RESUMABLE:
        choices = ", ".join(sorted(word(status) for status in RESUMABLE))
        raise NotResumable(
            f"{state.name} is {word(state.status)}; what can be resumed is {choices}; "
            "to run it again, restart it",
            resource=state.name,
        )
    why = reason or f"resumed by {requester}"
    resumed = _resumed(state, requester, reason)
    return (resumed,) if resumed.created.holds else (resumed, begin(state.created, why))


def pause(state: RunState, requester: str, reason: str) -> Sequence[Message]:
    """Decides that a pipeline starts nothing new; asking twice is the same as asking once.

    Raises:
        NotFound, NotAPipeline, FailedPrecondition: there is nothing that could pause.
    """
    _assert_going(state, "paused")
    return () if state.paused else (pb.RunPaused(requester=requester, reason=reason),)


def unpause(state: RunState, requester: str, reason: str, now: datetime) -> Sequence[Message]:
    """Decides that a paused pipeline goes on.

    Raises:
        NotFound, NotAPipeline, FailedPrecondition: there is nothing that could go on.
    """
    _assert_going(state, "unpaused")
    if not state.paused:
        return ()
    unpaused = pb.RunUnpaused(requester=requester, reason=reason)
    unpaused.time.FromDatetime(now)
    return (unpaused,)


def update_pipeline(
    state: RunState, requester: str, concurrency: int, added_runs: int
) -> Sequence[Message]:
    """Decides on other limits; a sweep that has ended and is extended goes on.

    Raises:
        NotFound, NotAPipeline: there is no such pipeline.
        FailedPrecondition: only sweeps are extended, and only those that have begun; what has ended
            has no other limits.
    """
    _assert_pipeline(state)
    if added_runs and state.kind != pb.RUN_KIND_MATRIX:
        raise FailedPrecondition(
            f"only a sweep is extended, and {state.name} is none", resource=state.name
        )
    if not added_runs and concurrency in (0, state.concurrency):
        return ()
    updated = pb.RunPipelineUpdated(
        requester=requester, concurrency=concurrency, added_runs=added_runs
    )
    if not state.is_over:
        return (updated,)
    if not added_runs or state.status not in RESUMABLE | {pb.RUN_STATUS_SUCCEEDED}:
        message = f"{state.name} has ended: it is {word(state.status)}"
        raise FailedPrecondition(message, resource=state.name)
    reason = f"extended by {added_runs} runs"
    return updated, _resumed(state, requester, reason), begin(state.created)


def end_pipeline(state: RunState, status: pb.RunStatus, reason: str) -> Sequence[Message]:
    """Decides how a pipeline ends whose runs have all ended; nothing when it has ended."""
    if not state.is_pipeline or state.status not in (
        pb.RUN_STATUS_RUNNING,
        pb.RUN_STATUS_STOPPING,
    ):
        return ()
    if state.status == pb.RUN_STATUS_STOPPING:
        return (pb.RunStopped(reason=state.stop_reason),)
    if status == pb.RUN_STATUS_SUCCEEDED:
        return (pb.RunSucceeded(),)
    if status == pb.RUN_STATUS_STOPPED:
        return pb.RunStopRequested(requester="", reason=reason), pb.RunStopped(reason=reason)
    return (pb.RunFailed(message=reason),)


def _resumed(state: RunState, requester: str, reason: str) -> pb.RunResumed:
    created = pb.RunCreated()
    created.CopyFrom(state.created)
    created.ClearField("compiled_json")
    created.ClearField("params")
    # Its siblings do not wait for it any more, nor it for them.
    created.holds[:] = sorted(state.holds - {OVERLAP})
    return pb.RunResumed(requester=requester, reason=reason, created=created)


def _assert_exists(state: RunState) -> None:
    if state.status == pb.RUN_STATUS_UNSPECIFIED:
        raise NotFound("there is no such run")


def _assert_pipeline(state: RunState) -> None:
    _assert_exists(state)
    if not state.is_pipeline:
        raise NotAPipeline(
            f"{state.name} starts no other runs: only DAGs, sweeps, schedules, triggers and "
            "backfills do",
            resource=state.name,
        )


def _assert_going(state: RunState, verb: str) -> None:
    _assert_pipeline(state)
    if state.is_over:
        raise FailedPrecondition(
            f"{state.name} has ended and cannot be {verb}", resource=state.name
        )
