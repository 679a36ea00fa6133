"""What a sweep says: its kind, its space, what it looks for, and how far it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from epochal_kernel.errors import InvalidArgument, Violation

from epochal_scheduler.domain.sweeps.searchspaces import Param, SearchSpace
from epochal_scheduler.domain.sweeps.spaces import Params, Value
from epochal_scheduler.domain.sweeps.trials import Objective, Trial


class SweepKind(StrEnum):
    """How the next values are found; the names are those of `matrix.kind`."""

    GRID = "grid"
    RANDOM = "random"
    MAPPING = "mapping"
    HYPERBAND = "hyperband"
    ASHA = "asha"
    ITERATIVE = "iterative"
    BAYES = "bayes"
    TPE = "tpe"
    CMAES = "cmaes"
    NSGA2 = "nsga2"


@dataclass(frozen=True, slots=True)
class Resource:
    """The parameter that says how much a trial may use, such as epochs."""

    name: str
    is_whole: bool = True

    def value(self, amount: float) -> Value:
        """Returns an amount as the parameter has it; a whole one is at least 1."""
        return max(int(amount + 1e-9), 1) if self.is_whole else amount


@dataclass(frozen=True, slots=True)
class Utility:
    """What Bayesian search maximises to find the next trial, and the model it does so on.

    `num_warmup` points are looked at by chance, and from the best of them `num_iterations`
    searches climb.
    """

    acquisition: str = "ucb"
    kappa: float = 2.576
    eps: float = 0.0
    kernel: str = "matern"
    length_scale: float = 1.0
    nu: float = 1.5
    num_restarts: int = 0
    num_warmup: int = 1000
    num_iterations: int = 5


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """A sweep, as its matrix has it; fields that its kind does not use are ignored.

    Attributes:
        kind: see `SweepKind`.
        params: the space.
        objectives: the metrics looked for; several only for tpe and nsga2.
        num_runs: how many trials; for a grid the most.
        seed: what all chance comes from.
        values: of a mapping, the combinations.
        max_iterations: of hyperband the greatest resource; of bayes and tpe the trials after the
            first `num_initial_runs`; of iterative the batches.
        num_initial_runs: trials by chance that a model starts from.
        eta: of hyperband and asha, one in so many trials goes on.
        resource: of hyperband and asha, the parameter that is handed the resource.
        resume: of hyperband, whether a promoted trial goes on from the one before.
        min_resource: of asha, where the first rung is.
        max_resource: of asha, where a trial is done.
        utility: of bayes.
        population: of cmaes and nsga2, how many trials make a generation.
        warm_start: finished trials of earlier sweeps to learn from.
    """

    kind: SweepKind
    params: Sequence[Param] = ()
    objectives: Sequence[Objective] = ()
    num_runs: int | None = None
    seed: int = 0
    values: Sequence[Params] = ()
    max_iterations: int | None = None
    num_initial_runs: int = 10
    eta: float = 3.0
    resource: Resource | None = None
    resume: bool = False
    min_resource: float = 1
    max_resource: float | None = None
    utility: Utility = Utility()
    population: int | None = None
    warm_start: Sequence[Trial] = ()

    @property
    def space(self) -> SearchSpace:
        """The parameters, in the order in which they are asked for."""
        return SearchSpace(self.params)

    @property
    def objective(self) -> Objective:
        """The one metric looked for.

        Raises:
            InvalidArgument: there is none, or there are several.
        """
        if len(self.objectives) != 1:
            raise _bad("metric", f"{self.kind} looks for one metric, not {len(self.objectives)}")
        return self.objectives[0]

    def assert_objectives(self) -> None:
        """Refuses a plan that looks for nothing.

        Raises:
            InvalidArgument: it has no metric.
        """
        if not self.objectives:
            raise _bad("metric", f"{self.kind} needs a metric to look for")

    @property
    def most(self) -> int:
        """How many trials a sweep by model makes.

        Raises:
            InvalidArgument: neither numRuns nor maxIterations says so.
        """
        if self.num_runs is not None:
            return self.num_runs
        if self.max_iterations is None:
            raise _bad("numRuns", f"{self.kind} needs to know how many trials to make")
        return self.num_initial_runs + self.max_iterations


def _bad(field: str, why: str) -> InvalidArgument:
    return InvalidArgument(why, violations=[Violation(f"matrix.{field}", "sweep", why)])
