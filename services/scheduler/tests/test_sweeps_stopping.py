"""Each policy against a naive one that keeps every report and looks at all of them each time."""

import math
import statistics

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import InvalidArgument
from epochal_scheduler.domain.sweeps.asha import AshaPolicy, AshaPruner, make_pruner
from epochal_scheduler.domain.sweeps.policies import DiffPolicy, MedianPolicy, TruncationPolicy
from epochal_scheduler.domain.sweeps.pruning import KEEP, MOST_TRIALS, Cadence, Place, Stop
from epochal_scheduler.domain.sweeps.thresholds import FailureStopping, MetricStopping
from epochal_scheduler.domain.sweeps.trials import Objective
from hypothesis import given, settings
from hypothesis import strategies as st

OK, OUT = pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_STOPPED
VALUES = st.sampled_from([0.1, 0.25, 0.4, 0.5, 0.75, 0.9, 2.0, -1.0, math.nan, math.inf])
# Reports of eight trials in any order; each trial's steps only grow.
REPORTS = st.lists(st.tuples(st.integers(0, 7), st.integers(1, 4), VALUES), max_size=60)
CADENCES = st.builds(Cadence, st.integers(1, 4), st.integers(0, 9), st.integers(1, 4))


def played(reports):
    steps = {}
    for trial, gap, value in reports:
        steps[trial] = steps.get(trial, -1) + gap
        yield trial, steps[trial], value


def loss(value, maximize):
    return math.inf if math.isnan(value) else -value if maximize else value


def naive_points(history, cadence, maximize):
    """Every trial's (best, mean) at each point, as of the report that reached it."""
    points = {}
    so_far = {}
    for trial, step, value in history:
        losses = so_far.setdefault(trial, [])
        losses.append(loss(value, maximize))
        point = step // cadence.interval
        if trial not in points or point > max(points[trial]):
            finite = [x for x in losses if not math.isinf(x)]
            mean = sum(finite) / len(finite) if finite else math.inf
            points.setdefault(trial, {})[point] = (min(losses), mean)
    return points


def naive(rule, history, cadence, maximize):
    """Whether the last report of a history stops its trial."""
    trial, step, _ = history[-1]
    before = naive_points(history[:-1], cadence, maximize)
    after = naive_points(history, cadence, maximize)
    point = step // cadence.interval
    if point in before.get(trial, {}) or point not in after[trial] or step < cadence.first:
        return False
    others = [at[point] for other, at in after.items() if other != trial and point in at]
    if len(others) < cadence.samples:
        return False
    return rule(after[trial][point][0], [best for best, _ in others], [mean for _, mean in others])


def median_rule(mine, _, means):
    ranked = sorted(means)
    middle = ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]
    return mine > (middle[1] if math.inf in middle else statistics.mean(middle))


def compared(policy, rule, reports, cadence, maximize):
    pruner = make_pruner(Objective("m", maximize), policy)
    history = []
    for report in played(reports):
        history.append(report)
        answer = pruner.report(*report)
        expected = naive(rule, history, cadence, maximize)
        assert isinstance(answer, Stop) is expected, (history, answer)


@settings(max_examples=200, deadline=None)
@given(REPORTS, CADENCES, st.booleans())
def test_median_stops_what_is_worse_than_the_median_of_the_others(reports, cadence, maximize):
    compared(MedianPolicy(cadence), median_rule, reports, cadence, maximize)


@settings(max_examples=200, deadline=None)
@given(REPORTS, CADENCES, st.booleans(), st.sampled_from([10, 25, 50, 90]))
def test_truncation_stops_the_worst_percent(reports, cadence, maximize, percent):
    def rule(mine, bests, _):
        total = len(bests) + 1
        return sum(best < mine for best in bests) >= total - int(total * percent / 100)

    compared(TruncationPolicy(percent, cadence), rule, reports, cadence, maximize)


@settings(max_examples=200, deadline=None)
@given(REPORTS, CADENCES, st.booleans(), st.sampled_from([5, 50, 300]))
def test_diff_stops_what_is_too_far_from_the_best(reports, cadence, maximize, percent):
    def rule(mine, bests, _):
        best = min(bests)
        return mine > best + abs(best) * percent / 100

    compared(DiffPolicy(percent, cadence), rule, reports, cadence, maximize)


@settings(max_examples=200, deadline=None)
@given(REPORTS, st.sampled_from([2, 3, 4]), st.integers(1, 3), st.booleans())
def test_asha_keeps_the_best_of_each_rung(reports, eta, low, maximize):
    pruner = make_pruner(Objective("m", maximize), AshaPolicy(low, 27, eta))
    seen, tables = {}, {}
    for trial, step, value in played(reports):
        levels = [r for r in (low * eta**k for k in range(9)) if r < 27 and r <= step]
        fresh = [r for r in levels if r not in seen.get(trial, ())]
        seen[trial] = levels
        mine = loss(value, maximize)
        for level in fresh:
            tables.setdefault(level, []).append(mine)
        answer = pruner.report(trial, step, value)
        if not fresh:
            assert answer == KEEP
            continue
        table = tables[fresh[-1]]
        best = sorted(table)[: max(len(table) // eta, 1)]
        assert (answer == KEEP) is (mine in best and mine < math.inf)


def test_a_stop_says_the_numbers():
    pruner = make_pruner(Objective("loss"), MedianPolicy(Cadence(samples=7)))
    for trial in range(7):
        assert pruner.report(trial, 9, 0.1 + trial * 0.1) == KEEP
    assert pruner.report(7, 9, 0.91) == Stop(
        "at step 9 loss 0.91 is worse than the median 0.4 of 7 trials"
    )


def test_a_stop_of_a_metric_to_maximise_says_the_metric():
    pruner = make_pruner(Objective("accuracy", maximize=True), DiffPolicy(10))
    assert pruner.report(0, 1, 0.8) == KEEP
    assert pruner.report(1, 1, 0.75) == KEEP
    assert pruner.report(2, 1, 0.5) == Stop(
        "at step 1 accuracy 0.5 is worse by more than 10 percent than the best 0.8 of 2 trials"
    )
    pruner = make_pruner(Objective("accuracy", maximize=True), AshaPolicy(2, 9, 2))
    pruner.report(0, 2, 0.8)
    assert pruner.report(1, 3, 0.7) == Stop(
        "at step 3 accuracy 0.7 is not among the best 1 of 2 trials on rung 0 (step 2), "
        "which takes 0.8"
    )


def test_a_rung_remembers_who_has_ended():
    pruner = AshaPruner(Objective("loss"), AshaPolicy(1, 9, 3))
    pruner.report(0, 1, 0.1)
    pruner.end(0, OK)
    assert isinstance(pruner.report(1, 1, 0.5), Stop)


def test_a_nan_is_the_worst():
    pruner = make_pruner(Objective("loss"), MedianPolicy())
    pruner.report(0, 1, 5.0)
    assert pruner.report(1, 1, math.nan).reason == (
        "at step 1 loss NaN or infinite is worse than the median 5 of 1 trials"
    )
    asha = AshaPruner(Objective("loss"), AshaPolicy(1, 9, 3))
    assert isinstance(asha.report(0, 1, math.nan), Stop)


@pytest.mark.parametrize(("included", "stops"), [(True, True), (False, False)])
def test_truncation_remembers_the_succeeded_only_if_asked(included, stops):
    policy = TruncationPolicy(50, include_succeeded=included)
    pruner = make_pruner(Objective("loss"), policy)
    pruner.report(0, 1, 0.1)
    pruner.end(0, OK)
    assert isinstance(pruner.report(1, 1, 0.5), Stop) is stops


def test_what_was_stopped_is_no_measure_for_truncation_but_is_for_the_median():
    for policy, stops in ((TruncationPolicy(50), False), (MedianPolicy(), True)):
        pruner = make_pruner(Objective("loss"), policy)
        pruner.report(0, 1, 0.1)
        pruner.end(0, OUT)
        pruner.end(0, OUT)
        assert isinstance(pruner.report(1, 1, 0.5), Stop) is stops


def test_memory_is_bounded_in_trials_and_in_steps():
    pruner = make_pruner(Objective("loss"), MedianPolicy(Cadence(samples=10**9)))
    for trial in range(MOST_TRIALS + 50):
        pruner.report(trial, 0, float(trial))
    assert len(pruner.places[0]) == MOST_TRIALS
    for step in range(0, 10**6, 50):
        pruner.report(0, step, 1.0)
    assert len(pruner.places) < 64 * 16
    assert Cadence(interval=10).point(635) == 63
    points = [Cadence().point(step) for step in range(5000)]
    assert points == sorted(points)


def test_a_place_keeps_the_newest():
    place = Place()
    for trial in range(MOST_TRIALS + 1):
        place.set(trial, 1.0)
    place.set(5, 0.0)
    place.drop(999)
    assert (len(place), place.best) == (MOST_TRIALS, 0.0)


def test_policies_without_sense_are_refused():
    for policy in (TruncationPolicy(0), DiffPolicy(-1), AshaPolicy(eta=1), AshaPolicy(0)):
        with pytest.raises(InvalidArgument):
            make_pruner(Objective("loss"), policy)
    with pytest.raises(InvalidArgument):
        FailureStopping(0)


@pytest.mark.parametrize(("failed", "stops"), [(0, False), (1, False), (2, True), (9, True)])
def test_failures_count_against_all_that_is_planned(failed, stops):
    assert bool(FailureStopping(20).why(failed, 10)) is stops


def test_a_metric_threshold_stops_the_sweep_either_way():
    assert MetricStopping("accuracy", 0.9, True).why("trial 3", "accuracy", 0.95) == (
        "accuracy of trial 3 is 0.95; metric_early_stopping stops at >= 0.9"
    )
    assert not MetricStopping("accuracy", 0.9, True).why("trial 3", "accuracy", 0.85)
    assert MetricStopping("loss", 0.1, False).why("trial 3", "loss", 0.1)
