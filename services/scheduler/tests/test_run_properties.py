"""Whatever happens in whatever order, the invariants of a run hold."""

import random
from datetime import UTC, datetime

import epochal_proto.v1 as pb
from epochal_kernel.errors import EpochalError
from epochal_scheduler.domain import approving, attempts, creating, curating, ending, resuming
from epochal_scheduler.domain.approving import Verdict
from epochal_scheduler.domain.attempts import Attempt, Backoff, Exited
from epochal_scheduler.domain.run import RUN
from epochal_scheduler.domain.statuses import RESUMABLE, TERMINAL, TRANSITIONS
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = datetime(2026, 11, 23, 13, tzinfo=UTC)
BACKOFF = Backoff()
AGENTS = ["agents/a", "agents/b"]
# The newest attempt, or one off: a message may be late, early or from nowhere.
OFF = [0, 0, 0, 0, 0, 0, -1, 1]
STATUSES = [pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_FAILED, pb.RUN_STATUS_STOPPED]
JOBS = [pb.RUN_KIND_JOB, pb.RUN_KIND_JOB, pb.RUN_KIND_JOB, pb.RUN_KIND_TRACKED]
CURATED = pb.RunRenamed | pb.RunDeleted | pb.RunRestored
PIPELINES = [pb.RUN_KIND_MATRIX, pb.RUN_KIND_MATRIX, pb.RUN_KIND_DAG]
# People rename and delete seldom: a deleted run has little more to tell.
OF_JOBS = 4 * [
    "release", "release", "claim", "claim", "start", "exit", "lose", "retry", "retry", "preempt",
    "settle", "settle", "stop", "resume", "approve", "release_hold", "outputs", "finish",
] + ["rename", "delete", "restore"]  # fmt: skip
OF_PIPELINES = [
    "pause", "unpause", "update", "end_pipeline", "stop", "resume", "time_out", "approve", "deny",
    "release_hold", "expire",
]  # fmt: skip


def creation(dice, kinds):
    """A command that creates a run of one of some kinds."""
    created = pb.RunCreated(
        name="orgs/o/projects/p/runs/r", display_name="n", creator="users/a",
        max_retries=dice.randint(0, 3), kind=dice.choice(kinds), queue="default",
        holds=dice.choice([[], [], ["approval"], ["approval", "upload"]]),
    )  # fmt: skip
    created.has_hooks = dice.random() < 0.5
    created.timeout_s = dice.choice([0, 60])
    if dice.random() < 0.5:
        policy = pb.RetryPolicy(user=dice.randint(0, 3), infrastructure=dice.randint(0, 3))
        created.retry.CopyFrom(policy)
    policy = pb.ApprovalPolicy(quorum=dice.randint(0, 2), four_eyes=dice.random() < 0.5)
    if dice.random() < 0.5:
        policy.expires.FromSeconds(30)
    created.approval.CopyFrom(policy)
    skipped = "why" if dice.random() < 0.1 else ""
    command = creating.CreateRun(created, skipped)
    return lambda s: creating.create(s, command)


def command(dice, kinds, names):
    """One command of those named, or of all."""
    off, agent = Attempt(dice.choice(OFF), dice.choice(OFF)), dice.choice(AGENTS)

    def named(state):
        return Attempt(state.attempt + off.number, state.fence + off.fence)

    awaited, abandoned = dice.choice([[], [], ["p"], ["p", "q"]]), dice.choice([[], ["o"]])
    producers = ending.Producers(awaited, abandoned)
    flag, status = dice.random() < 0.3, dice.choice(STATUSES)
    ended = Exited(dice.choice([0, 0, 1, -9]), dice.random() < 0.2, flag, "said")
    who = dice.choice(["users/a", "users/b", "users/c"])
    verdict, hold = Verdict(who, {who}), dice.choice(["approval", "upload"])
    concurrency, more = dice.randint(0, 3), dice.choice([0, 0, 2])
    outputs = {"x": pb.Value(int_value=concurrency)}
    choices = {
        "create": creation(dice, kinds),
        "skip": lambda s: creating.skip(s, "why"),
        "upstream": lambda s: creating.fail_upstream(s, "other"),
        "release": attempts.release,
        "claim": lambda s: attempts.claim(s, named(s), agent),
        "start": lambda s: attempts.start(s, named(s), agent, Timestamp()),
        "exit": lambda s: attempts.exit_process(s, named(s), agent, ended, NOW, BACKOFF),
        "lose": lambda s: attempts.lose(s, named(s), "lost", NOW, BACKOFF, producers.unsealed),
        "retry": attempts.retry,
        "stop": lambda s: ending.stop(s, "users/a", "enough"),
        "settle": lambda s: ending.settle(s, producers, forced=flag),
        "finish": lambda s: ending.finish(
            s, ending.FinishRun(status, "m", None, flag), producers.unsealed
        ),
    }
    choices |= {
        "approve": lambda s: approving.approve(s, verdict),
        "deny": lambda s: approving.deny(s, verdict),
        "release_hold": lambda s: approving.release_hold(s, "upload"),
        "expire": lambda s: approving.expire(s, hold, "too late"),
        "resume": lambda s: resuming.resume(s, who, ""),
        "pause": lambda s: resuming.pause(s, who, ""),
        "unpause": lambda s: resuming.unpause(s, who, "", NOW),
        "update": lambda s: resuming.update_pipeline(s, who, concurrency, more),
        "end_pipeline": lambda s: resuming.end_pipeline(s, status, "why"),
        "preempt": lambda s: attempts.preempt(s, "other", "room"),
        "time_out": ending.time_out,
        "rename": lambda s: curating.rename(s, who, hold),
        "delete": lambda s: curating.delete(s, who),
        "restore": lambda s: curating.restore(s, who),
        "outputs": lambda s: attempts.record_outputs(s, outputs),
    }
    return choices[dice.choice(names or sorted(choices))]


def life(seed):
    """Creates a run, then does some sixty things to it and about it."""
    dice = random.Random(seed)
    kinds, names = dice.choice([(JOBS, []), (JOBS, OF_JOBS), (PIPELINES, OF_PIPELINES)])
    return [creation(dice, kinds), *(command(dice, kinds, names) for _ in range(60))]


LIVES = st.builds(life, st.integers(0, 2**32))


def history(steps):
    """Yields (state before, event, state after) for all that a list of commands decides."""
    state = RUN.initial()
    for decide in steps:
        try:
            events = decide(state)
        except EpochalError:
            continue
        for event in events:
            before, state = state, RUN.evolve(state, event)
            yield before, event, state


@given(LIVES)
@settings(max_examples=400)
def test_any_commands_keep_the_invariants(steps):
    fence = attempt = 0
    retries = {True: 0, False: 0}
    live = set()
    for before, event, after in history(steps):
        if isinstance(event, pb.RunResumed):
            extended = before.added_runs and before.status == pb.RUN_STATUS_SUCCEEDED
            owned = before.kind == pb.RUN_KIND_TRACKED and before.is_over
            assert before.status in RESUMABLE or extended or owned
            assert after.status == pb.RUN_STATUS_CREATED
            retries = {True: 0, False: 0}
        elif isinstance(event, CURATED):
            assert after.status == before.status
            if isinstance(event, pb.RunDeleted):
                assert before.is_over or before.kind == pb.RUN_KIND_TRACKED
        elif before.status in TERMINAL:
            # Only an extension is noted before it resumes a sweep.
            assert isinstance(event, pb.RunPipelineUpdated)
            assert event.added_runs
            assert after.status == before.status
        elif before.status != after.status:
            assert after.status in TRANSITIONS[before.status]
        if isinstance(event, pb.RunScheduled):
            assert event.fence > fence
            assert event.attempt == attempt + 1
            fence, attempt = event.fence, event.attempt
            assert not live, "a new attempt while the last one lives"
        if isinstance(event, pb.RunStarting):
            live.add(event.attempt)
        if isinstance(event, pb.RunProcessExited | pb.RunAttemptLost | pb.RunPreempted):
            live.remove(event.attempt)
        if isinstance(event, pb.RunRetrying):
            retries[event.infrastructure] += 1
            assert retries[False] <= after.max_retries
            assert retries[True] <= after.max_infrastructure_retries
        assert after.is_live == bool(live)
        if after.status in TERMINAL:
            assert not live


@given(LIVES)
@settings(max_examples=300)
def test_nothing_begins_before_all_it_waits_for_is_there(steps):
    approvers, released = set(), set()
    for before, event, after in history(steps):
        created = before.created
        if isinstance(event, pb.RunResumed):
            approvers = set()
            if before.status != pb.RUN_STATUS_SUCCEEDED:
                assert set(event.created.holds) == set(created.holds) - released
        if isinstance(event, pb.RunApprovalGiven):
            assert event.approver not in approvers
            assert not (created.approval.four_eyes and event.approver == created.creator)
            approvers.add(event.approver)
        if isinstance(event, pb.RunHoldReleased):
            if event.hold == "approval":
                assert len(approvers) >= max(1, created.approval.quorum)
            released.add(event.hold)
        if isinstance(event, pb.RunQueued | pb.RunScheduled):
            assert released >= set(after.created.holds)
        if isinstance(event, pb.RunPaused | pb.RunUnpaused):
            assert after.is_pipeline
            assert before.paused != after.paused


@given(LIVES)
def test_success_stands_on_a_good_exit(steps):
    for before, event, _ in history(steps):
        if isinstance(event, pb.RunSucceeded) and before.kind == pb.RUN_KIND_JOB:
            assert before.exit is not None
            assert before.exit.exit_code == 0
            assert before.exit.attempt == before.attempt


def test_the_lives_that_are_tried_have_all_that_can_happen_to_a_run():
    seen = {type(event) for seed in range(300) for _, event, _ in history(life(seed))}
    assert seen >= {
        pb.RunApprovalDenied, pb.RunAttemptLost, pb.RunFailed, pb.RunHoldReleased, pb.RunPaused,
        pb.RunPipelineUpdated, pb.RunPreempted, pb.RunProcessExited, pb.RunResumed, pb.RunRetrying,
        pb.RunSkipped, pb.RunStopped, pb.RunStopRequested, pb.RunSucceeded, pb.RunUnpaused,
        pb.RunUpstreamFailed, pb.RunOutputsRecorded,
    }  # fmt: skip


ANY_EVENT = st.one_of(
    st.builds(pb.RunCreated, max_retries=st.integers(0, 3)),
    st.builds(pb.RunQueued, queue=st.just("q")),
    st.builds(pb.RunScheduled, attempt=st.integers(1, 3), fence=st.integers(1, 3)),
    st.builds(pb.RunStarting, attempt=st.integers(1, 3), agent=st.sampled_from(AGENTS)),
    st.builds(pb.RunStarted, attempt=st.integers(0, 3)),
    st.builds(pb.RunProcessExited, attempt=st.integers(1, 3), exit_code=st.integers(-9, 9)),
    st.builds(pb.RunStopRequested, reason=st.just("r")),
    st.builds(pb.RunAttemptLost, attempt=st.integers(1, 3)),
    st.builds(pb.RunRetrying, attempt=st.integers(1, 3)),
    st.builds(pb.RunSucceeded),
    st.builds(pb.RunFailed),
    st.builds(pb.RunStopped),
    st.builds(pb.RunSkipped),
    st.builds(pb.RunUpstreamFailed),
    st.builds(pb.ParamsLogged),
    st.builds(pb.RunResumed),
    st.builds(pb.RunPreempted, attempt=st.integers(1, 3)),
    st.builds(pb.RunHoldReleased, hold=st.sampled_from(["approval", "x"])),
    st.builds(pb.RunApprovalGiven, approver=st.just("users/a")),
    st.builds(pb.RunPaused),
    st.builds(pb.RunUnpaused),
    st.builds(pb.RunPipelineUpdated, concurrency=st.integers(0, 2)),
    st.builds(pb.RunReused, source=st.just("s")),
    st.builds(pb.RunOutputsRecorded),
)


@given(st.lists(ANY_EVENT, max_size=30))
def test_any_history_folds(events):
    state = RUN.initial()
    for event in events:
        state = RUN.evolve(state, event)
    assert state.status in pb.RunStatus.values()
