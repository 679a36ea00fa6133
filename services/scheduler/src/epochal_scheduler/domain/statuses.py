"""The statuses of a run, and every move between them that is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition

Status = pb.RunStatus

TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = {
    pb.RUN_STATUS_UNSPECIFIED: frozenset({pb.RUN_STATUS_CREATED}),
    pb.RUN_STATUS_CREATED: frozenset({
        pb.RUN_STATUS_QUEUED, pb.RUN_STATUS_RUNNING, pb.RUN_STATUS_STOPPED,
        pb.RUN_STATUS_SKIPPED, pb.RUN_STATUS_UPSTREAM_FAILED, pb.RUN_STATUS_SUCCEEDED,
        pb.RUN_STATUS_FAILED,
    }),
    pb.RUN_STATUS_QUEUED: frozenset({
        pb.RUN_STATUS_SCHEDULED, pb.RUN_STATUS_STOPPED, pb.RUN_STATUS_SKIPPED,
    }),
    pb.RUN_STATUS_SCHEDULED: frozenset({pb.RUN_STATUS_STARTING, pb.RUN_STATUS_STOPPED}),
    pb.RUN_STATUS_STARTING: frozenset({
        pb.RUN_STATUS_RUNNING, pb.RUN_STATUS_STOPPING, pb.RUN_STATUS_RETRYING,
        pb.RUN_STATUS_FAILED, pb.RUN_STATUS_STOPPED, pb.RUN_STATUS_QUEUED,
    }),
    pb.RUN_STATUS_RUNNING: frozenset({
        pb.RUN_STATUS_STOPPING, pb.RUN_STATUS_RETRYING, pb.RUN_STATUS_SUCCEEDED,
        pb.RUN_STATUS_FAILED, pb.RUN_STATUS_STOPPED, pb.RUN_STATUS_QUEUED,
    }),
    pb.RUN_STATUS_STOPPING: frozenset({pb.RUN_STATUS_STOPPED}),
    pb.RUN_STATUS_RETRYING: frozenset({pb.RUN_STATUS_QUEUED, pb.RUN_STATUS_STOPPED}),
    pb.RUN_STATUS_SUCCEEDED: frozenset(),
    pb.RUN_STATUS_FAILED: frozenset(),
    pb.RUN_STATUS_STOPPED: frozenset(),
    pb.RUN_STATUS_SKIPPED: frozenset(),
    pb.RUN_STATUS_UPSTREAM_FAILED: frozenset(),
}  # fmt: skip

TERMINAL: Final = frozenset(status for status, after in TRANSITIONS.items() if not after)
RESUMABLE: Final = frozenset({
    pb.RUN_STATUS_FAILED, pb.RUN_STATUS_STOPPED, pb.RUN_STATUS_UPSTREAM_FAILED,
})  # fmt: skip
"""Ends from which a run may go on, by `RunResumed` alone; see `domain.resuming`."""


def word(status: Status) -> str:
    """Returns a status as people write it, such as `running`; `none` before the first."""
    name = pb.RunStatus.Name(status).removeprefix("RUN_STATUS_").lower()
    return "none" if name == "unspecified" else name


def status_of(number: int) -> Status:
    """Returns the status that a number in a row stands for."""
    return cast("Status", number)


class IllegalTransition(FailedPrecondition):
    """The run cannot make this move."""

    default_reason = "ILLEGAL_TRANSITION"

    def __init__(self, resource: str, source: Status, target: Status) -> None:
        self.source = source
        self.target = target
        self.allowed = tuple(sorted(word(status) for status in TRANSITIONS[source]))
        choices = ", ".join(self.allowed) or "nothing: it has ended"
        super().__init__(
            f"a run that is {word(source)} cannot become {word(target)}; allowed: {choices}",
            resource=resource,
        )


def assert_allowed(resource: str, source: Status, target: Status) -> None:
    """Refuses a move that the table does not have.

    Raises:
        IllegalTransition: names where the run is, where it was to go, and where it may go.
    """
    if target not in TRANSITIONS[source]:
        raise IllegalTransition(resource, source, target)
