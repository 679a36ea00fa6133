"""CMA-ES (Hansen, 2016) by the `cmaes` package, which Optuna uses too, one generation at a time.

Optuna's own sampler keeps its state in its study and cannot be rebuilt from trials alone; here a
generation is drawn from the ones before, so it can. The price: a generation waits for the last
trial of the one before. Parameters without order, or with conditions, are drawn by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from cmaes import CMA, get_warm_start_mgd  # type: ignore[import-untyped]  # no stubs
from epochal_kernel.errors import InvalidArgument

from epochal_scheduler.domain.sweeps.chance import derived_seed
from epochal_scheduler.domain.sweeps.plans import SweepPlan
from epochal_scheduler.domain.sweeps.searchspaces import Param
from epochal_scheduler.domain.sweeps.spaces import Listed
from epochal_scheduler.domain.sweeps.trials import Suggestion, Trial

_ENOUGH_TO_WARM = 10


class CmaEsSuggester:
    """Suggests generation after generation.

    Raises:
        InvalidArgument: no parameter is a number.
    """

    def __init__(self, plan: SweepPlan, history: Sequence[Trial] = ()) -> None:
        self._plan = plan
        self._objective = plan.objective
        self._space = plan.space
        self._searched = [param for param in self._space.params if _is_searched(param)]
        if not self._searched:
            raise InvalidArgument("cmaes needs a number to search, without a condition")
        least = 4 + math.floor(3 * math.log(len(self._searched)))
        self.population = max(plan.population or least, 2)
        self._generation = -1
        self._suggested = 0
        self._losses: dict[int, float] = {}
        self._points: list[np.ndarray] = []
        self._optimizer = self._made()
        self._advance()
        for trial in sorted(history, key=lambda trial: trial.index):
            self.tell(trial)

    def suggest(self, n: int) -> Sequence[Suggestion]:
        """Returns up to `n` of this generation; none while its last trials are under way."""
        first = self._generation * self.population
        size = min(self.population, self._plan.most - first)
        places = range(self._suggested, min(self._suggested + n, size))
        self._suggested = max(self._suggested, places.stop)
        return [self._suggestion(first + place, place) for place in places]

    def _suggestion(self, index: int, place: int) -> Suggestion:
        params = self._space.sample(self._plan.seed, index)
        for param, share in zip(self._searched, self._points[place], strict=True):
            params[param.name] = param.space.from_unit(float(share))
        return Suggestion(index, params, iteration=self._generation)

    def tell(self, trial: Trial) -> None:
        """Takes note of a trial of this generation; those before are settled."""
        place = trial.index - self._generation * self.population
        if not 0 <= place < self.population:
            return
        self._suggested = max(self._suggested, place + 1)
        if trial.is_over:
            self._losses[place] = (
                self._objective.loss(trial.values[0]) if trial.counts else math.inf
            )
            if len(self._losses) == self.population:
                self._learn()
                self._advance()

    @property
    def is_exhausted(self) -> bool:
        """Whether all were suggested."""
        return self._generation * self.population + self._suggested >= self._plan.most

    def _learn(self) -> None:
        """Tells the generation; what came to nothing ranks behind all that did."""
        finite = [loss for loss in self._losses.values() if math.isfinite(loss)]
        if not finite:
            return
        worst = max(finite) + abs(max(finite)) + 1.0
        self._optimizer.tell(
            [
                (self._points[place], loss if math.isfinite(loss) else worst)
                for place, loss in sorted(self._losses.items())
            ]
        )
        if self._optimizer.should_stop():
            self._optimizer = self._made()

    def _advance(self) -> None:
        self._generation += 1
        self._suggested = 0
        self._losses = {}
        self._optimizer.reseed_rng(derived_seed(self._plan.seed, self._generation))
        self._points = [self._optimizer.ask() for _ in range(self.population)]

    def _made(self) -> CMA:
        """Returns an optimizer around the middle, or around what the warm start found good."""
        mean, sigma, covariance = np.full(len(self._searched), 0.5), 0.3, None
        known = [
            (self._point(trial), self._objective.loss(trial.values[0]))
            for trial in self._plan.warm_start
            if trial.counts
            and math.isfinite(trial.values[0])
            and all(param.name in trial.params for param in self._searched)
        ]
        if len(known) >= _ENOUGH_TO_WARM:
            mean, sigma, covariance = get_warm_start_mgd(known)
        elif known:
            mean = min(known, key=lambda pair: pair[1])[0]
        bounds = np.array([[0.0, 1.0]] * len(self._searched))
        return CMA(
            mean=np.clip(mean, 0.0, 1.0), sigma=sigma, bounds=bounds, cov=covariance,
            population_size=self.population, seed=derived_seed(self._plan.seed, 0),
        )  # fmt: skip

    def _point(self, trial: Trial) -> np.ndarray:
        shares = [param.space.to_unit(trial.params[param.name]) for param in self._searched]
        return np.array(shares)


def _is_searched(param: Param) -> bool:
    space = param.space
    return not param.when and (
        not isinstance(space, Listed) or (space.is_ordered and space.size > 1)
    )
