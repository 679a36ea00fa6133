"""Queues by example: who goes next, what blocks, who makes room, and how it is told."""

from uuid import UUID

import epochal_proto.v1 as pb
import pytest
from epochal_scheduler.domain.queueing.board import Board
from epochal_scheduler.domain.queueing.limits import Amounts, Ask, Limits, QueueKey, Seat

KEY = QueueKey("acme", "gpu")


def ask(number, *, key=KEY, priority=0, project="projects/p", user="users/u", **amounts):
    return Ask(
        UUID(int=number),
        f"run-{number}",
        key,
        project,
        user,
        priority,
        Amounts(amounts),
        number,
        0.0,
    )


def board(*asks, slots=100, key=KEY, **limits):
    made = Board()
    made.configure(key, Limits(**limits))
    made.seat(Seat("agents/1", (key.queue,), slots))
    for each in asks:
        made.wait(each)
    return made


def names(asks):
    return [each.name for each in asks]


def test_priority_goes_before_time_and_time_decides_among_equals():
    made = board(ask(1), ask(2), ask(3, priority=5))
    assert names(made.next(9)) == ["run-3", "run-1", "run-2"]


def test_a_queue_of_higher_priority_goes_before_others_and_equal_ones_by_time():
    low, high = QueueKey("acme", "low"), QueueKey("acme", "high")
    made = Board()
    made.configure(high, Limits(priority=1))
    made.seat(Seat("agents/1", ("low", "high", "other"), 100))
    for each in (ask(1, key=low), ask(2, key=QueueKey("acme", "other")), ask(3, key=high)):
        made.wait(each)
    assert names(made.next(9)) == ["run-3", "run-1", "run-2"]


def test_a_project_that_has_less_running_goes_first_and_in_it_the_user():
    made = board(
        ask(1), ask(2), ask(3, user="users/v"), ask(4, project="projects/q"),
    )  # fmt: skip
    assert names(made.next(9)) == ["run-1", "run-4", "run-3", "run-2"]


def test_no_agent_no_run_and_the_explanation_says_how_to_start_one():
    made = Board()
    made.wait(ask(1))
    assert made.next(9) == []
    (blocker,) = made.blockers(ask(1))
    assert blocker.kind == "no_agent"
    assert "epochal agent --queue gpu" in blocker.message
    assert made.parallel(KEY) == 0


def test_agents_get_half_as_many_runs_more_than_slots_and_not_more():
    made = board(*(ask(n) for n in range(20)), slots=4)
    assert len(made.next(20)) == 6
    (slots, order) = made.blockers(ask(19))
    assert (slots.kind, slots.resource) == ("slots", "agents/1")
    assert (order.kind, order.resource) == ("order", "run-6")


def test_slots_are_shared_by_the_queues_that_an_agent_serves():
    other = QueueKey("acme", "cpu")
    made = Board()
    made.seat(Seat("agents/1", ("gpu", "cpu"), 2))
    for number in range(4):
        made.wait(ask(number, key=KEY if number % 2 else other))
    assert len(made.next(9)) == 3


def test_a_run_too_big_for_now_keeps_what_it_needs_and_lets_others_pass():
    made = board(quota=Amounts({"gpu": 4.0, "cpu": 8.0}))
    made.run(ask(1, gpu=2.0))
    made.wait(ask(2, gpu=4.0, user="users/a"))
    made.wait(ask(3, gpu=1.0, user="users/b"))
    made.wait(ask(4, cpu=1.0, user="users/c"))
    assert names(made.next(9)) == ["run-4"]
    (quota,) = (b for b in made.blockers(ask(2, gpu=4.0, user="users/a")) if b.kind == "quota")
    assert quota.message == ("it asks for 4 gpu; of the quota of 4 in gpu, 2 are in use")
    made.remove(UUID(int=1))
    assert names(made.next(1)) == ["run-2"]


def test_a_lowered_quota_stops_only_those_who_ask_for_more_of_it():
    made = board(quota=Amounts({"cpu": 1.0}))
    made.run(ask(1, cpu=4.0))
    made.wait(ask(2))
    assert made.blockers(ask(2)) == []
    assert names(made.next(1)) == ["run-2"]


def test_cost_is_a_quota_as_any_other():
    queue = pb.Queue(cost_quota=10.0, quota=pb.Resources(cpu_millis=500, custom={"tpu": 2.0}))
    limits = Limits.from_message(queue)
    assert dict(limits.quota.of) == {"cpu": 0.5, "cost": 10.0, "tpu": 2.0}
    created = pb.RunCreated(name="orgs/acme/projects/p/runs/r", cost=6.0, creator="users/u")
    first, second = (Ask.of_run(UUID(int=n), created, "gpu", n, 0.0) for n in (1, 2))
    made = board(first, second, quota=limits.quota)
    assert len(made.next(9)) == 1
    assert [b.kind for b in made.blockers(second)] == ["quota"]


def test_preemption_takes_the_least_and_newest_and_only_as_many_as_needed():
    made = board(preempts=True, quota=Amounts({"gpu": 4.0}), concurrency=4)
    for number, priority in ((1, 0), (2, 1), (3, 0), (4, 7)):
        made.run(ask(number, priority=priority, gpu=1.0))
    made.wait(ask(9, priority=5, gpu=2.0))
    found = made.preemptions()
    assert [preemption.victim.name for preemption in found] == ["run-3", "run-1"]
    assert "priority 5 over 0" in found[0].reason


def test_nobody_is_preempted_in_vain():
    too_big = board(ask(9, priority=5, gpu=9.0), preempts=True, quota=Amounts({"gpu": 4.0}))
    too_big.run(ask(1, gpu=1.0))
    assert too_big.preemptions() == []
    equal = board(ask(9), preempts=True, concurrency=1)
    equal.run(ask(1))
    assert equal.preemptions() == []
    roomy = board(ask(9, priority=5), preempts=True, concurrency=2)
    roomy.run(ask(1))
    assert roomy.preemptions() == []
    nobody = board(ask(9, priority=5), preempts=True, concurrency=1)
    nobody.run(ask(1))
    nobody.unseat("agents/1")
    assert nobody.preemptions() == []
    mild = board(ask(9, priority=5), concurrency=1)
    mild.run(ask(1))
    assert mild.preemptions() == []


def test_a_queue_is_full_when_as_many_wait_as_may():
    made = board(ask(1), max_waiting=1)
    assert made.is_full(KEY)
    made.next(1)
    assert not made.is_full(KEY)
    assert not made.is_full(QueueKey("acme", "other"))


def test_a_run_that_comes_back_takes_the_place_of_its_new_date():
    made = board(ask(1), ask(2))
    again = ask(3)
    made.next(1)
    made.wait(Ask(**{**{f: getattr(again, f) for f in again.__slots__}, "run_id": UUID(int=1)}))
    assert names(made.next(9)) == ["run-2", "run-3"]


@pytest.mark.parametrize("org", ["acme", "other"])
def test_queues_of_organisations_are_theirs(org):
    made = board(ask(1, key=QueueKey(org, "gpu")), concurrency=1)
    made.run(ask(9))
    assert len(made.next(9)) == (org == "other")
    assert [key.queue for key in made.keys("acme")] == ["gpu"]


def test_a_run_that_is_there_is_not_taken_again():
    made = board()
    running = ask(1)
    assert made.take(running)
    assert not made.take(running)
    assert made.usage(KEY)[1] == 1
