"""Every decision about a run, one by one."""

from datetime import UTC, datetime

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import (
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    from_status,
    to_status,
)
from epochal_scheduler.domain import attempts, creating, ending
from epochal_scheduler.domain.attempts import Attempt, AttemptTaken, Backoff, Exited, StaleAttempt
from epochal_scheduler.domain.run import RUN, RunState
from epochal_scheduler.domain.statuses import TERMINAL, TRANSITIONS, IllegalTransition, word
from google.protobuf.timestamp_pb2 import Timestamp

NAME = "orgs/acme/projects/vision/runs/0193a000-0000-7000-8000-000000000001"
NOW = datetime(2026, 11, 23, 13, tzinfo=UTC)
A, B = "agents/a", "agents/b"
FIRST = Attempt(1, 1)
BACKOFF = Backoff(first_s=1, most_s=3)


def fold(*events, state=None):
    state = state or RUN.initial()
    for event in events:
        state = RUN.evolve(state, event)
    return state


def job(retries=0, **more):
    created = pb.RunCreated(
        name=NAME, display_name="train", creator="users/alice", kind=pb.RUN_KIND_JOB,
        compiled_json="{}", queue="default", max_retries=retries,
    )  # fmt: skip
    return fold(*creating.create(RunState(), creating.CreateRun(created, **more)))


def tracked():
    created = pb.RunCreated(name=NAME, creator="users/alice", kind=pb.RUN_KIND_TRACKED)
    return fold(*creating.create(RunState(), creating.CreateRun(created)))


def scheduled(retries=0):
    state = job(retries)
    return fold(*attempts.release(state), state=state)


def starting(retries=0):
    state = scheduled(retries)
    return fold(*attempts.claim(state, FIRST, A), state=state)


def running(retries=0):
    state = starting(retries)
    return fold(*attempts.start(state, FIRST, A, Timestamp()), state=state)


def exited(code=0, retries=0, **more):
    state = running(retries)
    return fold(
        *attempts.exit_process(state, FIRST, A, Exited(code, **more), NOW, BACKOFF), state=state
    )


def names(events):
    return [type(event).__name__ for event in events]


def test_the_table_leaves_no_status_out():
    assert set(TRANSITIONS) == set(pb.RunStatus.values())
    assert {word(status) for status in TERMINAL} == {
        "succeeded", "failed", "stopped", "skipped", "upstream_failed",
    }  # fmt: skip


def test_a_job_is_queued_and_a_tracked_run_is_running():
    assert job().status == pb.RUN_STATUS_QUEUED
    assert tracked().status == pb.RUN_STATUS_RUNNING
    assert job(skipped_because="lr > 1").status == pb.RUN_STATUS_SKIPPED


def test_a_run_is_created_once():
    with pytest.raises(AlreadyExists):
        creating.create(job(), creating.CreateRun(pb.RunCreated(name=NAME)))


def test_what_is_not_released_can_be_skipped():
    created = fold(pb.RunCreated(name=NAME, kind=pb.RUN_KIND_JOB))
    assert fold(*creating.skip(created, "why"), state=created).status == pb.RUN_STATUS_SKIPPED
    failed = fold(*creating.fail_upstream(created, "other"), state=created)
    assert failed.status == pb.RUN_STATUS_UPSTREAM_FAILED
    with pytest.raises(IllegalTransition):
        creating.skip(running(), "why")
    with pytest.raises(IllegalTransition):
        creating.fail_upstream(running(), "other")


def test_an_illegal_move_names_from_to_and_allowed():
    with pytest.raises(IllegalTransition) as caught:
        creating.skip(running(), "why")
    error = caught.value
    assert (word(error.source), word(error.target)) == ("running", "skipped")
    assert error.allowed == ("failed", "queued", "retrying", "stopped", "stopping", "succeeded")
    back = from_status(to_status(error))
    assert isinstance(back, FailedPrecondition)
    assert back.reason == "ILLEGAL_TRANSITION"
    assert "running cannot become skipped; allowed: failed" in back.message
    with pytest.raises(IllegalTransition, match="it has ended"):
        ending.stop(exited_well(), "users/a", "")


def exited_well():
    state = exited()
    return fold(*ending.settle(state, ending.Producers(), forced=False), state=state)


def test_release_gives_a_higher_attempt_and_fence():
    state = scheduled()
    assert (state.status, state.attempt, state.fence) == (pb.RUN_STATUS_SCHEDULED, 1, 1)
    assert attempts.release(state) == ()
    with pytest.raises(NotFound):
        attempts.release(RunState())


def test_a_claim_is_taken_once_and_may_be_repeated_by_its_agent():
    state = starting()
    assert (state.status, state.agent) == (pb.RUN_STATUS_STARTING, A)
    assert attempts.claim(state, FIRST, A) == ()
    with pytest.raises(AttemptTaken):
        attempts.claim(state, FIRST, B)


@pytest.mark.parametrize("stale", [Attempt(0, 0), Attempt(1, 0), Attempt(2, 1), Attempt(2, 2)])
def test_a_message_of_another_attempt_is_fenced(stale):
    state = running()
    for decide in (
        lambda: attempts.claim(state, stale, A),
        lambda: attempts.start(state, stale, A, Timestamp()),
        lambda: attempts.exit_process(state, Attempt(3, 9), A, Exited(0), NOW, BACKOFF),
    ):
        with pytest.raises(StaleAttempt):
            decide()
    assert attempts.lose(state, stale, "", NOW, BACKOFF) == ()


def test_only_the_holder_reports():
    with pytest.raises(AttemptTaken, match="belongs to agents/a"):
        attempts.start(starting(), FIRST, B, Timestamp())
    with pytest.raises(AttemptTaken, match="belongs to no agent"):
        attempts.start(scheduled(), FIRST, B, Timestamp())


def test_start_is_reported_once():
    state = running()
    assert state.status == pb.RUN_STATUS_RUNNING
    assert attempts.start(state, FIRST, A, Timestamp()) == ()


def test_a_good_exit_waits_for_its_telemetry():
    state = exited()
    assert state.status == pb.RUN_STATUS_RUNNING
    waiting = ending.Producers(awaited=["p"], abandoned=["o"])
    assert ending.settle(state, waiting, forced=False) == ()
    (forced,) = ending.settle(state, waiting, forced=True)
    assert list(forced.incomplete_producers) == ["o", "p"]
    (sealed,) = ending.settle(state, ending.Producers(abandoned=["o"]), forced=False)
    assert list(sealed.incomplete_producers) == ["o"]
    done = fold(sealed, state=state)
    assert done.status == pb.RUN_STATUS_SUCCEEDED
    assert ending.settle(done, ending.Producers(), forced=True) == ()


def test_an_exit_reported_twice_counts_once():
    state = exited()
    assert attempts.exit_process(state, FIRST, A, Exited(0), NOW, BACKOFF) == ()


def test_a_good_exit_of_what_never_ran_is_refused():
    with pytest.raises(IllegalTransition, match="starting cannot become succeeded"):
        attempts.exit_process(starting(), FIRST, A, Exited(0), NOW, BACKOFF)


@pytest.mark.parametrize(
    ("code", "timed_out", "told"),
    [(3, False, "exit code 3"), (-9, False, "signal 9"), (-15, True, "timeout of 0 s")],
)
def test_a_bad_exit_fails_with_its_reason(code, timed_out, told):
    state = exited(code, timed_out=timed_out, message="Traceback")
    (failed,) = ending.settle(state, ending.Producers(), forced=False)
    assert told in failed.message
    assert failed.message.endswith("Traceback")
    assert not failed.infrastructure
    assert fold(failed, state=state).status == pb.RUN_STATUS_FAILED


def test_what_cannot_start_fails():
    state = starting()
    state = fold(*attempts.exit_process(state, FIRST, A, Exited(127), NOW, BACKOFF), state=state)
    (failed,) = ending.settle(state, ending.Producers(), forced=False)
    assert "127" in failed.message


def test_a_failed_attempt_is_retried_within_its_budget():
    state = exited(1, retries=1)
    assert (state.status, state.user_retries) == (pb.RUN_STATUS_RETRYING, 1)
    assert state.infrastructure_retries == 0
    assert ending.settle(state, ending.Producers(), forced=True) == ()
    state = fold(*attempts.retry(state), state=state)
    assert attempts.retry(state) == ()
    state = fold(*attempts.release(state), state=state)
    second = Attempt(2, 2)
    state = fold(*attempts.claim(state, second, B), state=state)
    with pytest.raises(StaleAttempt):
        attempts.claim(state, FIRST, A)
    state = fold(*attempts.start(state, second, B, Timestamp()), state=state)
    events = attempts.exit_process(state, second, B, Exited(1), NOW, BACKOFF)
    assert names(events) == ["RunProcessExited"]


def test_retries_wait_longer_each_time():
    assert [BACKOFF.delay_s(n) for n in range(4)] == [1, 2, 3, 3]
    assert Backoff().delay_s(10_000) == 60
    (_, retrying) = attempts.exit_process(running(1), FIRST, A, Exited(1), NOW, BACKOFF)
    assert retrying.not_before.ToDatetime(tzinfo=UTC).timestamp() == NOW.timestamp() + 1


def test_a_lost_agent_s_run_is_retried_or_failed():
    events = attempts.lose(running(1), FIRST, "heartbeat stopped", NOW, BACKOFF)
    assert names(events) == ["RunAttemptLost", "RunRetrying"]
    lost, failed = attempts.lose(running(), FIRST, "heartbeat stopped", NOW, BACKOFF, ["p"])
    assert lost.agent == A
    assert failed.infrastructure
    assert list(failed.incomplete_producers) == ["p"]
    assert attempts.lose(scheduled(), FIRST, "", NOW, BACKOFF) == ()
    assert attempts.lose(exited(), FIRST, "", NOW, BACKOFF) == ()


def test_a_process_ended_unasked_counts_as_lost():
    events = attempts.exit_process(running(1), FIRST, A, Exited(-15, stopped=True), NOW, BACKOFF)
    assert names(events) == ["RunAttemptLost", "RunRetrying"]
    assert events[0].reason == "the agent ended it"


@pytest.mark.parametrize("state", [job(), scheduled(), exited(1, retries=1), exited(), tracked()])
def test_what_no_agent_holds_stops_at_once(state):
    events = ending.stop(state, "users/a", "enough")
    assert names(events) == ["RunStopped"]
    assert fold(*events, state=state).status == pb.RUN_STATUS_STOPPED


@pytest.mark.parametrize("state", [starting(), running()])
def test_what_an_agent_holds_stops_when_it_says_so(state):
    stopping = fold(*ending.stop(state, "users/a", "enough"), state=state)
    assert stopping.status == pb.RUN_STATUS_STOPPING
    assert stopping.wants_stopped(1, 1)
    assert not state.wants_stopped(1, 1)
    assert ending.stop(stopping, "users/b", "again") == ()
    exit_events = attempts.exit_process(stopping, FIRST, A, Exited(-15, stopped=True), NOW, BACKOFF)
    assert names(exit_events) == ["RunProcessExited", "RunStopped"]
    assert exit_events[1].reason == "enough"
    lost = attempts.lose(stopping, FIRST, "gone", NOW, BACKOFF)
    assert names(lost) == ["RunAttemptLost", "RunStopped"]


def test_a_start_reported_while_stopping_does_not_undo_the_stop():
    state = fold(*ending.stop(starting(), "users/a", ""), state=starting())
    state = fold(*attempts.start(state, FIRST, A, Timestamp()), state=state)
    assert (state.status, state.started) == (pb.RUN_STATUS_STOPPING, True)


def test_an_unknown_run_cannot_be_stopped_or_finished():
    with pytest.raises(NotFound):
        ending.stop(RunState(), "users/a", "")
    with pytest.raises(NotFound):
        ending.finish(RunState(), finishing(pb.RUN_STATUS_FAILED), [])


def finishing(status, force=False):
    return ending.FinishRun(status, "because", None, force)


def test_a_tracked_run_ends_as_its_owner_says():
    for status in (pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_FAILED, pb.RUN_STATUS_STOPPED):
        state = tracked()
        done = fold(*ending.finish(state, finishing(status), []), state=state)
        assert done.status == status
        assert ending.finish(done, finishing(status), []) == ()
    with pytest.raises(IllegalTransition):
        ending.finish(done, finishing(pb.RUN_STATUS_FAILED), [])


def test_success_over_open_telemetry_must_be_forced_and_is_recorded():
    with pytest.raises(ending.TelemetryOpen, match="p1"):
        ending.finish(tracked(), finishing(pb.RUN_STATUS_SUCCEEDED), ["p1"])
    (forced,) = ending.finish(tracked(), finishing(pb.RUN_STATUS_SUCCEEDED, force=True), ["p1"])
    assert list(forced.incomplete_producers) == ["p1"]
    (failed,) = ending.finish(tracked(), finishing(pb.RUN_STATUS_FAILED), ["p1"])
    assert list(failed.incomplete_producers) == ["p1"]


def test_a_job_is_not_finished_by_hand():
    with pytest.raises(FailedPrecondition) as caught:
        ending.finish(running(), finishing(pb.RUN_STATUS_SUCCEEDED), [])
    assert caught.value.reason == "NOT_TRACKED"


def test_events_of_other_categories_change_nothing():
    assert fold(pb.TagsSet(), state=running()) == running()
