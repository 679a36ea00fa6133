"""Decisions about how a run is kept: its name, and whether people see it."""

from __future__ import annotations

from collections.abc import Sequence

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition, NotFound
from google.protobuf.message import Message

from epochal_scheduler.domain.run import RunState


def rename(state: RunState, requester: str, display_name: str) -> Sequence[Message]:
    """Decides that a run has another name for people; the same one again changes nothing.

    Raises:
        NotFound: there is no such run.
        FailedPrecondition: it is deleted.
    """
    _assert_exists(state)
    if state.deleted:
        raise FailedPrecondition(
            f"{state.name} is deleted: restore it first", reason="RUN_DELETED", resource=state.name
        )
    if state.display_name == display_name:
        return ()
    return (pb.RunRenamed(requester=requester, display_name=display_name),)


def delete(state: RunState, requester: str) -> Sequence[Message]:
    """Decides that a run is deleted; doing it twice is once.

    Its events stay: what it made, and who deleted it, can be told for ever. A run that an agent has
    is not deleted under it; a tracked one is, for nobody but its owner knows whether it goes on.

    Raises:
        NotFound: there is no such run.
        FailedPrecondition: it has not ended, and its process is ours.
    """
    _assert_exists(state)
    if state.deleted:
        return ()
    if not state.is_over and state.kind != pb.RUN_KIND_TRACKED:
        raise FailedPrecondition(
            f"{state.name} has not ended: stop it first", reason="RUN_LIVE", resource=state.name
        )
    return (pb.RunDeleted(requester=requester),)


def restore(state: RunState, requester: str) -> Sequence[Message]:
    """Decides that a deleted run is there again; doing it twice is once.

    Raises:
        NotFound: there is no such run.
    """
    _assert_exists(state)
    return (pb.RunRestored(requester=requester),) if state.deleted else ()


def _assert_exists(state: RunState) -> None:
    if state.status == pb.RUN_STATUS_UNSPECIFIED:
        raise NotFound("there is no such run")
