"""Samplers that learn: they go on as they were, find more than chance does, and take any space."""

import math
import subprocess
import sys

import epochal_proto.v1 as pb
import numpy as np
import pytest
from epochal_kernel.errors import InvalidArgument
from epochal_scheduler.domain.sweeps.chance import unit
from epochal_scheduler.domain.sweeps.distributions import Normal, Uniform
from epochal_scheduler.domain.sweeps.plans import Resource, SweepKind, SweepPlan, Utility
from epochal_scheduler.domain.sweeps.searchspaces import Param, SearchSpace
from epochal_scheduler.domain.sweeps.spaces import Choice, LinSpace, PChoice, Range
from epochal_scheduler.domain.sweeps.summaries import best_of
from epochal_scheduler.domain.sweeps.trials import Objective, Trial
from epochal_scheduler.searching import tpe
from epochal_scheduler.searching.bayes import MOST_OBSERVED, BayesSuggester
from epochal_scheduler.searching.gaussian import Process, kernel
from epochal_scheduler.searching.making import make_suggester
from epochal_scheduler.searching.vectors import Cube

OK, BAD, RUNNING = pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_FAILED, pb.RUN_STATUS_RUNNING
LOSS, TWO = Objective("loss"), (Objective("cost"), Objective("gain", maximize=True))
PLANE = [Param("x", Uniform(-1, 1)), Param("y", Uniform(-5, 0, log=True))]
MIXED = [
    Param("kind", Choice(["a", "b", None])),
    Param("width", LinSpace(0, 1, 9)),
    Param("depth", Range(1, 5), {"kind": ["a", "b"]}),
    Param("rate", Normal(0, 1), {"depth": [2, 3, 4]}),
    Param("mode", PChoice(["u", "v"], [0.2, 0.8])),
]
MODELS = [SweepKind.TPE, SweepKind.CMAES, SweepKind.NSGA2, SweepKind.BAYES]
FAST = Utility(num_warmup=64, num_iterations=2)


def plan(kind, params=PLANE, objectives=(LOSS,), **more):
    more = {"num_runs": 40, "seed": 5, "num_initial_runs": 5, "utility": FAST, **more}
    return SweepPlan(kind, params, objectives, **more)


def bowl(params):
    return (params["x"] - 0.3) ** 2 + (math.log(params["y"]) + 3) ** 2 / 10


def run_alone(made, objective=bowl):
    suggester, trials = make_suggester(made), []
    while not suggester.is_exhausted:
        for suggestion in suggester.suggest(1):
            value = objective(suggestion.params)
            values = value if isinstance(value, tuple) else (value,)
            trials.append(Trial(suggestion.index, suggestion.params, OK, values))
            suggester.tell(trials[-1])
    return trials


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("params", [PLANE, MIXED], ids=["plane", "mixed"])
def test_a_rebuilt_sampler_goes_on_as_the_lost_one(kind, params):
    made = plan(kind, params, population=6, num_runs=28)
    live, trials, running, turn = make_suggester(made), {}, [], 0
    while not live.is_exhausted or running:
        turn += 1
        if turn % 4 == 0:
            live = make_suggester(made, list(trials.values())[::-1])
        twin = make_suggester(made, list(trials.values()))
        suggested = live.suggest(3 - len(running))
        assert twin.suggest(3 - len(running)) == suggested
        for suggestion in suggested:
            assert suggestion.index not in trials
            trials[suggestion.index] = Trial(suggestion.index, suggestion.params, RUNNING)
            running.append(suggestion)
        ended = running.pop(int(unit(1, turn, "which") * len(running)))
        chance = unit(2, ended.index, "how")
        values = (math.nan,) if chance > 0.9 else (unit(3, ended.index, "value"),)
        trial = Trial(ended.index, ended.params, BAD if chance < 0.1 else OK, values)
        trials[trial.index] = trial
        live.tell(trial)
        live.tell(trial)
    assert sorted(trials) == list(range(28))


@pytest.mark.parametrize("kind", [SweepKind.TPE, SweepKind.CMAES, SweepKind.BAYES])
def test_a_sampler_beats_chance_on_a_bowl(kind):
    runs = 30 if kind is SweepKind.BAYES else 80

    def best(kind, seed):
        made = plan(kind, seed=seed, num_runs=runs)
        return min(bowl(trial.params) for trial in run_alone(made))

    learned = sorted(best(kind, seed) for seed in range(5))
    by_chance = sorted(best(SweepKind.RANDOM, seed) for seed in range(5))
    assert learned[2] < by_chance[2] / 3


def test_what_is_to_be_maximised_is():
    made = plan(SweepKind.TPE, objectives=[Objective("gain", maximize=True)])
    trials = run_alone(made, lambda params: -bowl(params))
    assert max(trial.values[0] for trial in trials) > -0.05


def area(front):
    """The area between a front and the point (3, -3): cost goes up, gain down."""
    total, last = 0.0, 3.0
    for trial in sorted(front, key=lambda trial: -trial.values[0]):
        cost, gain = trial.values
        total += max(last - cost, 0) * (gain + 3)
        last = min(last, cost)
    return total


@pytest.mark.parametrize("kind", [SweepKind.TPE, SweepKind.NSGA2])
def test_several_objectives_move_the_whole_front(kind):
    def both(params):
        rest = params["y"] + params["z"]
        return params["x"] ** 2 + rest, -((params["x"] - 0.5) ** 2) - rest

    params = [Param("x", Uniform(-1, 1)), Param("y", Uniform(0, 1)), Param("z", Uniform(0, 1))]
    more = {"params": params, "objectives": TWO, "num_runs": 200, "population": 25}
    front = best_of(run_alone(plan(kind, **more), both), TWO)
    by_chance = best_of(run_alone(plan(SweepKind.RANDOM, **more), both), TWO)
    assert area(front) > area(by_chance)


@pytest.mark.parametrize("kind", MODELS)
def test_conditions_leave_parameters_out(kind):
    for trial in run_alone(plan(kind, MIXED, num_runs=25), lambda params: params["width"]):
        assert ("depth" in trial.params) == (trial.params["kind"] is not None)
        assert ("rate" in trial.params) == (trial.params.get("depth", 1) > 1)


@pytest.mark.parametrize("kind", MODELS)
def test_a_warm_start_is_learned_from(kind):
    known = SearchSpace(PLANE)
    earlier = [known.sample(11, index) for index in range(60)]
    warm = [Trial(i, p, OK, (bowl(p),)) for i, p in enumerate(earlier)]
    warm.append(Trial(60, earlier[0], BAD))
    first = make_suggester(plan(kind, warm_start=warm, num_initial_runs=0, population=20)).suggest(
        5
    )
    cold = [bowl(known.sample(seed, 0)) for seed in range(50)]
    assert np.mean([bowl(s.params) for s in first]) < np.mean(cold)


@pytest.mark.parametrize("kind", [SweepKind.CMAES, SweepKind.NSGA2])
def test_a_generation_waits_for_the_one_before_even_if_all_of_it_fails(kind):
    live = make_suggester(plan(kind, population=4, num_runs=9))
    first = live.suggest(9)
    assert [(s.index, s.iteration) for s in first] == [(n, 0) for n in range(4)]
    assert live.suggest(9) == []
    assert not live.is_exhausted
    for suggestion in first:
        live.tell(Trial(suggestion.index, suggestion.params, BAD))
    assert [s.iteration for s in live.suggest(9)] == [1] * 4


@pytest.mark.parametrize("kind", list(SweepKind))
def test_every_kind_is_made_and_extending_goes_on(kind):
    more = {
        "values": [{"x": 1}], "max_iterations": 9, "resource": Resource("epochs"),
        "max_resource": 9, "num_runs": None if kind is SweepKind.GRID else 2,
    }  # fmt: skip
    params = [Param("x", Range(0, 9))]
    suggester = make_suggester(plan(kind, params, **more))
    assert len(suggester.suggest(1)) == (kind is not SweepKind.ITERATIVE)
    if kind in (*MODELS, SweepKind.RANDOM, SweepKind.ASHA):
        trials = run_alone(plan(kind, params, **more), lambda params: params["x"])
        assert [trial.index for trial in trials] == [0, 1]
        longer = make_suggester(plan(kind, params, **{**more, "num_runs": 3}), trials)
        assert not longer.is_exhausted
        assert isinstance(longer.suggest(1), list)


def test_what_a_plan_lacks_is_said():
    with pytest.raises(InvalidArgument, match="one metric, not 2"):
        make_suggester(plan(SweepKind.BAYES, objectives=TWO))
    with pytest.raises(InvalidArgument, match="needs a metric"):
        make_suggester(plan(SweepKind.TPE, objectives=()))
    with pytest.raises(InvalidArgument, match="how many trials"):
        _ = make_suggester(plan(SweepKind.TPE, num_runs=None)).is_exhausted
    with pytest.raises(InvalidArgument, match="a number to search"):
        make_suggester(plan(SweepKind.CMAES, [Param("k", Choice(["a", "b"]))]))


def test_bayes_makes_its_first_runs_and_then_its_iterations():
    made = plan(SweepKind.BAYES, num_runs=None, max_iterations=7)
    assert len(run_alone(made)) == 12


@pytest.mark.parametrize("acquisition", ["ucb", "ei", "poi"])
@pytest.mark.parametrize(("kernel", "nu"), [("rbf", 1.5), ("matern", 1.9), ("matern", 2.5)])
def test_every_utility_finds_the_bowl(acquisition, kernel, nu):
    utility = Utility(acquisition, kappa=1.0, eps=0.01, kernel=kernel, nu=nu, num_warmup=200)
    trials = run_alone(plan(SweepKind.BAYES, utility=utility, num_runs=25))
    assert min(trial.values[0] for trial in trials) < 0.02


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5])
def test_short_formulas_of_matern_are_those_of_any_nu(nu):
    distances = np.linspace(0, 4, 50)
    short, general = (kernel(distances, Utility(nu=value)) for value in (nu, nu + 1e-9))
    assert np.allclose(short, general, atol=1e-6)


def test_a_process_goes_through_what_it_has_seen_and_doubts_the_rest():
    points = np.linspace(0, 1, 6)[:, None]
    losses = np.sin(5 * points[:, 0])
    process = Process(points, losses, Utility(nu=2.5, num_restarts=2))
    mean, deviation = process.predict(points)
    assert np.allclose(mean, losses, atol=0.02)
    far, doubt = process.predict(np.array([[0.1], [0.5]]))
    assert np.allclose(far, np.sin([0.5, 2.5]), atol=0.1)
    assert (doubt > deviation.max()).all()


def test_the_model_sees_no_more_than_it_can_bear():
    suggester = BayesSuggester(plan(SweepKind.BAYES, num_runs=900))
    space = SearchSpace(PLANE)
    for index in range(MOST_OBSERVED + 60):
        params = space.sample(0, index)
        suggester.tell(Trial(index, params, OK, (1000.0 - index if index < 10 else index,)))
    seen = suggester._seen()
    assert len(seen) == MOST_OBSERVED
    assert not set(range(10)) & set(seen)
    assert seen[0] == 10


def test_a_long_study_is_thinned_out(monkeypatch):
    monkeypatch.setattr(tpe, "MOST_HELD", 40)
    monkeypatch.setattr(tpe, "MOST_KEPT", 20)
    made = plan(SweepKind.TPE, num_runs=150)
    suggester, waiting, trials = make_suggester(made), [], []
    while not suggester.is_exhausted:
        waiting += suggester.suggest(3)
        while len(waiting) > 2:
            ended = waiting.pop(0)
            trials.append(Trial(ended.index, ended.params, OK, (bowl(ended.params),)))
            suggester.tell(trials[-1])
        suggester.tell(trials[0])
        assert suggester._study.held <= 40
    assert min(trial.values[0] for trial in trials) < 0.01


def test_a_long_history_is_thinned_out_before_it_is_learned(monkeypatch):
    monkeypatch.setattr(tpe, "MOST_HELD", 40)
    monkeypatch.setattr(tpe, "MOST_KEPT", 20)
    space = SearchSpace(PLANE)
    draws = [space.sample(2, index) for index in range(90)]
    trials = [Trial(i, draw, OK, (bowl(draw),)) for i, draw in enumerate(draws)]
    trials[70] = Trial(70, draws[70], RUNNING)
    suggester = make_suggester(plan(SweepKind.TPE, num_runs=95), trials)
    assert suggester._study.held == 21
    assert [s.index for s in suggester.suggest(9)] == [90, 91, 92, 93, 94]
    suggester.tell(Trial(70, draws[70], OK, (0.1,)))
    assert suggester.is_exhausted


def test_an_evolution_that_has_settled_begins_again():
    trials = run_alone(plan(SweepKind.CMAES, num_runs=600), lambda params: params["x"] * 0.0)
    assert len({trial.params["x"] for trial in trials}) == 600


def test_points_of_the_cube_are_parameters_again():
    space = SearchSpace(MIXED)
    cube = Cube(space)
    assert cube.dimensions == 3 + 1 + 1 + 1 + 2
    for index in range(50):
        params = space.sample(0, index)
        again = cube.params(cube.point(params))
        assert again.keys() == params.keys()
        assert all(
            again[name] == value or math.isclose(again[name], value, abs_tol=1e-6)
            for name, value in params.items()
        )


def test_nothing_heavy_is_imported_before_a_sweep_needs_it():
    code = (
        "import sys; from epochal_scheduler.searching import making; "
        "assert not {'numpy', 'scipy', 'optuna', 'cmaes'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
