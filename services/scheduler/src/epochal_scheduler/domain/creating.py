"""Decisions about runs before their first attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.errors import AlreadyExists
from google.protobuf.message import Message

from epochal_scheduler.domain.run import PIPELINES, RunState
from epochal_scheduler.domain.statuses import assert_allowed


@dataclass(frozen=True, slots=True)
class Reuse:
    """An equal run whose results stand in for a new one's."""

    source: str
    cache_key: str
    explanation: str
    outputs: Mapping[str, pb.Value]


@dataclass(frozen=True, slots=True)
class CreateRun:
    """Asks for a run.

    `tells` is what a run that only tells someone does, and all that it does.
    `skipped_because`, `failed_because` and `upstream_failed` (what failed) end it at once, `reuse`
    lets it succeed at once.
    """

    created: pb.RunCreated
    skipped_because: str = ""
    failed_because: str = ""
    upstream_failed: str = ""
    reuse: Reuse | None = None
    tells: pb.RunNotificationRequested | None = None

    @property
    def name(self) -> str:
        """Resource name."""
        return self.created.name

    @property
    def waits_for_nothing(self) -> bool:
        """Whether it goes into its queue as soon as it exists."""
        ends = self.skipped_because or self.failed_because or self.upstream_failed
        kind = self.created.kind
        queues = kind not in PIPELINES and kind not in (pb.RUN_KIND_TRACKED, pb.RUN_KIND_SYSTEM)
        return queues and not ends and self.reuse is None and not self.created.holds


def create(state: RunState, command: CreateRun) -> Sequence[Message]:
    """Decides that a run exists, and where it goes from there.

    A job is queued, or skipped by its condition, or held until someone approves; a tracked run is
    running already, and so is a pipeline: its work is other runs.

    Raises:
        AlreadyExists: there is a run of this id.
    """
    if state.status != pb.RUN_STATUS_UNSPECIFIED:
        raise AlreadyExists(f"run {command.name} exists; choose another id", resource=command.name)
    created = command.created
    if created.kind == pb.RUN_KIND_TRACKED:
        return created, pb.RunStarted(attempt=0, start_time=created.start_time)
    if created.kind == pb.RUN_KIND_SYSTEM and command.tells is not None:
        return created, pb.RunStarted(attempt=0), command.tells, pb.RunSucceeded()
    if command.skipped_because:
        return created, pb.RunSkipped(reason=command.skipped_because)
    if command.failed_because:
        return created, pb.RunFailed(message=command.failed_because)
    if command.upstream_failed:
        return created, pb.RunUpstreamFailed(upstream=command.upstream_failed)
    if command.reuse is not None:
        reused = pb.RunReused(
            source=command.reuse.source,
            cache_key=command.reuse.cache_key,
            explanation=command.reuse.explanation,
            outputs=command.reuse.outputs,
        )
        return created, reused, pb.RunSucceeded()
    if created.holds:
        return (created,)
    return created, begin(created)


def begin(created: pb.RunCreated, reason: str = "") -> Message:
    """Returns the event that sets a run going: into its queue, or at once for a pipeline."""
    if created.kind in PIPELINES:
        return pb.RunStarted(attempt=0)
    return pb.RunQueued(queue=created.queue, reason=reason)


def skip(state: RunState, reason: str) -> Sequence[Message]:
    """Decides that a run that has not been released will never start.

    Raises:
        IllegalTransition: it has been released already.
    """
    assert_allowed(state.name, state.status, pb.RUN_STATUS_SKIPPED)
    return (pb.RunSkipped(reason=reason),)


def fail_upstream(state: RunState, upstream: str) -> Sequence[Message]:
    """Decides that a run never starts because a run it needs failed.

    Raises:
        IllegalTransition: it has been released already.
    """
    assert_allowed(state.name, state.status, pb.RUN_STATUS_UPSTREAM_FAILED)
    return (pb.RunUpstreamFailed(upstream=upstream),)
