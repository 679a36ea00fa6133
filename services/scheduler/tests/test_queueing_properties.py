"""Whatever waits, runs, ends or is configured, the board keeps its books and starves nobody."""

from collections import Counter
from uuid import UUID

from epochal_scheduler.domain.queueing.board import Board
from epochal_scheduler.domain.queueing.limits import Amounts, Ask, Limits, QueueKey, Seat
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

KEYS = [QueueKey(org, queue) for org in ("a", "b") for queue in ("x", "y")]
AMOUNTS = st.dictionaries(st.sampled_from(["cpu", "gpu"]), st.sampled_from([0.5, 1.0, 2.0, 4.0]))
LIMITS = st.builds(
    Limits,
    priority=st.integers(0, 2),
    concurrency=st.sampled_from([1, 2, 3, float("inf")]),
    quota=st.builds(Amounts, AMOUNTS),
    preempts=st.booleans(),
    weights=st.dictionaries(
        st.sampled_from(["projects/p", "users/u"]), st.sampled_from([0.5, 3.0])
    ),
)
NUMBERS = st.integers(0, 11)


class Boards(RuleBasedStateMachine):
    """A board beside books kept in the plainest way."""

    def __init__(self):
        super().__init__()
        self.board = Board()
        self.limits = {key: Limits() for key in KEYS}
        self.seats = {}
        self.waiting, self.running = {}, {}
        self.order = 0

    @rule(
        number=NUMBERS,
        key=st.sampled_from(KEYS),
        priority=st.integers(0, 2),
        amounts=AMOUNTS,
        project=st.sampled_from(["projects/p", "projects/q"]),
        user=st.sampled_from(["users/u", "users/v"]),
    )
    def wait(self, number, key, priority, amounts, project, user):
        self.order += 1
        run_id = UUID(int=number)
        ask = Ask(
            run_id, f"run-{number}", key, project, user, priority, Amounts(amounts), self.order, 0.0
        )
        self.board.wait(ask)
        self.running.pop(run_id, None)
        self.waiting[run_id] = ask

    @rule(number=NUMBERS)
    def end(self, number):
        run_id = UUID(int=number)
        self.board.remove(run_id)
        self.waiting.pop(run_id, None)
        self.running.pop(run_id, None)

    @rule(number=NUMBERS)
    def release_elsewhere(self, number):
        run_id = UUID(int=number)
        self.board.release(run_id)
        if run_id in self.waiting:
            self.running[run_id] = self.waiting.pop(run_id)

    @rule(key=st.sampled_from(KEYS), limits=st.none() | LIMITS)
    def configure(self, key, limits):
        self.board.configure(key, limits)
        self.limits[key] = limits or Limits()

    @rule(
        agent=st.sampled_from(["agents/1", "agents/2"]),
        queues=st.sets(st.sampled_from(["x", "y"]), min_size=1),
        slots=st.integers(1, 4),
    )
    def seat(self, agent, queues, slots):
        seat = Seat(agent, tuple(sorted(queues)), slots)
        assert self.board.seat(seat) == (self.seats.get(agent) != seat)
        self.seats[agent] = seat

    @rule(agent=st.sampled_from(["agents/1", "agents/2"]))
    def unseat(self, agent):
        self.board.unseat(agent)
        self.seats.pop(agent, None)

    @rule(most=st.integers(1, 5))
    def next(self, most):
        before = dict(self.running)
        taken = self.board.next(most)
        assert len(taken) <= most
        for ask in taken:
            assert self.waiting.pop(ask.run_id) == ask
            # It fits beside all that ran before it.
            assert self.fits(ask, before), ask
            before[ask.run_id] = ask
        self.running = before
        if len(taken) < most:
            for ask in self.waiting.values():
                assert self.board.blockers(ask), f"nothing blocks {ask}, yet it was not taken"

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def explain(self, data):
        ask = data.draw(st.sampled_from(sorted(self.waiting.values(), key=lambda a: a.order)))
        kinds = [blocker.kind for blocker in self.board.blockers(ask)]
        ahead = self.board.ahead(ask)
        assert ask not in ahead
        assert all(other.priority >= ask.priority for other in ahead)
        assert ("order" in kinds) == bool(ahead)
        hard = set(kinds) - {"order"}
        assert bool(hard) == (not self.fits(ask, self.running)), kinds

    @rule()
    def preempt(self):
        for key in KEYS:
            found = [p for p in self.board.preemptions() if p.beneficiary.key == key]
            if not found:
                continue
            assert self.limits[key].preempts
            beneficiary = found[0].beneficiary
            assert all(p.beneficiary == beneficiary for p in found)
            assert beneficiary.run_id in self.waiting
            left = dict(self.running)
            for preemption in found:
                assert preemption.victim.key == key
                assert preemption.victim.priority < beneficiary.priority
                assert not self.fits(beneficiary, left), "one victim too many"
                del left[preemption.victim.run_id]
            assert self.fits(beneficiary, left), "the victims do not make room"

    def fits(self, ask, running):
        """Says by the plainest count whether a run fits beside others."""
        limits = self.limits[ask.key]
        beside = [other for other in running.values() if other.key == ask.key]
        used = Counter(ask.amounts.of)
        for other in beside:
            used.update(other.amounts.of)
        slots = sum(s.slots for s in self.seats.values() if ask.key.queue in s.queues)
        served = {q for s in self.seats.values() if ask.key.queue in s.queues for q in s.queues}
        seated = sum(other.key.queue in served for other in running.values())
        return (
            len(beside) < limits.concurrency
            and all(
                used[name] <= most + 1e-9
                for name, most in limits.quota.of.items()
                if name in ask.amounts.of
            )
            and slots > 0
            and seated < slots + max(1, slots // 2)
        )

    @invariant()
    def keeps_its_books(self):
        for key in KEYS:
            waiting, running, used = self.board.usage(key)
            mine = [ask for ask in self.running.values() if ask.key == key]
            assert waiting == sum(ask.key == key for ask in self.waiting.values())
            assert running == len(mine)
            summed = Counter()
            for ask in mine:
                summed.update(ask.amounts.of)
            for name in summed.keys() | used.of.keys():
                assert abs(summed[name] - used.of.get(name, 0.0)) < 1e-6
        for run_id, ask in self.waiting.items():
            assert self.board.waiting(run_id) == ask
        assert self.board.seated() == set(self.seats)


TestBoards = Boards.TestCase
TestBoards.settings = settings(max_examples=300, stateful_step_count=50)

SIZES = st.lists(
    st.tuples(
        st.sampled_from(["projects/p", "projects/q"]),
        st.sampled_from(["users/u", "users/v"]),
        st.integers(0, 2),
        AMOUNTS.map(lambda found: {name: min(amount, 2.0) for name, amount in found.items()}),
    ),
    min_size=1,
    max_size=30,
)


def asks(sizes, key=KEYS[0]):
    return [
        Ask(UUID(int=n), f"run-{n}", key, project, user, priority, Amounts(of), n, 0.0)
        for n, (project, user, priority, of) in enumerate(sizes)
    ]


@given(SIZES, st.integers(1, 4), st.randoms(use_true_random=False))
def test_every_run_that_could_ever_fit_goes_in_the_end(sizes, concurrency, dice):
    board = Board()
    quota = Amounts({"cpu": 2.0, "gpu": 2.0})
    board.configure(KEYS[0], Limits(concurrency=concurrency, quota=quota))
    board.seat(Seat("agents/1", ("x",), 3))
    for ask in asks(sizes):
        board.wait(ask)
    running, gone = [], []
    while board.usage(KEYS[0])[0]:
        taken = board.next(dice.randint(1, 3))
        gone += taken
        running += taken
        assert running, "nothing runs and nothing goes"
        board.remove(running.pop(dice.randrange(len(running))).run_id)
    assert {ask.name for ask in gone} == {f"run-{n}" for n in range(len(sizes))}


@given(SIZES)
def test_the_order_that_is_told_is_the_order_in_which_runs_go(sizes):
    board = Board()
    board.seat(Seat("agents/1", ("x",), 1000))
    for ask in asks(sizes):
        board.wait(ask)
    last = max(asks(sizes), key=lambda ask: (len(board.ahead(ask)), ask.order))
    told = [*board.ahead(last), last]
    assert board.next(100) == told


@given(st.integers(1, 4), st.integers(1, 4), st.integers(2, 12), st.booleans())
def test_shares_come_near_the_weights(of_p, of_q, slots, users):
    tenants = ("users/u", "users/v") if users else ("projects/p", "projects/q")
    board = Board()
    weights = {tenants[0]: float(of_p), tenants[1]: float(of_q)}
    board.configure(KEYS[0], Limits(concurrency=slots, weights=weights))
    board.seat(Seat("agents/1", ("x",), 100))
    count = 0
    running = []
    for _ in range(20 * slots):
        for tenant in tenants:
            project, user = ("projects/p", tenant) if users else (tenant, "users/u")
            board.wait(Ask(UUID(int=count), "r", KEYS[0], project, user, 0, Amounts(), count, 0.0))
            count += 1
        running += board.next(1)
        if len(running) > slots - 1:
            board.remove(running.pop(0).run_id)
    running += board.next(slots)
    held = Counter(ask.user if users else ask.project for ask in running)
    ideal = len(running) * of_p / (of_p + of_q)
    assert abs(held[tenants[0]] - ideal) <= 1
