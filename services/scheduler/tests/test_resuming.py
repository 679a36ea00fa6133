"""Runs that go on anew, pause, and get other limits."""

from datetime import UTC, datetime

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import FailedPrecondition, NotFound
from epochal_scheduler.domain import approving, attempts, creating, ending, resuming
from epochal_scheduler.domain.attempts import Attempt, Backoff, Exited
from epochal_scheduler.domain.resuming import NotAPipeline, NotResumable
from epochal_scheduler.domain.run import RUN
from google.protobuf.timestamp_pb2 import Timestamp

NAME = "orgs/o/projects/p/runs/r"
NOW = datetime(2026, 11, 23, 13, tzinfo=UTC)


def begun(kind=pb.RUN_KIND_DAG, **fields):
    created = pb.RunCreated(
        name=NAME, creator="users/ann", kind=kind, queue="q", compiled_json="{}", **fields
    )
    return after(RUN.initial(), creating.create(RUN.initial(), creating.CreateRun(created)))


def after(state, events):
    for event in events:
        state = RUN.evolve(state, event)
    return state


def names(events):
    return [type(event).__name__.removeprefix("Run") for event in events]


def failed_job():
    state = begun(pb.RUN_KIND_JOB, retry=pb.RetryPolicy(user=1, infrastructure=1))
    for _ in range(2):
        state = after(state, attempts.release(state))
        attempt = Attempt(state.attempt, state.fence)
        state = after(state, attempts.claim(state, attempt, "agents/a"))
        state = after(state, attempts.start(state, attempt, "agents/a", Timestamp()))
        exited = Exited(1)
        state = after(
            state, attempts.exit_process(state, attempt, "agents/a", exited, NOW, Backoff())
        )
        state = after(state, attempts.retry(state))
    return after(state, ending.settle(state, ending.Producers(), forced=False))


def test_a_failed_job_goes_on_with_a_new_attempt_and_whole_budgets():
    state = failed_job()
    assert (state.status, state.user_retries, state.attempt) == (pb.RUN_STATUS_FAILED, 1, 2)
    events = resuming.resume(state, "users/ann", "")
    assert names(events) == ["Resumed", "Queued"]
    assert events[1].reason == "resumed by users/ann"
    assert events[0].created.compiled_json == ""  # the first event has it
    state = after(state, events)
    assert (state.status, state.user_retries, state.exit) == (pb.RUN_STATUS_QUEUED, 0, None)
    assert state.created.compiled_json == "{}"
    (scheduled,) = attempts.release(state)
    assert (scheduled.attempt, scheduled.fence) == (3, 3)


def test_a_pipeline_that_ended_badly_runs_again():
    state = begun()
    state = after(state, resuming.end_pipeline(state, pb.RUN_STATUS_FAILED, "a step failed"))
    assert names(resuming.resume(state, "users/ann", "")) == ["Resumed", "Started"]


def test_what_ended_well_or_not_at_all_is_not_resumed():
    good = after(begun(), resuming.end_pipeline(begun(), pb.RUN_STATUS_SUCCEEDED, ""))
    skipped = after(RUN.initial(), [pb.RunCreated(name=NAME), pb.RunSkipped()])
    for state in (begun(), good, skipped):
        with pytest.raises(NotResumable, match="restart it"):
            resuming.resume(state, "users/ann", "")
    with pytest.raises(NotResumable, match="running"):
        resuming.resume(begun(pb.RUN_KIND_TRACKED), "users/ann", "")
    with pytest.raises(NotFound):
        resuming.resume(RUN.initial(), "users/ann", "")


def test_a_tracked_run_goes_on_however_it_ended():
    running = begun(pb.RUN_KIND_TRACKED)
    for status in (pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_FAILED, pb.RUN_STATUS_STOPPED):
        finish = ending.FinishRun(status, "", None, force=False)
        state = after(running, ending.finish(running, finish, ()))
        events = resuming.resume(state, "users/ann", "")
        assert names(events) == ["Resumed", "Started"]
        assert after(state, events).status == pb.RUN_STATUS_RUNNING


def test_a_tick_that_waited_for_its_siblings_goes_on_without_them():
    state = begun(pb.RUN_KIND_JOB, holds=["overlap"])
    state = after(state, ending.stop(state, "users/ann", ""))
    events = resuming.resume(state, "users/ann", "")
    assert names(events) == ["Resumed", "Queued"]
    state = after(state, events)
    assert state.holds == frozenset()
    with pytest.raises(approving.NotAwaited):
        approving.release_hold(state, "overlap")


def test_pausing_twice_is_pausing_once_and_so_is_going_on():
    state = begun()
    assert resuming.unpause(state, "users/ann", "", NOW) == ()
    state = after(state, resuming.pause(state, "users/ann", "lunch"))
    assert state.paused
    assert resuming.pause(state, "users/ann", "") == ()
    state = after(state, resuming.unpause(state, "users/ann", "", NOW))
    assert not state.paused
    assert state.unpaused_s == NOW.timestamp()


def test_only_pipelines_that_have_not_ended_pause():
    ended = after(begun(), resuming.end_pipeline(begun(), pb.RUN_STATUS_SUCCEEDED, ""))
    job = begun(pb.RUN_KIND_JOB)
    for change in (
        lambda state: resuming.pause(state, "users/ann", ""),
        lambda state: resuming.unpause(state, "users/ann", "", NOW),
    ):
        with pytest.raises(NotAPipeline):
            change(job)
        with pytest.raises(FailedPrecondition, match="has ended"):
            change(ended)
        with pytest.raises(NotFound):
            change(RUN.initial())


def test_limits_change_while_a_pipeline_runs():
    state = begun(concurrency=2)
    assert resuming.update_pipeline(state, "users/ann", 2, 0) == ()
    assert resuming.update_pipeline(state, "users/ann", 0, 0) == ()
    state = after(state, resuming.update_pipeline(state, "users/ann", 5, 0))
    assert state.concurrency == 5
    with pytest.raises(FailedPrecondition, match="only a sweep"):
        resuming.update_pipeline(state, "users/ann", 0, 3)
    with pytest.raises(NotAPipeline):
        resuming.update_pipeline(begun(pb.RUN_KIND_JOB), "users/ann", 1, 0)


def test_a_sweep_is_extended_while_it_runs_and_after():
    state = begun(pb.RUN_KIND_MATRIX)
    state = after(state, resuming.update_pipeline(state, "users/ann", 0, 3))
    assert (state.status, state.added_runs) == (pb.RUN_STATUS_RUNNING, 3)
    state = after(state, resuming.end_pipeline(state, pb.RUN_STATUS_SUCCEEDED, ""))
    with pytest.raises(FailedPrecondition, match="has ended"):
        resuming.update_pipeline(state, "users/ann", 7, 0)
    events = resuming.update_pipeline(state, "users/ann", 0, 2)
    assert names(events) == ["PipelineUpdated", "Resumed", "Started"]
    state = after(state, events)
    assert (state.status, state.added_runs) == (pb.RUN_STATUS_RUNNING, 5)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (pb.RUN_STATUS_SUCCEEDED, ["Succeeded"]),
        (pb.RUN_STATUS_FAILED, ["Failed"]),
        (pb.RUN_STATUS_STOPPED, ["StopRequested", "Stopped"]),
    ],
)
def test_a_pipeline_ends_once(status, expected):
    events = resuming.end_pipeline(begun(), status, "why")
    assert names(events) == expected
    assert resuming.end_pipeline(after(begun(), events), status, "why") == ()
    assert resuming.end_pipeline(begun(pb.RUN_KIND_JOB), status, "why") == ()


def test_a_pipeline_asked_to_stop_ends_stopped_whatever_its_runs_did():
    state = after(begun(), ending.stop(begun(), "users/ann", "enough"))
    (stopped,) = resuming.end_pipeline(state, pb.RUN_STATUS_SUCCEEDED, "")
    assert isinstance(stopped, pb.RunStopped)
    assert stopped.reason == "enough"
