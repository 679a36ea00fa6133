"""Spaces, grids and suggestions: in bounds, each combination once, the same ones every time."""

import itertools
import math
from datetime import UTC, date, datetime, timedelta

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import FailedPrecondition, InvalidArgument, OutOfRange
from epochal_scheduler.domain.sweeps import searchspaces
from epochal_scheduler.domain.sweeps.chance import unit
from epochal_scheduler.domain.sweeps.distributions import Normal, Uniform
from epochal_scheduler.domain.sweeps.hyperband import HyperbandSuggester, rungs
from epochal_scheduler.domain.sweeps.listing import IterativeSuggester, make_listed
from epochal_scheduler.domain.sweeps.plans import Resource, SweepKind, SweepPlan
from epochal_scheduler.domain.sweeps.searchspaces import Param, SearchSpace
from epochal_scheduler.domain.sweeps.spaces import (
    Choice,
    DateRange,
    DateTimeRange,
    GeomSpace,
    LinSpace,
    LogSpace,
    PChoice,
    Range,
)
from epochal_scheduler.domain.sweeps.summaries import Tracker, best_of
from epochal_scheduler.domain.sweeps.trials import Objective, Trial
from hypothesis import given, settings
from hypothesis import strategies as st

OK, BAD, OUT = pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_FAILED, pb.RUN_STATUS_STOPPED
RUNNING = pb.RUN_STATUS_RUNNING
LOSS = Objective("loss")

NUMBERS = st.floats(-50, 50).map(lambda x: round(x, 3))
WIDTHS = st.floats(0.01, 100).map(lambda x: round(x, 3))
LISTED = st.one_of(
    st.lists(st.integers() | st.text(max_size=3) | st.booleans() | st.none(), min_size=1,
             max_size=6, unique_by=repr).map(Choice),
    st.lists(st.tuples(st.text(max_size=3), st.floats(0.1, 1)), min_size=1, max_size=5,
             unique_by=lambda pair: pair[0]).map(
        lambda pairs: PChoice([p[0] for p in pairs], [p[1] for p in pairs])),
    st.builds(lambda a, w, n: Range(a, a + w * n, w), NUMBERS, WIDTHS, st.integers(1, 30)),
    st.builds(lambda a, n: DateRange(date(2026, 1, 1), date(2026, 1, 1) + timedelta(days=n), a),
              st.integers(1, 9), st.integers(1, 99)),
    st.builds(lambda a, n: DateTimeRange(
        datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n),
        timedelta(minutes=a)), st.integers(1, 99), st.integers(1, 99)),
    st.builds(lambda a, w, n: LinSpace(a, a + w, n), NUMBERS, WIDTHS, st.integers(1, 30)),
    st.builds(lambda a, w, n: LogSpace(a, a + w, n), st.floats(-5, 5), st.floats(0.1, 5),
              st.integers(1, 30)),
    st.builds(lambda a, w, n: GeomSpace(a, a * w, n), WIDTHS, st.floats(1.1, 9),
              st.integers(1, 30)),
)  # fmt: skip


@given(LISTED, st.floats(0, 1))
def test_listed_spaces_list_their_values_and_find_them_again(space, share):
    values = [space.at(index) for index in range(space.size)]
    assert [space.index(value) for value in values] == list(range(space.size))
    assert space.from_unit(share) in values
    assert [space.from_unit(space.to_unit(value)) for value in values] == values


@given(NUMBERS, WIDTHS, st.booleans(), st.floats(0, 1))
def test_uniform_numbers_stay_inside_their_bounds(low, width, log, share):
    low, width = (low / 10, width / 10) if log else (low, width)
    space = Uniform(low, low + width, log=log)
    value = space.from_unit(share)
    least, most = space.bounds
    assert isinstance(value, float)
    assert least <= value <= most
    assert math.isclose(space.from_unit(space.to_unit(value)), value, rel_tol=1e-6, abs_tol=1e-9)


@given(NUMBERS, st.floats(1, 100), st.sampled_from([1, 2.0, 0.25, 0.1]), st.floats(0, 1))
def test_rounded_numbers_are_multiples_inside_the_bounds(low, width, q, share):
    space = Uniform(low, low + 2 * q + width, q=q)
    value = space.from_unit(share)
    assert isinstance(value, int) is float(q).is_integer()
    assert math.isclose(value / q, round(value / q), abs_tol=1e-9)
    assert low - 1e-9 <= value <= low + 2 * q + width + 1e-9


def test_normal_numbers_are_distributed_as_they_say():
    space, logs = Normal(5, 2), Normal(0, 1, q=0.5, log=True)
    draws = [space.from_unit(unit(7, index, "x")) for index in range(4000)]
    mean = sum(draws) / len(draws)
    assert abs(mean - 5) < 0.15
    assert abs(math.sqrt(sum((x - mean) ** 2 for x in draws) / len(draws)) - 2) < 0.15
    assert all(logs.from_unit(unit(7, i, "x")) % 0.5 == 0 for i in range(100))


def test_weights_are_kept_and_a_weight_of_zero_is_never_drawn():
    space = PChoice(["a", "b", "c"], [0.1, 0.9, 0.0])
    draws = [space.from_unit(unit(1, index, "x")) for index in range(3000)]
    assert abs(draws.count("a") / 3000 - 0.1) < 0.03
    assert draws.count("c") == 0
    assert space.from_unit(1.0) == "b"


def test_the_formulas_are_those_of_numpy():
    np = pytest.importorskip("numpy")

    def values(space):
        return [space.at(index) for index in range(space.size)]

    assert values(Range(1, 10, 2)) == [1, 3, 5, 7, 9]
    assert np.allclose(values(Range(0, 1, 0.1)), np.arange(0, 1, 0.1))
    assert np.allclose(values(LinSpace(0, 1, 7)), np.linspace(0, 1, 7))
    assert np.allclose(values(LogSpace(-3, 0, 4)), np.logspace(-3, 0, 4))
    assert np.allclose(values(GeomSpace(1, 256, 9)), np.geomspace(1, 256, 9))
    assert values(DateRange(date(2026, 2, 27), date(2026, 3, 2), 2)) == [
        date(2026, 2, 27), date(2026, 3, 1),
    ]  # fmt: skip
    assert math.isclose(Uniform(-6, -1, log=True).from_unit(0.5), math.exp(-3.5))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Choice([]), lambda: PChoice(["a"], []), lambda: Range(1, 1), lambda: Uniform(1, 1),
        lambda: Uniform(0.1, 0.2, q=1), lambda: Normal(0, 0), lambda: GeomSpace(-1, 1, 3),
        lambda: Uniform(0, 9999, log=True), lambda: LinSpace(0, 1, 0),
        lambda: DateRange(date(2026, 1, 2), date(2026, 1, 1)),
        lambda: LogSpace(0, 1, 2, base=1), lambda: Range(0, 1).index("x"),
    ],
)  # fmt: skip
def test_spaces_without_sense_are_refused(wrong):
    with pytest.raises(InvalidArgument):
        wrong()


@settings(max_examples=60)
@given(st.lists(LISTED, min_size=1, max_size=4).filter(
    lambda spaces: math.prod(space.size for space in spaces) < 3000))  # fmt: skip
def test_a_grid_is_the_product_in_order(spaces):
    names = [f"p{number}" for number in range(len(spaces))]
    space = SearchSpace([Param(n, s) for n, s in zip(names, spaces, strict=True)])
    lists = [[s.at(index) for index in range(s.size)] for s in spaces]
    expected = [dict(zip(names, row, strict=True)) for row in itertools.product(*lists)]
    assert space.grid_size == len(expected)
    assert [space.grid_at(index) for index in range(space.grid_size)] == expected


def tree(optimizers=("sgd", "adam")):
    return [
        Param("momentum", Choice([0.1, 0.9]), {"optimizer": ["sgd"]}),
        Param("optimizer", Choice(list(optimizers))),
        Param("nesterov", Choice([True, False]), {"momentum": [0.9]}),
        Param("depth", Range(1, 4)),
    ]


def test_a_conditional_grid_has_each_branch_once():
    space = SearchSpace(tree())
    found = [space.grid_at(index) for index in range(space.grid_size)]
    assert len(found) == (1 + 2) * 3 + 3
    assert len({repr(sorted(params.items())) for params in found}) == len(found)
    for params in found:
        assert ("momentum" in params) == (params["optimizer"] == "sgd")
        assert ("nesterov" in params) == (params.get("momentum") == 0.9)
    with pytest.raises(OutOfRange):
        space.grid_at(len(found))


@given(st.integers(), st.integers(0, 10**6))
def test_a_draw_depends_on_seed_and_number_alone(seed, index):
    space = SearchSpace(tree())
    params = space.sample(seed, index)
    assert params == SearchSpace(tree()).sample(seed, index)
    assert ("momentum" in params) == (params["optimizer"] == "sgd")
    more = SearchSpace([*tree(), Param("new", Uniform(0, 1))]).sample(seed, index)
    assert {name: more[name] for name in params} == params


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ([Param("a", Choice([1])), Param("a", Choice([1]))], "this name"),
        ([Param("a", Choice([1]), {"b": [1]})], "no parameter 'b'"),
        ([Param("a", Choice([1]), {"b": [1]}), Param("b", Choice([1]), {"a": [1]})], "itself"),
    ],
)
def test_spaces_that_do_not_fit_together_are_refused(params, said):
    with pytest.raises(InvalidArgument, match=said):
        SearchSpace(params)


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        (SweepPlan(SweepKind.RANDOM), "numRuns"),
        (SweepPlan(SweepKind.ITERATIVE), "maxIterations"),
        (SweepPlan(SweepKind.HYPERBAND, objectives=[LOSS], max_iterations=3), "a resource"),
        (SweepPlan(SweepKind.HYPERBAND, objectives=[LOSS], max_iterations=3, eta=1,
                   resource=Resource("epochs")), "eta > 1"),
    ],
)  # fmt: skip
def test_what_a_plan_lacks_is_said(lacking, said):
    makers = {
        SweepKind.RANDOM: make_listed,
        SweepKind.ITERATIVE: IterativeSuggester,
        SweepKind.HYPERBAND: HyperbandSuggester,
    }
    with pytest.raises(InvalidArgument, match=said):
        makers[lacking.kind](lacking, [])


def test_asha_without_a_parameter_for_its_resource_samples_only():
    [suggestion] = make_listed(plan(SweepKind.ASHA, num_runs=1, max_resource=27), []).suggest(1)
    assert (set(suggestion.params), suggestion.resource) == ({"x", "k"}, 27)


def test_conditions_that_branch_too_much_are_refused(monkeypatch):
    monkeypatch.setattr(searchspaces, "MOST_BRANCHES", 20)
    params = [Param("a", Range(0, 9)), Param("b", Range(0, 9), {"a": list(range(9))})]
    with pytest.raises(InvalidArgument, match="branch more than"):
        _ = SearchSpace([*params, Param("c", Choice([1]), {"b": [1]})]).grid_size


def test_hyperband_passes_over_what_is_settled():
    made = plan(SweepKind.HYPERBAND, max_iterations=3, resource=Resource("epochs"))
    live = HyperbandSuggester(made)
    for suggestion in live.suggest(3):
        live.tell(Trial(suggestion.index, suggestion.params, OK, (1.0,)))
    live.tell(Trial(0, {}, BAD))
    assert live.suggest(1)[0].rung == 1


def test_a_grid_over_a_distribution_is_refused():
    with pytest.raises(InvalidArgument, match="lr: a grid needs values"):
        make_listed(SweepPlan(SweepKind.GRID, [Param("lr", Uniform(0, 1))]), [])


def plan(kind, **more):
    return SweepPlan(kind, [Param("x", Uniform(0, 1)), Param("k", Range(0, 9))], [LOSS], **more)


@pytest.mark.parametrize(
    "made",
    [
        plan(SweepKind.RANDOM, num_runs=9, seed=3),
        SweepPlan(SweepKind.GRID, tree(), num_runs=9),
        SweepPlan(SweepKind.MAPPING, values=[{"a": n} for n in range(9)]),
        plan(SweepKind.ASHA, num_runs=9, max_resource=27, resource=Resource("epochs")),
    ],
)
def test_listed_sweeps_go_on_where_they_were_and_end(made):
    whole = make_listed(made, []).suggest(99)
    assert [s.index for s in whole] == list(range(9))
    first = make_listed(made, [])
    begun = first.suggest(4)
    again = make_listed(made, [Trial(s.index, s.params, RUNNING) for s in begun])
    assert [*begun, *again.suggest(99)] == list(whole)
    assert again.is_exhausted
    assert not first.is_exhausted
    first.tell(Trial(8, {}, OK, (1.0,)))
    assert first.suggest(9) == []


def test_asha_hands_out_the_greatest_resource():
    made = plan(SweepKind.ASHA, num_runs=1, max_resource=27, resource=Resource("epochs"))
    [suggestion] = make_listed(made, []).suggest(1)
    assert (suggestion.params["epochs"], suggestion.resource) == (27, 27)


def test_the_brackets_are_those_of_the_paper():
    """R = 81, eta = 3, as (n_i, r_i) by Algorithm 1 of Li et al. 2018; so does Polyaxon's code.

    (Polyaxon's documentation shows brackets of 81, 27, 9, 6 and 5, which round down too early.)
    """
    assert [[(r.places, r.resource) for r in bracket] for bracket in rungs(81, 3)] == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]
    assert len(rungs(243, 3)) == 6, "a float logarithm gives 5"


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 30), st.sampled_from([2, 3, 2.5, 4]), st.booleans())
def test_hyperband_promotes_the_best_and_rebuilds_as_it_was(data, most, eta, maximize):
    objective = Objective("m", maximize)
    made = SweepPlan(
        SweepKind.HYPERBAND, [Param("x", Uniform(0, 1))], [objective], max_iterations=most,
        eta=eta, resource=Resource("epochs"), resume=True,
    )  # fmt: skip
    live, trials, running = HyperbandSuggester(made), {}, []
    while True:
        twin = HyperbandSuggester(made, data.draw(st.permutations(list(trials.values()))))
        n = data.draw(st.integers(1, 9))
        suggested = live.suggest(n)
        assert twin.suggest(n) == suggested
        assert twin.is_exhausted == live.is_exhausted
        for suggestion in suggested:
            assert suggestion.index not in trials
            running.append(suggestion)
            trials[suggestion.index] = Trial(suggestion.index, suggestion.params, RUNNING)
        if not running:
            break
        ended = running.pop(data.draw(st.integers(0, len(running) - 1)))
        status = data.draw(st.sampled_from([OK, OK, OK, BAD, OUT]))
        value = data.draw(st.sampled_from([0.1, 0.5, 2.0, math.nan]))
        trial = Trial(ended.index, ended.params, status, (value,))
        trials[ended.index] = trial
        live.tell(trial)
    assert live.is_exhausted
    for bracket in rungs(most, eta):
        for rung, following in itertools.pairwise(bracket):
            on = [trials[i] for i in range(rung.first, rung.first + rung.places) if i in trials]
            ranked = sorted(
                (objective.loss(t.values[0]), t.index, t.params["x"]) for t in on if t.counts
            )
            up = range(following.first, following.first + following.places)
            promoted = [trials[i].params["x"] for i in up if i in trials]
            assert promoted == [x for _, _, x in ranked[: following.places]]


def test_a_promoted_trial_names_the_one_it_goes_on_from():
    made = plan(SweepKind.HYPERBAND, max_iterations=3, resource=Resource("epochs"), resume=True)
    live = HyperbandSuggester(made)
    for suggestion in live.suggest(3):
        live.tell(Trial(suggestion.index, suggestion.params, OK, (-suggestion.index,)))
    promoted = live.suggest(1)[0]
    assert (promoted.resumes, promoted.rung, promoted.params["epochs"]) == (2, 1, 3)


def test_an_iterative_sweep_takes_batches_in_turn():
    live = IterativeSuggester(SweepPlan(SweepKind.ITERATIVE, max_iterations=2))
    assert live.wants_batch
    live.offer(0, [{"x": 1}, {"x": 2}])
    live.offer(0, [{"x": 9}])
    with pytest.raises(FailedPrecondition, match="too early"):
        live.offer(1, [{"x": 3}])
    assert [s.params for s in live.suggest(9)] == [{"x": 1}, {"x": 2}]
    live.tell(Trial(0, {"x": 1}, OK, (1.0,)))
    assert not live.wants_batch
    live.tell(Trial(1, {"x": 2}, BAD))
    assert live.wants_batch
    live.offer(1, [{"x": 3}])
    assert live.suggest(9)[0].index == 2
    assert live.is_exhausted


def test_a_rebuilt_iterative_sweep_makes_the_rest_of_its_batch():
    made = SweepPlan(SweepKind.ITERATIVE, max_iterations=2)
    twin = IterativeSuggester(made, [Trial(0, {"x": 1}, OK, (1.0,)), Trial(1, {"x": 2}, RUNNING)])
    twin.offer(0, [{"x": 1}, {"x": 2}, {"x": 3}])
    assert [s.index for s in twin.suggest(9)] == [2]
    assert not twin.wants_batch
    twin.tell(Trial(2, {"x": 3}, OK))
    twin.tell(Trial(1, {"x": 2}, OK))
    assert twin.wants_batch


def test_an_empty_batch_ends_an_iterative_sweep():
    live = IterativeSuggester(SweepPlan(SweepKind.ITERATIVE, max_iterations=9))
    live.offer(0, [])
    assert live.is_exhausted
    assert not live.wants_batch


TWO = (Objective("loss"), Objective("accuracy", maximize=True))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=25))
def test_the_front_is_what_nothing_dominates(values):
    trials = [Trial(i, {}, OK, (float(a), float(b))) for i, (a, b) in enumerate(values)]

    def better(a, b):
        (x, y), (u, v) = a.values, b.values
        return x <= u and y >= v and (x, y) != (u, v)

    expected = {t.index for t in trials if not any(better(other, t) for other in trials)}
    assert {t.index for t in best_of(trials, TWO)} == expected
    tracker = Tracker(TWO)
    for trial in trials:
        tracker.tell(Trial(trial.index, {}, RUNNING))
        tracker.tell(trial)
    assert {t.index for t in tracker.summary.best} == expected
    assert tracker.summary.ended == len(trials)


def test_a_summary_counts_and_names_the_best_that_succeeded():
    tracker = Tracker([Objective("accuracy", maximize=True)])
    for index, (status, value) in enumerate(
        [(OK, 0.5), (OK, 0.7), (OK, math.nan), (OUT, 0.99), (BAD, 0.98), (OK, 0.7), (RUNNING, 1.0)]
    ):
        tracker.tell(Trial(index, {}, status, (value,)))
    summary = tracker.summary
    assert [trial.index for trial in summary.best] == [1]
    assert (summary.ended, summary.failed, summary.counts[RUNNING]) == (6, 1, 1)


def test_nothing_is_best_where_nothing_is_looked_for():
    assert best_of([Trial(0, {}, OK, (1.0,))], []) == ()
    assert best_of([Trial(0, {}, OK, (math.inf,))], [LOSS]) == []
