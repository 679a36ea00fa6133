"""Approvals and other holds: who may, how many, until when."""

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import NotFound, PermissionDenied
from epochal_scheduler.domain import approving, creating, ending, resuming
from epochal_scheduler.domain.approving import NotAwaited, Verdict
from epochal_scheduler.domain.run import RUN

NAME = "orgs/o/projects/p/runs/r"


def held(*holds, kind=pb.RUN_KIND_JOB, **policy):
    created = pb.RunCreated(
        name=NAME, creator="users/ann", kind=kind, queue="q", holds=holds or ["approval"]
    )
    created.approval.CopyFrom(pb.ApprovalPolicy(**policy))
    return after(RUN.initial(), creating.create(RUN.initial(), creating.CreateRun(created)))


def after(state, events):
    for event in events:
        state = RUN.evolve(state, event)
    return state


def names(events):
    return [type(event).__name__.removeprefix("Run") for event in events]


def by(approver, *roles):
    return Verdict(approver, {approver, *(f"roles/{role}" for role in roles)}, "why")


def test_one_approval_begins_a_run_unless_more_are_asked_for():
    events = approving.approve(held(), by("users/bob"))
    assert names(events) == ["ApprovalGiven", "HoldReleased", "Queued"]
    assert events[1].reason == "approved by users/bob (1)"
    assert after(held(), events).status == pb.RUN_STATUS_QUEUED


def test_a_quorum_counts_people_not_clicks():
    state = held(quorum=2)
    state = after(state, approving.approve(state, by("users/bob")))
    assert state.status == pb.RUN_STATUS_CREATED
    assert approving.approve(state, by("users/bob")) == ()
    events = approving.approve(state, by("users/cy"))
    assert names(events) == ["ApprovalGiven", "HoldReleased", "Queued"]
    assert events[1].reason == "approved by users/bob, users/cy (2)"


def test_under_four_eyes_the_creator_alone_may_neither_approve_nor_deny():
    state = held(four_eyes=True)
    for decide in (approving.approve, approving.deny):
        with pytest.raises(PermissionDenied) as caught:
            decide(state, by("users/ann"))
        assert caught.value.reason == "FOUR_EYES"
    assert approving.approve(held(), by("users/ann"))


def test_only_the_named_approve_by_name_or_by_role():
    state = held(approvers=["users/bob", "roles/admin"])
    with pytest.raises(PermissionDenied) as caught:
        approving.approve(state, by("users/cy", "editor"))
    assert caught.value.reason == "NOT_AN_APPROVER"
    assert "users/bob, roles/admin" in caught.value.message
    assert approving.approve(state, by("users/bob"))[0].right == "users/bob"
    assert approving.approve(state, by("users/cy", "editor", "admin"))[0].right == "roles/admin"


def test_a_denial_stops_the_run_with_its_reason():
    events = approving.deny(held(), by("users/bob"))
    assert names(events) == ["ApprovalDenied", "Stopped"]
    assert events[1].reason == "users/bob denied it: why"
    bare = approving.deny(held(), Verdict("users/bob", {"users/bob"}))
    assert bare[1].reason == "users/bob denied it"


def test_what_is_not_awaited_is_neither_approved_nor_released():
    begun = after(held(), approving.approve(held(), by("users/bob")))
    ended = after(held(), ending.stop(held(), "users/ann", ""))
    for state in (begun, ended, held("upload")):
        with pytest.raises(NotAwaited):
            approving.approve(state, by("users/bob"))
        with pytest.raises(NotAwaited):
            approving.deny(state, by("users/bob"))
    with pytest.raises(NotAwaited):
        approving.release_hold(held(), "upload")
    with pytest.raises(NotFound):
        approving.approve(RUN.initial(), by("users/bob"))


def test_a_run_begins_with_the_last_of_its_holds():
    state = held("approval", "upload")
    state = after(state, approving.release_hold(state, "upload"))
    assert (state.status, state.holds) == (pb.RUN_STATUS_CREATED, {"approval"})
    assert names(approving.approve(state, by("users/bob")))[-1] == "Queued"
    pipeline = held(kind=pb.RUN_KIND_DAG)
    assert names(approving.approve(pipeline, by("users/bob")))[-1] == "Started"


def test_who_waits_too_long_is_stopped_and_who_waits_no_more_is_not():
    state = held()
    (stopped,) = approving.expire(state, "approval", "too late")
    assert stopped.reason == "too late"
    assert approving.expire(state, "upload", "too late") == ()
    begun = after(state, approving.approve(state, by("users/bob")))
    assert approving.expire(begun, "approval", "too late") == ()
    assert approving.expire(after(state, [stopped]), "approval", "too late") == ()


@pytest.mark.parametrize(
    "end",
    [
        lambda state: ending.stop(state, "users/ann", "no need"),
        lambda state: approving.deny(state, by("users/bob")),
        lambda state: approving.expire(state, "approval", "too late"),
    ],
    ids=["stopped", "denied", "expired"],
)
def test_resuming_is_no_way_around_an_approval(end):
    state = held(quorum=2)
    state = after(state, approving.approve(state, by("users/cy")))
    state = after(state, end(state))
    events = resuming.resume(state, "users/ann", "again")
    assert names(events) == ["Resumed"]
    assert list(events[0].created.holds) == ["approval"]
    state = after(state, events)
    assert (state.status, state.approvers) == (pb.RUN_STATUS_CREATED, ())
    state = after(state, approving.approve(state, by("users/cy")))
    assert state.status == pb.RUN_STATUS_CREATED
    state = after(state, approving.approve(state, by("users/bob")))
    assert state.status == pb.RUN_STATUS_QUEUED
