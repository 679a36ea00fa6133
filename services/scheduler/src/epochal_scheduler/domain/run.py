"""The state of one run, folded from its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import epochal_proto.v1 as pb
from google.protobuf.message import Message

from epochal_scheduler.domain.statuses import TERMINAL, Status


@dataclass(frozen=True, slots=True)
class Exit:
    """How the process of an attempt ended."""

    attempt: int
    exit_code: int
    timed_out: bool
    message: str


PIPELINES = frozenset({
    pb.RUN_KIND_DAG, pb.RUN_KIND_MATRIX, pb.RUN_KIND_SCHEDULE, pb.RUN_KIND_TRIGGER,
    pb.RUN_KIND_BACKFILL,
})  # fmt: skip
"""Kinds whose work is other runs: the scheduler itself runs them."""


@dataclass(frozen=True, slots=True)
class RunState:
    """What decisions about a run need.

    `created` is the event that made it, never changed. `attempt` and `fence` are those of the
    newest attempt and never go back; `ended` tells whether that attempt is over, and `exit` how
    its process ended, if it did. `user_retries` and `infrastructure_retries` count attempts that
    were given up for another, by who was at fault, since the run last began. `holds` are what it
    waits for before it may queue, `approvers` who has approved it so far. `outputs` maps declared
    outputs to values; `added_runs` and `concurrency` are a pipeline's limits as they are now.
    """

    status: Status = pb.RUN_STATUS_UNSPECIFIED
    created: pb.RunCreated = field(default_factory=pb.RunCreated)
    queue: str = ""
    attempt: int = 0
    fence: int = 0
    agent: str = ""
    started: bool = False
    ended: bool = True
    exit: Exit | None = None
    user_retries: int = 0
    infrastructure_retries: int = 0
    stop_reason: str = ""
    message: str = ""
    holds: frozenset[str] = frozenset()
    approvers: tuple[str, ...] = ()
    outputs: Mapping[str, pb.Value] = field(default_factory=dict)
    paused: bool = False
    unpaused_s: float = 0.0
    concurrency: int = 0
    added_runs: int = 0
    reused: str = ""
    resumptions: int = 0
    told: frozenset[str] = frozenset()
    deleted: bool = False
    renamed: str = ""

    @property
    def name(self) -> str:
        """Resource name."""
        return self.created.name

    @property
    def display_name(self) -> str:
        """Name for people."""
        return self.renamed or self.created.display_name

    @property
    def kind(self) -> pb.RunKind:
        """Who runs it."""
        return self.created.kind

    @property
    def max_retries(self) -> int:
        """Times an attempt is tried again that the user's code failed."""
        if self.created.HasField("retry"):
            return self.created.retry.user
        return self.created.max_retries

    @property
    def max_infrastructure_retries(self) -> int:
        """Times an attempt is tried again that the platform failed."""
        if self.created.HasField("retry"):
            return self.created.retry.infrastructure
        return self.created.max_retries

    @property
    def is_pipeline(self) -> bool:
        """Whether its work is other runs."""
        return self.kind in PIPELINES

    @property
    def timeout_s(self) -> int:
        """Longest an attempt may take; 0 means for ever."""
        return self.created.timeout_s

    @property
    def is_over(self) -> bool:
        """Whether nothing can change any more."""
        return self.status in TERMINAL

    @property
    def is_live(self) -> bool:
        """Whether an agent holds an attempt that has not ended."""
        return self.attempt > 0 and not self.ended and self.agent != ""

    def wants_stopped(self, attempt: int, fence: int) -> bool:
        """Whether an agent that holds this attempt must end it: asked to, or fenced."""
        current = (self.attempt, self.fence) == (attempt, fence) and self.is_live
        return not current or self.status == pb.RUN_STATUS_STOPPING


class RunAggregate:
    """How events of category `run` fold; accepts every history, legal or not."""

    category = "run"

    def initial(self) -> RunState:
        """Returns the state of a run that does not exist."""
        return RunState()

    def evolve(self, state: RunState, event: Message) -> RunState:
        """Returns the state after an event; one of another category changes nothing."""
        return evolve(state, event)


RUN = RunAggregate()


def evolve(state: RunState, event: Message) -> RunState:
    """Returns the state after one event."""
    match event:
        case pb.RunCreated():
            return replace(
                state,
                status=pb.RUN_STATUS_CREATED,
                created=event,
                holds=frozenset(event.holds),
                paused=event.paused,
                concurrency=event.concurrency,
            )
        case pb.RunQueued():
            return replace(state, status=pb.RUN_STATUS_QUEUED, queue=event.queue, message="")
        case pb.RunScheduled():
            return replace(
                state,
                status=pb.RUN_STATUS_SCHEDULED,
                attempt=event.attempt,
                fence=event.fence,
                agent="",
                started=False,
                ended=False,
                exit=None,
            )
        case pb.RunStarting():
            return replace(state, status=pb.RUN_STATUS_STARTING, agent=event.agent)
        case pb.RunStarted():
            stopping = state.status == pb.RUN_STATUS_STOPPING
            status = state.status if stopping else pb.RUN_STATUS_RUNNING
            return replace(state, status=status, started=True)
        case pb.RunProcessExited():
            ended = Exit(event.attempt, event.exit_code, event.timed_out, event.message)
            return replace(state, ended=True, exit=ended)
        case pb.RunAttemptLost():
            return replace(state, ended=True)
        case pb.RunStopRequested():
            return replace(state, status=pb.RUN_STATUS_STOPPING, stop_reason=event.reason)
        case pb.RunRetrying():
            return replace(
                state,
                status=pb.RUN_STATUS_RETRYING,
                user_retries=state.user_retries + (not event.infrastructure),
                infrastructure_retries=state.infrastructure_retries + event.infrastructure,
                message=event.reason,
            )
        case pb.RunPreempted():
            return replace(state, ended=True, agent="", message=event.reason)
        case pb.RunOutputsRecorded():
            return replace(state, outputs={**state.outputs, **event.outputs})
        case _:
            return _hold(state, event)


def _hold(state: RunState, event: Message) -> RunState:
    """Folds what people decide about runs: holds, approvals, pauses, resumptions, limits."""
    match event:
        case pb.RunApprovalGiven():
            return replace(state, approvers=(*state.approvers, event.approver))
        case pb.RunHoldReleased():
            return replace(state, holds=state.holds - {event.hold})
        case pb.RunRenamed():
            return replace(state, renamed=event.display_name)
        case pb.RunDeleted():
            return replace(state, deleted=True)
        case pb.RunRestored():
            return replace(state, deleted=False)
        case pb.RunPaused():
            return replace(state, paused=True)
        case pb.RunUnpaused():
            since_s = event.time.seconds + event.time.nanos / 1e9
            return replace(state, paused=False, unpaused_s=since_s)
        case pb.RunPipelineUpdated():
            return replace(
                state,
                concurrency=event.concurrency or state.concurrency,
                added_runs=state.added_runs + event.added_runs,
            )
        case pb.RunNotificationRequested():
            return replace(state, told=state.told | {event.key})
        case pb.RunReused():
            return replace(state, reused=event.source, outputs=dict(event.outputs))
        case pb.RunResumed():
            return replace(
                state,
                status=pb.RUN_STATUS_CREATED,
                resumptions=state.resumptions + 1,
                holds=frozenset(event.created.holds),
                approvers=(),
                user_retries=0,
                infrastructure_retries=0,
                stop_reason="",
                message="",
                exit=None,
            )
        case _:
            return _end(state, event)


def _end(state: RunState, event: Message) -> RunState:
    match event:
        case pb.RunSucceeded():
            status: Status = pb.RUN_STATUS_SUCCEEDED
        case pb.RunFailed():
            status = pb.RUN_STATUS_FAILED
        case pb.RunStopped():
            status = pb.RUN_STATUS_STOPPED
        case pb.RunSkipped():
            status = pb.RUN_STATUS_SKIPPED
        case pb.RunUpstreamFailed():
            status = pb.RUN_STATUS_UPSTREAM_FAILED
        case _:
            return state
    return replace(state, status=status, ended=True, message=_why(event))


def _why(event: Message) -> str:
    match event:
        case pb.RunFailed():
            return event.message
        case pb.RunStopped() | pb.RunSkipped():
            return event.reason
        case pb.RunUpstreamFailed():
            return f"{event.upstream} failed"
        case _:
            return ""
