"""The state of one run, folded from its events."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class RunState:
    """What decisions about a run need.

    `created` is the event that made it, never changed. `attempt` and `fence` are those of the
    newest attempt and never go back; `ended` tells whether that attempt is over, and `exit` how
    its process ended, if it did. `retries` counts attempts that were given up for another.
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
    retries: int = 0
    stop_reason: str = ""

    @property
    def name(self) -> str:
        """Resource name."""
        return self.created.name

    @property
    def kind(self) -> pb.RunKind:
        """Who runs it."""
        return self.created.kind

    @property
    def max_retries(self) -> int:
        """Times a failed attempt is tried again."""
        return self.created.max_retries

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
            )
        case pb.RunQueued():
            return replace(state, status=pb.RUN_STATUS_QUEUED, queue=event.queue)
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
            return replace(state, status=pb.RUN_STATUS_RETRYING, retries=state.retries + 1)
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
    return replace(state, status=status, ended=True)
