"""Decisions about the end of a run: stop, settle, finish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition, NotFound
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from epochal_scheduler.domain.attempts import why_failed
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.domain.statuses import assert_allowed

MAX_MESSAGE_CHARS = 20_000


class TelemetryOpen(FailedPrecondition):
    """Telemetry of the run is not sealed; seal it, or force the end."""

    default_reason = "TELEMETRY_OPEN"


@dataclass(frozen=True, slots=True)
class Producers:
    """Producers of a run whose telemetry is not sealed.

    `awaited` may still be sealed; `abandoned` belong to attempts that were given up, and never
    will be.
    """

    awaited: Sequence[str] = ()
    abandoned: Sequence[str] = ()

    @property
    def unsealed(self) -> list[str]:
        """All of them, in order."""
        return sorted({*self.awaited, *self.abandoned})


def stop(state: RunState, requester: str, reason: str) -> Sequence[Message]:
    """Decides on a wish to stop; asking twice is the same as asking once.

    What no agent has ends at once. A tracked run ends at once too: its process is its owner's. A
    pipeline ends when its runs have.

    Raises:
        NotFound: there is no such run.
        IllegalTransition: the run has ended.
    """
    if state.status == pb.RUN_STATUS_UNSPECIFIED:
        raise NotFound("there is no such run")
    if state.status in (pb.RUN_STATUS_STOPPING, pb.RUN_STATUS_STOPPED):
        return ()
    if state.is_over:
        assert_allowed(state.name, state.status, pb.RUN_STATUS_STOPPED)
    if state.is_live or (state.is_pipeline and state.status == pb.RUN_STATUS_RUNNING):
        return (pb.RunStopRequested(requester=requester, reason=reason),)
    return (pb.RunStopped(reason=reason),)


def stop_alarmed(state: RunState) -> Sequence[Message]:
    """Decides on the wish of an alert's rule to stop a run; nothing when it has ended."""
    if state.status == pb.RUN_STATUS_UNSPECIFIED or state.is_over:
        return ()
    return stop(state, "services/monitor", "an alert's rule stops it: see its alerts")


def time_out(state: RunState) -> Sequence[Message]:
    """Decides that a pipeline has run too long; nothing when it has ended or is asked to."""
    if not state.is_pipeline or state.status != pb.RUN_STATUS_RUNNING:
        return ()
    reason = f"it ran into its timeout of {state.timeout_s} s"
    return (pb.RunStopRequested(requester="services/scheduler", reason=reason),)


def settle(state: RunState, producers: Producers, *, forced: bool) -> Sequence[Message]:
    """Decides how a run ends whose process has ended; nothing while telemetry is awaited.

    Args:
        state: of the run.
        producers: whose telemetry is not sealed.
        forced: the grace is over; what is not sealed is recorded as incomplete.
    """
    if state.exit is None or state.status not in (pb.RUN_STATUS_RUNNING, pb.RUN_STATUS_STARTING):
        return ()
    if producers.awaited and not forced:
        return ()
    if state.exit.exit_code == 0 and not state.exit.timed_out:
        return (pb.RunSucceeded(incomplete_producers=producers.unsealed),)
    message = why_failed(state.exit, state.timeout_s)
    if state.exit.message:
        message = f"{message}\n{state.exit.message}"
    return (pb.RunFailed(message=message, incomplete_producers=producers.unsealed),)


@dataclass(frozen=True, slots=True)
class FinishRun:
    """What the owner of a tracked run says of its end."""

    status: pb.RunStatus
    message: str
    end_time: Timestamp | None
    force: bool


def finish(state: RunState, command: FinishRun, unsealed: Sequence[str]) -> Sequence[Message]:
    """Decides that a tracked run ends.

    Raises:
        NotFound: there is no such run.
        IllegalTransition: it has ended otherwise.
        TelemetryOpen: it ended well, but telemetry of a producer is not sealed and the end is not
            forced.
        FailedPrecondition: the run is a job; its agent says when it ends.
    """
    if state.status == pb.RUN_STATUS_UNSPECIFIED:
        raise NotFound("there is no such run")
    if state.kind != pb.RUN_KIND_TRACKED:
        raise FailedPrecondition(
            f"{state.name} is run by an agent, which says when it ends; stop it instead",
            reason="NOT_TRACKED",
            resource=state.name,
        )
    if state.status == command.status:
        return ()
    assert_allowed(state.name, state.status, command.status)
    if command.status == pb.RUN_STATUS_SUCCEEDED:
        if unsealed and not command.force:
            raise TelemetryOpen(
                f"telemetry of {len(unsealed)} producers is not sealed ({', '.join(unsealed)}): "
                "seal it, or finish with force",
                resource=state.name,
            )
        return (pb.RunSucceeded(incomplete_producers=unsealed, end_time=command.end_time),)
    if command.status == pb.RUN_STATUS_FAILED:
        return (
            pb.RunFailed(
                message=command.message[:MAX_MESSAGE_CHARS],
                incomplete_producers=unsealed,
                end_time=command.end_time,
            ),
        )
    return (pb.RunStopped(reason=command.message[:MAX_MESSAGE_CHARS], end_time=command.end_time),)


def tell(
    state: RunState, connections: Sequence[str], status: str, message: str, key: str
) -> Sequence[Message]:
    """Decides that someone is to be told of a run's end; once for each key."""
    if key in state.told or not state.is_over:
        return ()
    told = pb.RunNotificationRequested(
        run=state.name, connections=connections, status=status, message=message, key=key
    )
    return (told,)
