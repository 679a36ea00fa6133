"""Whatever happens in whatever order, the invariants of a run hold."""

from datetime import UTC, datetime

import epochal_proto.v1 as pb
from epochal_kernel.errors import EpochalError
from epochal_scheduler.domain import attempts, creating, ending
from epochal_scheduler.domain.attempts import Attempt, Backoff, Exited
from epochal_scheduler.domain.run import RUN
from epochal_scheduler.domain.statuses import TERMINAL, TRANSITIONS
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = datetime(2026, 11, 23, 13, tzinfo=UTC)
BACKOFF = Backoff()
AGENTS = st.sampled_from(["agents/a", "agents/b"])
# The newest attempt, or one off: a message may be late, early or from nowhere.
OFF = st.sampled_from([0, 0, 0, 0, -1, 1])
PRODUCERS = st.builds(
    ending.Producers,
    awaited=st.lists(st.sampled_from(["p", "q"]), unique=True),
    abandoned=st.lists(st.sampled_from(["o"]), unique=True),
)
STATUSES = st.sampled_from([pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_FAILED, pb.RUN_STATUS_STOPPED])


@st.composite
def commands(draw):
    off, agent = Attempt(draw(OFF), draw(OFF)), draw(AGENTS)

    def named(state):
        return Attempt(state.attempt + off.number, state.fence + off.fence)

    producers, flag, status = draw(PRODUCERS), draw(st.booleans()), draw(STATUSES)
    ended = Exited(draw(st.sampled_from([0, 0, 1, -9])), draw(st.booleans()), flag, "said")
    kinds = [pb.RUN_KIND_JOB, pb.RUN_KIND_JOB, pb.RUN_KIND_JOB, pb.RUN_KIND_TRACKED]
    created = pb.RunCreated(
        name="orgs/o/projects/p/runs/r", display_name="n", creator="users/a",
        max_retries=draw(st.integers(0, 3)), kind=draw(st.sampled_from(kinds)), queue="default",
        holds=draw(st.sampled_from([[], [], ["approval"], ["approval", "upload"]])),
    )  # fmt: skip
    if draw(st.booleans()):
        user, infrastructure = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        created.retry.CopyFrom(pb.RetryPolicy(user=user, infrastructure=infrastructure))
    create = creating.CreateRun(created, draw(st.sampled_from(["", "", "", "why"])))
    choices = {
        "create": lambda s: creating.create(s, create),
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
    return choices[draw(st.sampled_from(sorted(choices)))]


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


@given(st.lists(commands(), max_size=60))
@settings(max_examples=400)
def test_any_commands_keep_the_invariants(steps):
    retries = fence = attempt = 0
    live = set()
    for before, event, after in history(steps):
        if before.status != after.status:
            assert after.status in TRANSITIONS[before.status]
        assert before.status not in TERMINAL
        if isinstance(event, pb.RunScheduled):
            assert event.fence > fence
            assert event.attempt == attempt + 1
            fence, attempt = event.fence, event.attempt
            assert not live, "a new attempt while the last one lives"
        if isinstance(event, pb.RunStarting):
            live.add(event.attempt)
        if isinstance(event, pb.RunProcessExited | pb.RunAttemptLost):
            live.remove(event.attempt)
        if isinstance(event, pb.RunRetrying):
            retries += 1
            assert retries <= after.max_retries
        assert after.is_live == bool(live)
        if after.status in TERMINAL:
            assert not live


@given(st.lists(commands(), max_size=40))
def test_success_stands_on_a_good_exit(steps):
    for before, event, _ in history(steps):
        if isinstance(event, pb.RunSucceeded) and before.kind == pb.RUN_KIND_JOB:
            assert before.exit is not None
            assert before.exit.exit_code == 0
            assert before.exit.attempt == before.attempt


ANY_EVENT = st.one_of(
    st.builds(pb.RunCreated, max_retries=st.integers(0, 3)),
    st.builds(pb.RunQueued, queue=st.just("q")),
    st.builds(pb.RunScheduled, attempt=st.integers(1, 3), fence=st.integers(1, 3)),
    st.builds(pb.RunStarting, attempt=st.integers(1, 3), agent=AGENTS),
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
)


@given(st.lists(ANY_EVENT, max_size=30))
def test_any_history_folds(events):
    state = RUN.initial()
    for event in events:
        state = RUN.evolve(state, event)
    assert state.status in pb.RunStatus.values()
