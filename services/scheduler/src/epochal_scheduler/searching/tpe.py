"""Tree-structured Parzen estimators, by Optuna."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.samplers import TPESampler

from epochal_scheduler.domain.sweeps.chance import derived_seed
from epochal_scheduler.domain.sweeps.plans import SweepPlan
from epochal_scheduler.domain.sweeps.summaries import losses
from epochal_scheduler.domain.sweeps.trials import Suggestion, Trial
from epochal_scheduler.searching.studies import Study

MOST_KEPT = 1000
MOST_HELD = 2000


class TpeSuggester:
    """Suggests where good trials are denser than bad ones, for one objective or several.

    Trials under way are penalised, so that those side by side differ. When 2,000 trials have come
    together, the study goes on with those under way, the better half of 1,000 and the newer half:
    memory and the cost of a suggestion stay bounded. Until then a rebuilt sampler suggests exactly
    what the lost one would have; after that it may have kept other trials.
    """

    def __init__(self, plan: SweepPlan, history: Sequence[Trial] = ()) -> None:
        plan.assert_objectives()
        self._plan = plan
        self._study = Study(plan)
        self._numbers: dict[int, int] = {}
        self._kept: dict[int, Trial] = {}
        self._known: set[int] = set()
        self._next = 0
        for number, trial in enumerate(plan.warm_start):
            self._add(number - len(plan.warm_start), trial)
        for trial in sorted(history, key=lambda trial: trial.index):
            self.tell(trial)

    def suggest(self, n: int) -> Sequence[Suggestion]:
        """Returns the next `n`, fewer at the end."""
        found = []
        for index in range(self._next, min(self._next + n, self._plan.most)):
            self._thin_out()
            sampler = TPESampler(
                n_startup_trials=self._plan.num_initial_runs,
                seed=derived_seed(self._plan.seed, index),
            )
            self._numbers[index], params = self._study.ask(sampler)
            self._known.add(index)
            found.append(Suggestion(index, params))
            self._next = index + 1
        return found

    def tell(self, trial: Trial) -> None:
        """Takes note of a trial."""
        self._next = max(self._next, trial.index + 1)
        if trial.index not in self._known:
            self._add(trial.index, trial)
        elif trial.is_over and trial.index in self._numbers:
            self._study.end(self._numbers.pop(trial.index), trial)
            self._kept[trial.index] = trial

    @property
    def is_exhausted(self) -> bool:
        """Whether all were suggested."""
        return self._next >= self._plan.most

    def _add(self, index: int, trial: Trial) -> None:
        self._thin_out()
        self._known.add(index)
        number = self._study.add(trial)
        if trial.is_over:
            self._kept[index] = trial
        else:
            self._numbers[index] = number

    def _thin_out(self) -> None:
        if self._study.held < MOST_HELD:
            return
        objectives = self._plan.objectives
        ranked = sorted(
            (losses(trial, objectives), index)
            for index, trial in self._kept.items()
            if trial.counts
        )
        best = {index for _, index in ranked[: MOST_KEPT // 2]}
        newest = sorted(index for _, index in ranked[MOST_KEPT // 2 :])[-MOST_KEPT // 2 :]
        running = self._study.trials()
        old, self._study = self._numbers, Study(self._plan)
        self._kept = {index: self._kept[index] for index in sorted(best | set(newest))}
        for trial in self._kept.values():
            self._study.add(trial)
        self._numbers = {}
        for index, number in old.items():
            self._numbers[index] = self._study.copy(running[number])
