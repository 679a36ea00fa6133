"""Tree-structured Parzen estimators, by Optuna."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from optuna.samplers import TPESampler

from epochal_scheduler.domain.sweeps.chance import derived_seed
from epochal_scheduler.domain.sweeps.plans import SweepPlan
from epochal_scheduler.domain.sweeps.summaries import losses
from epochal_scheduler.domain.sweeps.trials import Suggestion, Trial
from epochal_scheduler.searching.studies import Study

MOST_KEPT = 300
MOST_HELD = 600


class TpeSuggester:
    """Suggests where good trials are denser than bad ones, for one objective or several.

    Trials under way are penalised, so that those side by side differ. When 600 trials have come
    together, the study goes on with those under way, the best 150 and the newest 150 of the rest:
    memory and the cost of a suggestion stay bounded. TPE takes no more than 25 for good, so little
    is lost. Until then a rebuilt sampler suggests exactly what the lost one would have; after that
    it may have kept other trials.
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
            self._add(replace(trial, index=number - len(plan.warm_start)))
        self._recall(sorted(history, key=lambda trial: trial.index))

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
            self._add(trial)
        elif trial.is_over and trial.index in self._numbers:
            self._study.end(self._numbers.pop(trial.index), trial)
            self._kept[trial.index] = trial

    @property
    def is_exhausted(self) -> bool:
        """Whether all were suggested."""
        return self._next >= self._plan.most

    def _recall(self, history: Sequence[Trial]) -> None:
        """Takes a whole history; of a long one only what is worth keeping reaches the study."""
        if len(history) >= MOST_HELD:
            self._known.update(trial.index for trial in history)
            self._next = history[-1].index + 1
            running = [trial for trial in history if not trial.is_over]
            history = [*self._worth_keeping(history), *running]
            self._known.difference_update(trial.index for trial in history)
        for trial in history:
            self.tell(trial)

    def _add(self, trial: Trial) -> None:
        self._thin_out()
        self._known.add(trial.index)
        number = self._study.add(trial)
        if trial.is_over:
            self._kept[trial.index] = trial
        else:
            self._numbers[trial.index] = number

    def _thin_out(self) -> None:
        if self._study.held < MOST_HELD:
            return
        old, self._numbers = self._numbers, {}
        running, self._study = self._study.trials(), Study(self._plan)
        self._kept = {trial.index: trial for trial in self._worth_keeping(self._kept.values())}
        for trial in self._kept.values():
            self._study.add(trial)
        for index, number in old.items():
            self._numbers[index] = self._study.copy(running[number])

    def _worth_keeping(self, trials: Iterable[Trial]) -> list[Trial]:
        """Returns the best trials and the newest of the others, in order of their numbers."""
        objectives = self._plan.objectives
        counted = (trial for trial in trials if trial.counts)
        ranked = sorted(counted, key=lambda trial: (losses(trial, objectives), trial.index))
        half = MOST_KEPT // 2
        newest = sorted(ranked[half:], key=lambda trial: trial.index)[-half:]
        return sorted([*ranked[:half], *newest], key=lambda trial: trial.index)
