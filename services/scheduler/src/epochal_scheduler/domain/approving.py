"""Decisions about what a run waits for before it may queue: approvals and uploads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition, NotFound, PermissionDenied
from google.protobuf.message import Message

from epochal_scheduler.domain.creating import begin
from epochal_scheduler.domain.run import RunState

APPROVAL = "approval"
UPLOAD = "upload"
OVERLAP = "overlap"


class NotAwaited(FailedPrecondition):
    """The run does not wait for this."""

    default_reason = "NOT_AWAITED"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What someone decided on a run, and by which rights: their name, and `role:` by role."""

    approver: str
    rights: Collection[str]
    reason: str = ""


def release_hold(state: RunState, hold: str, reason: str = "") -> Sequence[Message]:
    """Decides that what a run waited for is there; with nothing else to wait for it begins.

    Raises:
        NotFound: there is no such run.
        NotAwaited: it does not wait for this.
    """
    _assert_held(state, hold)
    released = pb.RunHoldReleased(hold=hold, reason=reason)
    if state.holds - {hold}:
        return (released,)
    return released, begin(state.created)


def approve(state: RunState, verdict: Verdict) -> Sequence[Message]:
    """Decides on an approval; with the last one of the quorum the run begins.

    Asking twice is the same as asking once.

    Raises:
        NotFound: there is no such run.
        NotAwaited: it does not wait for an approval.
        PermissionDenied: the approver is not named, or is the run's creator under four eyes.
    """
    _assert_held(state, APPROVAL)
    if verdict.approver in state.approvers:
        return ()
    right = _right(state, verdict)
    policy = state.created.approval
    given = pb.RunApprovalGiven(approver=verdict.approver, right=right, reason=verdict.reason)
    if len(state.approvers) + 1 < max(1, policy.quorum):
        return (given,)
    count = len(state.approvers) + 1
    reason = f"approved by {', '.join((*state.approvers, verdict.approver))} ({count})"
    return given, *release_hold(state, APPROVAL, reason)


def deny(state: RunState, verdict: Verdict) -> Sequence[Message]:
    """Decides that a run will not be: one who may approve it denied it.

    Raises:
        NotFound, NotAwaited, PermissionDenied: as for `approve`.
    """
    _assert_held(state, APPROVAL)
    _right(state, verdict)
    because = f": {verdict.reason}" if verdict.reason else ""
    return (
        pb.RunApprovalDenied(approver=verdict.approver, reason=verdict.reason),
        pb.RunStopped(reason=f"{verdict.approver} denied it{because}"),
    )


def expire(state: RunState, hold: str, reason: str) -> Sequence[Message]:
    """Decides that a run waited too long; nothing when it does not wait any more."""
    if hold not in state.holds or state.status != pb.RUN_STATUS_CREATED:
        return ()
    return (pb.RunStopped(reason=reason),)


def _right(state: RunState, verdict: Verdict) -> str:
    policy = state.created.approval
    if policy.four_eyes and verdict.approver == state.created.creator:
        raise PermissionDenied(
            f"{verdict.approver} created {state.name} and cannot approve it: four eyes are asked "
            "for; ask someone else",
            reason="FOUR_EYES",
            resource=state.name,
        )
    if not policy.approvers:
        return verdict.approver
    for right in policy.approvers:
        if right in verdict.rights:
            return right
    raise PermissionDenied(
        f"{verdict.approver} is not among the approvers of {state.name}: "
        f"{', '.join(policy.approvers)}",
        reason="NOT_AN_APPROVER",
        resource=state.name,
    )


def _assert_held(state: RunState, hold: str) -> None:
    if state.status == pb.RUN_STATUS_UNSPECIFIED:
        raise NotFound("there is no such run")
    if hold not in state.holds or state.status != pb.RUN_STATUS_CREATED:
        raise NotAwaited(f"{state.name} does not wait for {hold}", resource=state.name)
