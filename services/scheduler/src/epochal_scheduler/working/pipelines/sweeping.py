"""Sweeps as specs have them, as plans, samplers and pruners of the domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256

import epochal_proto.v1 as pb
from pydantic import JsonValue

from epochal_scheduler.domain.statuses import status_of
from epochal_scheduler.domain.sweeps.asha import AshaPolicy, make_pruner
from epochal_scheduler.domain.sweeps.plans import Resource, SweepKind, SweepPlan, Utility
from epochal_scheduler.domain.sweeps.policies import DiffPolicy, MedianPolicy, TruncationPolicy
from epochal_scheduler.domain.sweeps.pruning import Cadence, Pruner
from epochal_scheduler.domain.sweeps.spaces import Value
from epochal_scheduler.domain.sweeps.trials import Objective, Suggester, Suggestion, Trial
from epochal_scheduler.searching.making import make_suggester
from epochal_scheduler.spec.children import JoinPlan
from epochal_scheduler.spec.schema import matrix as spec
from epochal_scheduler.spec.schema.stopping import (
    DiffPolicy as DiffSpec,
)
from epochal_scheduler.spec.schema.stopping import (
    MedianPolicy as MedianSpec,
)
from epochal_scheduler.spec.schema.stopping import (
    MetricEarlyStopping,
)
from epochal_scheduler.spec.schema.stopping import (
    TruncationPolicy as TruncationSpec,
)
from epochal_scheduler.values import from_value
from epochal_scheduler.working.pipelines.pipeline import Pipeline
from epochal_scheduler.working.pipelines.spaces import read_params
from epochal_scheduler.working.resolving import Resolver

_SLOW = frozenset({SweepKind.BAYES, SweepKind.TPE, SweepKind.CMAES, SweepKind.NSGA2})
MOST_WARM = 1_000


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep ready to run."""

    plan: SweepPlan
    pruners: Sequence[tuple[str, Pruner]]
    make: Callable[[SweepPlan, Sequence[Trial]], Suggester] = make_suggester

    @property
    def is_slow(self) -> bool:
        """Whether asking for a suggestion takes long enough to need a thread."""
        return self.plan.kind in _SLOW

    @property
    def planned(self) -> int:
        """How many trials there will be, as far as the plan says; 0 when it does not."""
        if self.plan.kind is SweepKind.MAPPING:
            return len(self.plan.values)
        if self.plan.kind is SweepKind.GRID:
            size = self.plan.space.grid_size
            return min(size, self.plan.num_runs or size)
        return self.plan.num_runs or 0

    def suggester(self, history: Sequence[Trial]) -> Suggester:
        """Returns the sampler, told what there is."""
        return self.make(self.plan, history)

    def values_of(self, suggestion: Suggestion) -> dict[str, JsonValue]:
        """Returns the parameters of a trial as its run gets them."""
        return params_of(suggestion.params)


@dataclass(frozen=True, slots=True)
class WarmStarter:
    """Finds finished trials of other sweeps to begin with."""

    resolver: Resolver

    async def trials(self, pipeline: Pipeline, matrix: spec.Matrix) -> list[Trial]:
        """Returns the trials that `warmStart` asks for, newest numbers last.

        Raises:
            InvalidArgument: the query is not one.
            Unavailable: the tracker does not answer.
        """
        warm = getattr(matrix, "warm_start", None)
        if warm is None:
            return []
        assert isinstance(warm, spec.WarmStart), "validated"
        join = JoinPlan(warm.query, warm.sort or "", warm.limit or MOST_WARM, 0, {})
        runs = await self.resolver.find(pipeline.name.partition("/runs/")[0], join)
        objectives = _objectives(matrix)
        names = {param.name for param in read_params(getattr(matrix, "params", None))}
        found = []
        for number, run in enumerate(runs, start=1):
            trial = _warm_trial(run, -number, names, objectives)
            if trial is not None:
                found.append(trial)
        return found


def read_sweep(matrix: spec.Matrix, id: str, added_runs: int, warm: Sequence[Trial]) -> Sweep:
    """Returns a sweep from its matrix.

    Args:
        matrix: of the compiled operation, without templates.
        id: of the sweep's run; the seed, when the matrix has none.
        added_runs: by how many trials it was extended.
        warm: finished trials to learn from.

    Raises:
        InvalidArgument: the numbers make no sense together.
    """
    seed = getattr(matrix, "seed", None)
    if seed is None:
        seed = int.from_bytes(sha256(id.encode()).digest()[:6])
    plan = SweepPlan(
        kind=SweepKind(matrix.kind),
        params=read_params(getattr(matrix, "params", None)),
        objectives=_objectives(matrix),
        num_runs=getattr(matrix, "num_runs", None),
        seed=seed,
        max_iterations=getattr(matrix, "max_iterations", None),
        warm_start=tuple(warm),
    )
    plan = _of_kind(plan, matrix)
    if added_runs and plan.num_runs is not None:
        plan = replace(plan, num_runs=plan.num_runs + added_runs)
    elif added_runs and plan.max_iterations is not None:
        plan = replace(plan, max_iterations=plan.max_iterations + added_runs)
    return Sweep(plan, _pruners(matrix, plan))


def _of_kind(plan: SweepPlan, matrix: spec.Matrix) -> SweepPlan:
    match matrix:
        case spec.Mapping(values=values):
            return replace(plan, values=tuple(values))
        case spec.Hyperband():
            return replace(
                plan,
                eta=matrix.eta,
                resource=_resource(matrix.resource),
                resume=bool(matrix.resume),
            )
        case spec.Asha():
            return replace(
                plan,
                eta=matrix.eta,
                resource=_resource(matrix.resource),
                min_resource=matrix.min_resource,
                max_resource=matrix.max_resource,
            )
        case spec.Bayes():
            return replace(
                plan,
                num_initial_runs=matrix.num_initial_runs,
                utility=_utility(matrix.utility_function),
            )
        case spec.Nsga2():
            return replace(plan, population=matrix.population)
        case _:
            return plan


def _resource(resource: spec.OptimizationResource | None) -> Resource | None:
    return None if resource is None else Resource(resource.name, resource.type == "int")


def _utility(given: spec.UtilityFunction | None) -> Utility:
    if given is None:
        return Utility()
    process = given.gaussian_process or spec.GaussianProcess()
    default = Utility()
    return Utility(
        acquisition=given.acquisition_function,
        kappa=default.kappa if given.kappa is None else given.kappa,
        eps=default.eps if given.eps is None else given.eps,
        kernel=process.kernel,
        length_scale=process.length_scale,
        nu=process.nu,
        num_restarts=process.num_restarts_optimizer,
        num_warmup=given.num_warmup or default.num_warmup,
        num_iterations=given.num_iterations or default.num_iterations,
    )


def _objectives(matrix: spec.Matrix) -> tuple[Objective, ...]:
    metrics: Sequence[spec.OptimizationMetric] = getattr(matrix, "objectives", ())
    return tuple(Objective(m.name, m.optimization == "maximize") for m in metrics)


def _pruners(matrix: spec.Matrix, plan: SweepPlan) -> list[tuple[str, Pruner]]:
    found: list[tuple[str, Pruner]] = []
    if isinstance(matrix, spec.Asha):
        policy = AshaPolicy(matrix.min_resource, matrix.max_resource, matrix.eta)
        found.append((plan.objective.metric, make_pruner(plan.objective, policy)))
    for given in matrix.early_stopping or ():
        if not isinstance(given, MetricEarlyStopping) or given.policy is None:
            continue
        objective = Objective(given.metric, given.optimization == "maximize")
        found.append((given.metric, make_pruner(objective, _policy(given.policy))))
    return found


def _policy(
    given: MedianSpec | TruncationSpec | DiffSpec,
) -> MedianPolicy | TruncationPolicy | DiffPolicy:
    cadence = Cadence(given.evaluation_interval, given.min_interval or 0, given.min_samples or 1)
    match given:
        case MedianSpec():
            return MedianPolicy(cadence)
        case TruncationSpec():
            return TruncationPolicy(given.percent, cadence, bool(given.include_succeeded))
        case DiffSpec():
            return DiffPolicy(given.percent, cadence)


def _warm_trial(
    run: pb.Run, index: int, names: set[str], objectives: Sequence[Objective]
) -> Trial | None:
    params: Mapping[str, JsonValue] = {
        name: from_value(value) for name, value in run.params.items() if name in names
    }
    values = [run.metrics[o.metric].last for o in objectives if o.metric in run.metrics]
    if len(values) != len(objectives) or not names <= params.keys():
        return None
    return Trial(index, params, status_of(run.status), tuple(values))


def params_of(params: Mapping[str, Value]) -> dict[str, JsonValue]:
    """Returns values of spaces as parameters have them."""
    return {name: _json(value) for name, value in params.items()}


def _json(value: Value) -> JsonValue:
    """Returns a value of a space as a parameter has it: dates and times as ISO 8601."""
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: _json(inner) for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_json(inner) for inner in value]
    return value
