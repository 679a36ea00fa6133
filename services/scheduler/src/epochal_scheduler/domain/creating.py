"""Decisions about runs before their first attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import epochal_proto.v1 as pb
from epochal_kernel.errors import AlreadyExists
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from epochal_scheduler.domain.run import RunState
from epochal_scheduler.domain.statuses import assert_allowed


@dataclass(frozen=True, slots=True)
class CreateRun:
    """Asks for a run; without `compiled_json` a tracked one, whose process is the caller's."""

    name: str
    display_name: str
    creator: str
    params: Mapping[str, pb.Value]
    tags: Mapping[str, str]
    compiled_json: str = ""
    spec_digest: str = ""
    max_retries: int = 0
    timeout_s: int = 0
    queue: str = ""
    skipped_because: str = ""
    start_time: Timestamp = field(default_factory=Timestamp)


def create(state: RunState, command: CreateRun) -> Sequence[Message]:
    """Decides that a run exists, and where it goes from there.

    A job is queued, or skipped by its condition; a tracked run is running already.

    Raises:
        AlreadyExists: there is a run of this id.
    """
    if state.status != pb.RUN_STATUS_UNSPECIFIED:
        raise AlreadyExists(f"run {command.name} exists; choose another id", resource=command.name)
    is_job = bool(command.compiled_json)
    created = pb.RunCreated(
        name=command.name,
        display_name=command.display_name,
        kind=pb.RUN_KIND_JOB if is_job else pb.RUN_KIND_TRACKED,
        creator=command.creator,
        params=command.params,
        tags=command.tags,
        compiled_json=command.compiled_json,
        spec_digest=command.spec_digest,
        max_retries=command.max_retries,
        timeout_s=command.timeout_s,
        start_time=None if is_job else command.start_time,
    )
    if not is_job:
        return created, pb.RunStarted(attempt=0, start_time=command.start_time)
    if command.skipped_because:
        return created, pb.RunSkipped(reason=command.skipped_because)
    return created, pb.RunQueued(queue=command.queue)


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
