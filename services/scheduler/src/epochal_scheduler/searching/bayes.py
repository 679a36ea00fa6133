"""Bayesian search: each trial is where a Gaussian process expects the most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from epochal_scheduler.domain.sweeps.chance import derived_seed
from epochal_scheduler.domain.sweeps.plans import SweepPlan
from epochal_scheduler.domain.sweeps.trials import Suggestion, Trial
from epochal_scheduler.searching.gaussian import Process, climb
from epochal_scheduler.searching.vectors import Cube

MOST_OBSERVED = 200
_BEST = 50


class BayesSuggester:
    """Suggests by chance first, then by a model of the metric.

    A trial under way counts with the value that the model expects of it, so that trials side by
    side are not all alike. Of more than 200 ended trials, the model sees the 50 best and the 150
    newest: its cost grows with the cube of their number.
    """

    def __init__(self, plan: SweepPlan, history: Sequence[Trial] = ()) -> None:
        self._plan = plan
        self._objective = plan.objective
        self._space = plan.space
        self._cube = Cube(self._space)
        self._next = 0
        self._running: dict[int, np.ndarray] = {}
        self._observed: dict[int, tuple[np.ndarray, float]] = {}
        for number, trial in enumerate(plan.warm_start):
            self._observe(number - len(plan.warm_start), trial)
        for trial in sorted(history, key=lambda trial: trial.index):
            self.tell(trial)

    def suggest(self, n: int) -> Sequence[Suggestion]:
        """Returns the next `n`, fewer at the end."""
        found = []
        for index in range(self._next, min(self._next + n, self._plan.most)):
            params = self._space.sample(self._plan.seed, index)
            if index >= self._plan.num_initial_runs and self._observed:
                params = self._cube.params(self._expected_best(index))
            self._running[index] = self._cube.point(params)
            found.append(Suggestion(index, params))
            self._next = index + 1
        return found

    def tell(self, trial: Trial) -> None:
        """Takes note of a trial."""
        self._next = max(self._next, trial.index + 1)
        if trial.is_over:
            self._running.pop(trial.index, None)
            self._observe(trial.index, trial)
        else:
            self._running[trial.index] = self._cube.point(trial.params)

    @property
    def is_exhausted(self) -> bool:
        """Whether all were suggested."""
        return self._next >= self._plan.most

    def _observe(self, index: int, trial: Trial) -> None:
        if not trial.counts or not np.isfinite(trial.values[0]):
            return
        loss = self._objective.loss(trial.values[0])
        self._observed[index] = (self._cube.point(trial.params), loss)

    def _seen(self) -> list[int]:
        """Returns the numbers of the trials that the model sees."""
        if len(self._observed) <= MOST_OBSERVED:
            return sorted(self._observed)
        ranked = sorted(self._observed, key=lambda known: (self._observed[known][1], known))
        newest = sorted(ranked[_BEST:])[_BEST - MOST_OBSERVED :]
        return sorted([*ranked[:_BEST], *newest])

    def _expected_best(self, index: int) -> np.ndarray:
        utility = self._plan.utility
        known = [self._observed[number] for number in self._seen()]
        points = np.array([point for point, _ in known])
        losses = np.array([loss for _, loss in known])
        best = float(losses.min())
        process = Process(points, losses, utility)
        if self._running:
            waiting = np.array([self._running[number] for number in sorted(self._running)])
            expected, _ = process.predict(waiting)
            points, losses = np.concatenate([points, waiting]), np.concatenate([losses, expected])
            process = Process(points, losses, utility, process.length)
        chance = np.random.default_rng(derived_seed(self._plan.seed, index))
        tried = chance.random((max(utility.num_warmup, 1), points.shape[1]))
        return climb(process, best, tried, utility, chance)
