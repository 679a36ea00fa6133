"""How a run is kept: its name, and whether people see it."""

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import FailedPrecondition, NotFound
from epochal_scheduler.domain import curating, ending
from epochal_scheduler.domain.run import RUN

NAME = "orgs/o/projects/p/runs/r"


def after(state, events):
    for event in events:
        state = RUN.evolve(state, event)
    return state


def begun(kind=pb.RUN_KIND_TRACKED):
    created = pb.RunCreated(name=NAME, display_name="first", kind=kind)
    return after(RUN.initial(), [created, pb.RunStarted()])


def test_a_deleted_run_takes_no_name_until_it_is_restored():
    state = after(begun(), curating.delete(begun(), "users/ann"))
    assert state.deleted
    assert curating.delete(state, "users/ann") == ()
    with pytest.raises(FailedPrecondition, match="restore it first"):
        curating.rename(state, "users/ann", "second")
    state = after(state, curating.restore(state, "users/ann"))
    assert curating.restore(state, "users/ann") == ()
    state = after(state, curating.rename(state, "users/ann", "second"))
    assert state.display_name == "second"
    assert curating.rename(state, "users/ann", "second") == ()


def test_a_run_that_an_agent_has_is_stopped_before_it_is_deleted():
    state = begun(pb.RUN_KIND_JOB)
    with pytest.raises(FailedPrecondition, match="stop it first"):
        curating.delete(state, "users/ann")
    state = after(state, ending.stop(state, "users/ann", ""))
    assert state.is_over
    (event,) = curating.delete(state, "users/ann")
    assert event == pb.RunDeleted(requester="users/ann")


def test_what_does_not_exist_is_neither_named_nor_deleted_nor_restored():
    nothing = RUN.initial()
    for decide in (curating.delete, curating.restore):
        with pytest.raises(NotFound):
            decide(nothing, "users/ann")
    with pytest.raises(NotFound):
        curating.rename(nothing, "users/ann", "x")
