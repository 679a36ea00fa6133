"""How a graph decides and explains, case by case."""

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import InvalidArgument, NotFound
from epochal_scheduler.domain.graphs.decisions import (
    End,
    FailUpstream,
    Skip,
    Start,
    StopAll,
    Waiting,
)
from epochal_scheduler.domain.graphs.explaining import explain
from epochal_scheduler.domain.graphs.graph import Graph
from epochal_scheduler.domain.graphs.steps import Need, Step, Trigger
from epochal_scheduler.domain.sweeps.thresholds import FailureStopping, MetricStopping

CREATED, RUNNING = pb.RUN_STATUS_CREATED, pb.RUN_STATUS_RUNNING
SUCCEEDED, FAILED, STOPPED = (
    pb.RUN_STATUS_SUCCEEDED,
    pb.RUN_STATUS_FAILED,
    pb.RUN_STATUS_STOPPED,
)
SKIPPED, UPSTREAM_FAILED = pb.RUN_STATUS_SKIPPED, pb.RUN_STATUS_UPSTREAM_FAILED


def step(name, *needs, trigger=Trigger.ALL_SUCCEEDED, skips=False):
    return Step(
        name,
        tuple(need if isinstance(need, Need) else Need(need) for need in needs),
        trigger,
        skips,
    )


def begun(*steps, **options):
    graph = Graph(steps, **options)
    return graph, graph.begin()


def test_a_chain_starts_one_after_the_other_and_succeeds():
    graph, first = begun(step("a"), step("b", "a"))
    assert first == (Start("a"),)
    assert graph.observe("a", RUNNING) == ()
    assert graph.observe("a", SUCCEEDED) == (Start("b"),)
    assert graph.observe("b", SUCCEEDED) == (
        End(SUCCEEDED, "2 of 2 operations succeeded, none failed"),
    )


def test_an_empty_graph_ends_at_once():
    _, decisions = begun()
    assert decisions == (End(SUCCEEDED, "0 of 0 operations succeeded, none failed"),)


def test_failure_propagates_with_its_cause_and_fails_the_graph():
    graph, _ = begun(step("a"), step("b", "a"), step("c", "b"))
    why_b = "a ended as failed, and the trigger is all_succeeded"
    why_c = "b ended as upstream_failed, and the trigger is all_succeeded"
    assert graph.observe("a", FAILED) == (
        FailUpstream("b", "a", why_b),
        FailUpstream("c", "b", why_c),
        End(
            FAILED,
            f"3 of 3 operations failed: a failed, b upstream_failed ({why_b}), "
            f"c upstream_failed ({why_c})",
        ),
    )
    assert graph.observe("b", UPSTREAM_FAILED) == ()


@pytest.mark.parametrize(
    ("trigger", "outcomes", "starts"),
    [
        (Trigger.ALL_SUCCEEDED, (SUCCEEDED, SUCCEEDED), True),
        (Trigger.ALL_SUCCEEDED, (SUCCEEDED, SKIPPED), True),
        (Trigger.ALL_SUCCEEDED, (SUCCEEDED, STOPPED), False),
        (Trigger.ALL_FAILED, (FAILED, FAILED), True),
        (Trigger.ALL_FAILED, (FAILED, SKIPPED), False),
        (Trigger.ALL_FAILED, (FAILED, UPSTREAM_FAILED), False),
        (Trigger.ALL_DONE, (FAILED, STOPPED), True),
        (Trigger.ONE_SUCCEEDED, (FAILED, SUCCEEDED), True),
        (Trigger.ONE_SUCCEEDED, (FAILED, SKIPPED), False),
        (Trigger.ONE_FAILED, (SUCCEEDED, FAILED), True),
        (Trigger.ONE_FAILED, (SUCCEEDED, STOPPED), False),
        (Trigger.ONE_DONE, (STOPPED, FAILED), True),
    ],
)
def test_a_trigger_asks_for_what_it_says(trigger, outcomes, starts):
    graph, _ = begun(step("a"), step("b"), step("c", "a", "b", trigger=trigger))
    decisions = [*graph.observe("a", outcomes[0]), *graph.observe("b", outcomes[1])]
    assert (Start("c") in decisions) is starts
    assert any(isinstance(decision, FailUpstream) for decision in decisions) is not starts


def test_one_succeeded_does_not_wait_for_the_rest():
    graph, _ = begun(step("a"), step("b"), step("c", "a", "b", trigger=Trigger.ONE_SUCCEEDED))
    assert graph.observe("a", SUCCEEDED) == (Start("c"),)
    assert graph.observe("b", FAILED) == ()


def test_a_skip_is_handed_on_only_to_who_asks_for_it():
    graph, _ = begun(step("a"), step("b", "a", skips=True), step("c", "a"), step("d", "b"))
    assert graph.observe("a", SKIPPED) == (
        Skip("b", "a was skipped, and skipOnUpstreamSkip is set"),
        Start("c"),
        Start("d"),
    )
    assert explain(graph, "b") == Waiting(
        "b ended as skipped: a was skipped, and skipOnUpstreamSkip is set"
    )


def test_an_event_starts_a_step_while_its_upstream_runs():
    graph, _ = begun(step("train"), step("board", Need("train", frozenset({RUNNING}))))
    assert explain(graph, "board") == Waiting(
        "waits for train (told to start) to be running", ("train",)
    )
    assert graph.observe("train", RUNNING) == (Start("board"),)
    assert graph.observe("train", FAILED) == ()


def test_an_event_that_cannot_happen_any_more_fails_the_step():
    graph, _ = begun(step("train"), step("board", Need("train", frozenset({RUNNING}))))
    decisions = graph.observe("train", SKIPPED)
    assert decisions[0] == FailUpstream(
        "board", "train", "train ended as skipped and was never running"
    )


def test_a_dependency_and_an_event_must_both_hold():
    graph, _ = begun(step("a"), step("b"), step("c", "a", Need("b", frozenset({RUNNING}))))
    assert graph.observe("a", SUCCEEDED) == ()
    assert graph.observe("b", RUNNING) == (Start("c"),)


def test_concurrency_keeps_places_and_prefers_the_order_written():
    graph, first = begun(step("a"), step("b"), step("c"), concurrency=1)
    assert first == (Start("a"),)
    assert explain(graph, "c") == Waiting(
        "all 1 places are taken by a; 1 operations are ahead of it", ("a", "b")
    )
    assert graph.limit(2) == (Start("b"),)
    assert graph.limit(1) == ()
    assert graph.observe("a", SUCCEEDED) == ()
    assert graph.observe("b", SUCCEEDED) == (Start("c"),)


def test_a_pause_starts_nothing_and_loses_nothing():
    graph, _ = begun(step("a"), step("b", "a"))
    graph.pause()
    assert graph.observe("a", SUCCEEDED) == ()
    assert explain(graph, "b") == Waiting("the pipeline is paused; it could start otherwise")
    assert graph.resume() == (Start("b"),)


def test_too_many_failures_stop_everything_and_fail_the_graph():
    graph, _ = begun(
        *(step(name) for name in "abcd"), concurrency=2, early_stopping=[FailureStopping(25)]
    )
    why = "1 of 4 runs failed; failure_early_stopping stops at 25 percent"
    assert graph.observe("a", FAILED) == (StopAll(why, FAILED),)
    assert explain(graph, "c") == Waiting(f"nothing starts any more: {why}")
    assert [graph.observe(name, STOPPED) for name in "bcd"] == [(), (), (End(FAILED, why),)]


def test_a_good_metric_stops_everything_and_the_graph_succeeds():
    graph, _ = begun(step("a"), step("b"), early_stopping=[MetricStopping("loss", 0.1, False)])
    assert graph.observe_metric("a", "loss", 0.2) == ()
    assert graph.observe_metric("a", "accuracy", 0.01) == ()
    assert graph.observe_metric("a", "loss", float("nan")) == ()
    why = "loss of a is 0.05; metric_early_stopping stops at <= 0.1"
    assert graph.observe_metric("a", "loss", 0.05) == (StopAll(why, SUCCEEDED),)
    graph.observe("a", STOPPED)
    assert graph.observe("b", STOPPED) == (End(SUCCEEDED, why),)


def test_a_stop_by_hand_ends_as_stopped_once_all_have_ended():
    graph, _ = begun(step("a"), step("b", "a"))
    assert graph.stop("enough") == (StopAll("enough", STOPPED),)
    assert graph.stop("enough") == ()
    assert graph.observe("a", SUCCEEDED) == ()
    assert graph.observe("b", STOPPED) == (End(STOPPED, "enough"),)


def test_all_steps_stopped_is_a_stopped_graph():
    graph, _ = begun(step("a"), step("b"))
    graph.observe("a", STOPPED)
    assert graph.observe("b", STOPPED) == (End(STOPPED, "every operation was stopped"),)


def test_explain_names_what_has_not_ended():
    graph, _ = begun(step("a"), step("b"), step("c", "a", "b"))
    graph.observe("a", RUNNING)
    assert explain(graph, "c") == Waiting(
        "waits for all it needs to succeed (all_succeeded); "
        "a (running), b (told to start) have not ended",
        ("a", "b"),
    )
    graph.observe("b", SUCCEEDED)
    assert explain(graph, "c").blockers == ("a",)
    assert explain(graph, "a") == Waiting("a has been told to start")


def test_a_fork_runs_the_steps_and_all_that_follow():
    graph, _ = begun(step("a"), step("b", "a"), step("c", "b"), step("d", "a"))
    assert graph.downstream(["b"]) == {"b", "c"}
    with pytest.raises(NotFound, match="'x'"):
        graph.downstream(["x"])


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([step("a"), step("a")], "two operations"),
        ([step("a", "x")], "no operation 'x'"),
        ([step("a", "b"), step("b", "c"), step("c", "a")], "wait for each other"),
        ([step("a", "a")], "a -> a"),
    ],
)
def test_what_is_no_graph_is_refused(steps, said):
    with pytest.raises(InvalidArgument) as error:
        Graph(steps)
    assert any(said in violation.message for violation in error.value.violations)


def test_a_concurrency_of_nothing_is_refused():
    with pytest.raises(InvalidArgument, match="concurrency of 0"):
        Graph([step("a")], concurrency=0)
