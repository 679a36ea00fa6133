"""NSGA-II (Deb et al., 2002), by Optuna, one generation at a time.

Optuna counts generations by which trial ended when, which history does not tell; here a trial's
generation is that of its number. A generation is bred, when the one before has ended, from the
elite of that and of its parents. Only those are kept: memory is bounded by the population.
"""

from __future__ import annotations

from collections.abc import Sequence

from optuna.samplers import NSGAIISampler
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState

from epochal_scheduler.domain.sweeps.chance import derived_seed
from epochal_scheduler.domain.sweeps.plans import SweepPlan
from epochal_scheduler.domain.sweeps.trials import Suggestion, Trial
from epochal_scheduler.searching.studies import Study

POPULATION = 50


class _Breeder(NSGAIISampler):
    """Takes the first `base` trials of a study for one generation, and the rest for the next."""

    def __init__(self, base: int, population: int, seed: int) -> None:
        super().__init__(population_size=population, seed=seed)
        self._base = base

    def get_trial_generation(self, study: OptunaStudy, trial: FrozenTrial) -> int:
        return int(trial.number >= self._base and self._base > 0)

    def get_population(self, study: OptunaStudy, generation: int) -> list[FrozenTrial]:
        complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        return [t for t in complete if self.get_trial_generation(study, t) == generation]


class Nsga2Suggester:
    """Suggests generation after generation; none while the last trials of one are under way."""

    def __init__(self, plan: SweepPlan, history: Sequence[Trial] = ()) -> None:
        plan.assert_objectives()
        self._plan = plan
        self.population = max(plan.population or POPULATION, 2)
        self._generation = self._base = self._next = 0
        self._numbers: dict[int, int] = {}
        self._ended: set[int] = set()
        self._study = Study(plan)
        for trial in plan.warm_start:
            if trial.counts:
                self._study.add(trial)
        self._start(self._study.held)
        for trial in sorted(history, key=lambda trial: trial.index):
            self.tell(trial)

    def suggest(self, n: int) -> Sequence[Suggestion]:
        """Returns up to `n` of this generation."""
        first = self._generation * self.population
        last = min(first + self.population, self._plan.most)
        found = []
        for index in range(self._next, min(self._next + n, last)):
            self._numbers[index], params = self._study.ask(self._breeder(index))
            found.append(Suggestion(index, params, iteration=self._generation))
            self._next = index + 1
        return found

    def tell(self, trial: Trial) -> None:
        """Takes note of a trial of this generation; those before are settled."""
        if trial.index // self.population != self._generation:
            return
        self._next = max(self._next, trial.index + 1)
        if trial.index not in self._numbers:
            self._numbers[trial.index] = self._study.add(trial)
        elif trial.is_over:
            self._study.end(self._numbers[trial.index], trial)
        if trial.is_over:
            self._ended.add(trial.index)
            if len(self._ended) == self.population:
                self._breed()

    @property
    def is_exhausted(self) -> bool:
        """Whether all were suggested."""
        return self._next >= self._plan.most

    def _breeder(self, index: int) -> _Breeder:
        return _Breeder(self._base, self.population, derived_seed(self._plan.seed, index))

    def _breed(self) -> None:
        """Goes on to the next generation, with the elite and this one as its forebears."""
        breeder = self._breeder(0)
        forebears = breeder.get_population(self._study.study, 1 if self._base else 0)
        if self._base:
            forebears = [*breeder.get_parent_population(self._study.study, 1), *forebears]
        self._study = Study(self._plan)
        for trial in sorted(forebears, key=lambda trial: trial.number):
            self._study.copy(trial)
        self._generation += 1
        self._start(self._study.held)

    def _start(self, base: int) -> None:
        self._base = base
        if base:
            # Optuna hands the elite over in another order the first time than ever after.
            self._breeder(0).get_parent_population(self._study.study, 1)
        self._next = self._generation * self.population
        self._numbers = {}
        self._ended = set()
