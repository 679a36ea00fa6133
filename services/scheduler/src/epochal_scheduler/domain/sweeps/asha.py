"""ASHA (Li et al., MLSys 2020), the variant that stops trials instead of pausing them.

Rungs lie at `min_resource * eta^k`, below `max_resource`. A trial that reaches a rung is compared
with all that reached it before: it goes on if it is among the best `1/eta` of them, itself
included, and at least if it is the best. Nobody waits for anybody: an early trial is promoted
more easily than in the synchronous algorithm, which is what the paper trades for idle workers.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from dataclasses import dataclass

from epochal_kernel.errors import InvalidArgument

from epochal_scheduler.domain.statuses import Status
from epochal_scheduler.domain.sweeps.policies import (
    DiffPolicy,
    DiffPruner,
    MedianPolicy,
    MedianPruner,
    TruncationPolicy,
    TruncationPruner,
    assert_percent,
)
from epochal_scheduler.domain.sweeps.pruning import KEEP, Answer, Pruner, Stop, shown
from epochal_scheduler.domain.sweeps.trials import Objective


@dataclass(frozen=True, slots=True)
class AshaPolicy:
    """`asha` of the spec, on its own or as a policy of another sweep."""

    min_resource: float = 1
    max_resource: float = math.inf
    eta: float = 3.0


Policy = MedianPolicy | TruncationPolicy | DiffPolicy | AshaPolicy


class AshaPruner:
    """Stops trials at rungs. Remembers one number per trial and rung it reached."""

    def __init__(self, objective: Objective, policy: AshaPolicy) -> None:
        if policy.eta <= 1 or policy.min_resource <= 0:
            raise InvalidArgument("asha needs eta > 1 and minResource > 0")
        self.objective = objective
        self.policy = policy
        self._rungs: list[list[float]] = []
        self._reached: dict[int, int] = {}

    def report(self, trial: int, step: int, value: float) -> Answer:
        """Takes a value; compares the trial on the rung it has newly reached, the highest."""
        reached = self._reached.get(trial, 0)
        rung = reached
        while self.resource(rung) <= step and self.resource(rung) < self.policy.max_resource:
            rung += 1
        if rung == reached:
            return KEEP
        self._reached[trial] = rung
        loss = self.objective.loss(value)
        while len(self._rungs) < rung:
            self._rungs.append([])
        for passed in range(reached, rung):
            insort(self._rungs[passed], loss)
        ranked = self._rungs[rung - 1]
        kept = max(int(len(ranked) / self.policy.eta), 1)
        better = bisect_left(ranked, loss)
        if better < kept and loss < math.inf:
            return KEEP
        metric = self.objective.metric
        mine = shown(loss, maximize=self.objective.maximize)
        bar = shown(ranked[kept - 1], maximize=self.objective.maximize)
        return Stop(
            f"at step {step} {metric} {mine} is not among the best {kept} of {len(ranked)} trials "
            f"on rung {rung - 1} (step {self.resource(rung - 1):g}), which takes {bar}"
        )

    def resource(self, rung: int) -> float:
        """Returns the step at which a rung lies."""
        return self.policy.min_resource * self.policy.eta**rung

    def end(self, trial: int, status: Status) -> None:
        """Forgets how far the trial was; its numbers stay to compare with."""
        self._reached.pop(trial, None)


def make_pruner(objective: Objective, policy: Policy) -> Pruner:
    """Returns the pruner of a policy.

    Raises:
        InvalidArgument: its numbers make no sense.
    """
    if isinstance(policy, AshaPolicy):
        return AshaPruner(objective, policy)
    if isinstance(policy, MedianPolicy):
        return MedianPruner(objective, policy.cadence)
    assert_percent(policy.percent)
    if isinstance(policy, DiffPolicy):
        return DiffPruner(objective, policy.cadence, policy.percent)
    return TruncationPruner(
        objective, policy.cadence, policy.percent, include_succeeded=policy.include_succeeded
    )
