"""Hyperband (Li et al., JMLR 18(185), 2018, Algorithm 1): many short trials, few long ones.

Bracket `s` starts `ceil((s_max + 1) eta^s / (s + 1))` trials with a resource of `R eta^-s`; of each
rung one in `eta` is promoted and tried again with `eta` times the resource. The numbers are
computed in fractions: with floats, `log(243) / log(3)` is below 5 and a bracket is lost.

The numbering is fixed: every rung of every bracket has its own range of trial numbers, as many as
it has places, so a trial's number tells its bracket and rung. Brackets are independent: while the
rung of one waits for its last trial, the next bracket goes on. A rung in which fewer trials come
to an end with a value than would be promoted promotes those; one without any ends its bracket.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from epochal_kernel.errors import InvalidArgument

from epochal_scheduler.domain.sweeps.plans import SweepPlan
from epochal_scheduler.domain.sweeps.trials import Suggestion, Trial


@dataclass(frozen=True, slots=True)
class Rung:
    """So many trials, from a number on, each with a resource."""

    bracket: int
    number: int
    first: int
    places: int
    resource: float


def rungs(max_resource: int, eta: float) -> list[list[Rung]]:
    """Returns the rungs of each bracket, the one with the most trials first.

    Raises:
        InvalidArgument: eta is not above 1, or the resource is not positive.
    """
    if eta <= 1 or max_resource < 1:
        raise InvalidArgument("hyperband needs eta > 1 and maxIterations >= 1")
    factor, most = Fraction(eta), 0
    while factor ** (most + 1) <= max_resource:
        most += 1
    brackets, first = [], 0
    for s in range(most, -1, -1):
        places = math.ceil((most + 1) * factor**s / (s + 1))
        bracket = []
        for number in range(s + 1):
            kept = math.floor(places / factor**number)
            resource = float(max_resource * factor ** (number - s))
            bracket.append(Rung(most - s, number, first, kept, resource))
            first += kept
        brackets.append(bracket)
    return brackets


class _Bracket:
    """Where one bracket stands: its rung, who is on it, and what came of them."""

    def __init__(self, bracket: Sequence[Rung]) -> None:
        self.bracket = bracket
        self.rung = bracket[0]
        self.roots = [self.rung.first + place for place in range(self.rung.places)]
        self.suggested = 0
        self.losses: dict[int, float | None] = {}
        self.sources: list[int] = []

    @property
    def is_exhausted(self) -> bool:
        return self.suggested == len(self.roots) and self.rung is self.bracket[-1]

    def promote(self) -> None:
        """Moves on to the next rung once all of this one have ended."""
        if len(self.losses) < len(self.roots) or self.rung is self.bracket[-1]:
            return
        ranked = sorted((loss, place) for place, loss in self.losses.items() if loss is not None)
        following = self.bracket[self.rung.number + 1]
        self.sources = [self.rung.first + place for _, place in ranked[: following.places]]
        self.roots = [self.roots[source - self.rung.first] for source in self.sources]
        self.rung = following if self.roots else self.bracket[-1]
        self.suggested = 0
        self.losses = {}


class HyperbandSuggester:
    """Suggests the trials of all brackets.

    Raises:
        InvalidArgument: the plan lacks a metric, a resource or maxIterations.
    """

    def __init__(self, plan: SweepPlan, history: Sequence[Trial] = ()) -> None:
        if plan.resource is None or plan.max_iterations is None:
            raise InvalidArgument("hyperband needs a resource and maxIterations")
        self._objective = plan.objective
        self._resource = plan.resource
        self._resumes = plan.resume
        self._seed = plan.seed
        self._space = plan.space
        self._brackets = [_Bracket(bracket) for bracket in rungs(plan.max_iterations, plan.eta)]
        self._firsts = [bracket.bracket[0].first for bracket in self._brackets]
        for trial in sorted(history, key=lambda trial: trial.index):
            self.tell(trial)

    def suggest(self, n: int) -> Sequence[Suggestion]:
        """Returns up to `n`, from the first bracket that has any."""
        found: list[Suggestion] = []
        for bracket in self._brackets:
            while len(found) < n and bracket.suggested < len(bracket.roots):
                found.append(self._suggestion(bracket, bracket.suggested))
                bracket.suggested += 1
        return found

    def _suggestion(self, bracket: _Bracket, place: int) -> Suggestion:
        rung = bracket.rung
        params = self._space.sample(self._seed, bracket.roots[place])
        params[self._resource.name] = self._resource.value(rung.resource)
        resumes = bracket.sources[place] if self._resumes and rung.number else None
        index = rung.first + place
        return Suggestion(index, params, rung.bracket, rung.number, rung.resource, resumes)

    def tell(self, trial: Trial) -> None:
        """Takes note of a trial of the current rung; those of rungs before are settled."""
        bracket = self._brackets[bisect_right(self._firsts, trial.index) - 1]
        place = trial.index - bracket.rung.first
        if not 0 <= place < len(bracket.roots):
            return
        bracket.suggested = max(bracket.suggested, place + 1)
        if trial.is_over:
            loss = self._objective.loss(trial.values[0]) if trial.counts else None
            bracket.losses[place] = loss
            bracket.promote()

    @property
    def is_exhausted(self) -> bool:
        """Whether every bracket has suggested its last rung."""
        return all(bracket.is_exhausted for bracket in self._brackets)
