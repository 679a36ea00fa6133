"""Decisions about attempts: release, claim, start, exit, loss, retry.

An attempt is named by its number and its fence. Both only grow, so a message that names older
ones comes from an agent that was given up, and is refused before anything else is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition, NotFound
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from epochal_scheduler.domain.run import Exit, RunState
from epochal_scheduler.domain.statuses import assert_allowed

MAX_MESSAGE_CHARS = 4096


class StaleAttempt(FailedPrecondition):
    """The attempt is not the run's newest; its agent was given up."""

    default_reason = "STALE_ATTEMPT"


class AttemptTaken(FailedPrecondition):
    """Another agent has the attempt."""

    default_reason = "ATTEMPT_TAKEN"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which attempt a message is about."""

    number: int
    fence: int


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next attempt: grows from `first_s` up to `most_s`."""

    first_s: float = 1.0
    most_s: float = 60.0
    factor: float = 2.0

    def delay_s(self, retries: int) -> float:
        """Returns the wait before retry number `retries + 1`."""
        return min(self.first_s * self.factor ** min(retries, 32), self.most_s)

    def of(self, state: RunState) -> Backoff:
        """Returns the run's own waits where its spec gives them, else these."""
        policy = state.created.retry
        if not policy.HasField("first"):
            return self
        return Backoff(
            policy.first.ToTimedelta().total_seconds(),
            policy.most.ToTimedelta().total_seconds() or max(self.most_s, self.first_s),
            policy.factor or 2.0,
        )


@dataclass(frozen=True, slots=True)
class Exited:
    """What an agent says of a process that ended.

    `stopped` means that the agent ended it; whether anyone had asked is known here.
    """

    exit_code: int
    timed_out: bool = False
    stopped: bool = False
    message: str = ""
    outputs: Mapping[str, pb.Value] = field(default_factory=dict)
    infrastructure: bool = False


def release(state: RunState) -> Sequence[Message]:
    """Decides that a queued run is handed to agents; nothing when it is past that.

    Raises:
        NotFound: there is no such run.
    """
    _assert_exists(state)
    if state.status != pb.RUN_STATUS_QUEUED:
        return ()
    return (pb.RunScheduled(attempt=state.attempt + 1, fence=state.fence + 1, queue=state.queue),)


def claim(state: RunState, attempt: Attempt, agent: str) -> Sequence[Message]:
    """Decides that an agent has an attempt; asking twice is the same as asking once.

    Raises:
        StaleAttempt: a newer attempt exists, or this one is over.
        AttemptTaken: another agent was first.
    """
    _assert_current(state, attempt)
    if state.agent == agent:
        return ()
    if state.agent:
        raise AttemptTaken(
            f"attempt {attempt.number} of {state.name} belongs to {state.agent}",
            resource=state.name,
        )
    assert_allowed(state.name, state.status, pb.RUN_STATUS_STARTING)
    return (pb.RunStarting(attempt=attempt.number, agent=agent),)


def start(state: RunState, attempt: Attempt, agent: str, at: Timestamp) -> Sequence[Message]:
    """Decides that the user's process runs; once.

    Raises:
        StaleAttempt, AttemptTaken: the agent does not have the attempt.
    """
    _assert_held(state, attempt, agent)
    if state.started:
        return ()
    return (pb.RunStarted(attempt=attempt.number, start_time=at),)


def exit_process(
    state: RunState, attempt: Attempt, agent: str, exited: Exited, now: datetime, backoff: Backoff
) -> Sequence[Message]:
    """Decides what the end of a process means for the run.

    A retry or a stop is decided at once. An end for good waits until telemetry is sealed: that is
    `ending.settle`. A process that its agent ended unasked counts as lost.

    Raises:
        StaleAttempt, AttemptTaken: the agent does not have the attempt.
        IllegalTransition: the process ended well but was never reported to run.
    """
    if state.exit is not None and state.exit.attempt == attempt.number:
        return ()
    _assert_held(state, attempt, agent)
    if exited.stopped and state.status != pb.RUN_STATUS_STOPPING:
        return lose(state, attempt, exited.message or "the agent ended it", now, backoff)
    told = _outputs(attempt, exited)
    ended = pb.RunProcessExited(
        attempt=attempt.number,
        exit_code=exited.exit_code,
        timed_out=exited.timed_out,
        message=exited.message[-MAX_MESSAGE_CHARS:],
    )
    if state.status == pb.RUN_STATUS_STOPPING:
        return *told, ended, pb.RunStopped(reason=state.stop_reason)
    failed = exited.timed_out or exited.exit_code != 0
    if not failed:
        assert_allowed(state.name, state.status, pb.RUN_STATUS_SUCCEEDED)
        return *told, ended
    if _may_retry(state, infrastructure=exited.infrastructure):
        reason = why_failed(Exit(0, exited.exit_code, exited.timed_out, ""), state.timeout_s)
        retrying = _retrying(state, reason, now, backoff, infrastructure=exited.infrastructure)
        return ended, retrying
    return *told, ended


def lose(
    state: RunState,
    attempt: Attempt,
    reason: str,
    now: datetime,
    backoff: Backoff,
    unsealed: Sequence[str] = (),
) -> Sequence[Message]:
    """Decides what the loss of an agent means; nothing when the attempt is over already.

    Args:
        state: of the run.
        attempt: whose agent is lost.
        reason: why it is taken for lost.
        now: present time, for the date of the retry.
        backoff: between attempts.
        unsealed: producers whose telemetry will stay incomplete if the run fails now.
    """
    if not state.is_live or (state.attempt, state.fence) != (attempt.number, attempt.fence):
        return ()
    lost = pb.RunAttemptLost(attempt=attempt.number, agent=state.agent, reason=reason)
    if state.status == pb.RUN_STATUS_STOPPING:
        return lost, pb.RunStopped(reason=state.stop_reason)
    if _may_retry(state, infrastructure=True):
        return lost, _retrying(state, reason, now, backoff, infrastructure=True)
    failed = pb.RunFailed(message=reason, infrastructure=True, incomplete_producers=unsealed)
    return lost, failed


def retry(state: RunState) -> Sequence[Message]:
    """Decides that a run whose wait is over queues again; nothing when it is not waiting."""
    if state.status != pb.RUN_STATUS_RETRYING:
        return ()
    return (pb.RunQueued(queue=state.queue),)


def preempt(state: RunState, beneficiary: str, reason: str) -> Sequence[Message]:
    """Decides that an attempt makes room for a run that goes first, and queues again.

    The agent hears of it as of any attempt that is over: by its next heartbeat, at once if it is
    rung. Its budget of retries is not touched.
    """
    if not state.is_live or state.status == pb.RUN_STATUS_STOPPING or state.exit is not None:
        return ()
    preempted = pb.RunPreempted(attempt=state.attempt, beneficiary=beneficiary, reason=reason)
    return preempted, pb.RunQueued(queue=state.queue, reason=reason)


def record_outputs(state: RunState, outputs: Mapping[str, pb.Value]) -> Sequence[Message]:
    """Decides that outputs of a run are known; those that have the same value change nothing.

    Raises:
        NotFound: there is no such run.
        FailedPrecondition: it has ended.
    """
    _assert_exists(state)
    new = {name: value for name, value in outputs.items() if state.outputs.get(name) != value}
    if not new:
        return ()
    if state.is_over:
        raise FailedPrecondition(
            f"{state.name} has ended; its outputs cannot change", resource=state.name
        )
    return (pb.RunOutputsRecorded(outputs=new),)


def serve(
    state: RunState, attempt: Attempt, agent: str, host: str, ports: Sequence[int]
) -> Sequence[Message]:
    """Decides that the service of an attempt answers.

    Raises:
        StaleAttempt, AttemptTaken: the agent does not have the attempt.
    """
    _assert_held(state, attempt, agent)
    return (pb.RunServiceReady(attempt=attempt.number, host=host, ports=ports),)


def _outputs(attempt: Attempt, exited: Exited) -> Sequence[Message]:
    if not exited.outputs:
        return ()
    return (pb.RunOutputsRecorded(outputs=exited.outputs, attempt=attempt.number),)


def _may_retry(state: RunState, *, infrastructure: bool) -> bool:
    if infrastructure:
        return state.infrastructure_retries < state.max_infrastructure_retries
    return state.user_retries < state.max_retries


def why_failed(exit: Exit, timeout_s: int) -> str:
    """Returns the end of a process in words."""
    if exit.timed_out:
        return f"it ran into its timeout of {timeout_s} s"
    if exit.exit_code < 0:
        return f"the process was ended by signal {-exit.exit_code}"
    return f"the process ended with exit code {exit.exit_code}"


def _retrying(
    state: RunState, reason: str, now: datetime, backoff: Backoff, *, infrastructure: bool
) -> pb.RunRetrying:
    times = state.infrastructure_retries if infrastructure else state.user_retries
    due = Timestamp()
    due.FromDatetime(now + timedelta(seconds=backoff.of(state).delay_s(times)))
    return pb.RunRetrying(
        attempt=state.attempt, reason=reason, not_before=due, infrastructure=infrastructure
    )


def _assert_exists(state: RunState) -> None:
    if state.status == pb.RUN_STATUS_UNSPECIFIED:
        raise NotFound("there is no such run")


def _assert_current(state: RunState, attempt: Attempt) -> None:
    _assert_exists(state)
    if (state.attempt, state.fence) != (attempt.number, attempt.fence) or state.ended:
        raise StaleAttempt(
            f"attempt {attempt.number} (fence {attempt.fence}) of {state.name} is over; "
            f"the newest is {state.attempt} (fence {state.fence}): drop it",
            resource=state.name,
        )


def _assert_held(state: RunState, attempt: Attempt, agent: str) -> None:
    _assert_current(state, attempt)
    if state.agent != agent:
        holder = state.agent or "no agent"
        raise AttemptTaken(
            f"attempt {attempt.number} of {state.name} belongs to {holder}, not to {agent}",
            resource=state.name,
        )
