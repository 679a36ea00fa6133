"""What came out of a sweep so far: how many trials are where, and which are the best."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import epochal_proto.v1 as pb

from epochal_scheduler.domain.statuses import TERMINAL, Status
from epochal_scheduler.domain.sweeps.trials import Objective, Trial

MOST_BEST = 100


@dataclass(frozen=True, slots=True)
class Summary:
    """A sweep in numbers; `best` is one trial, or with several objectives the Pareto front."""

    counts: Mapping[Status, int]
    best: Sequence[Trial]

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return sum(count for status, count in self.counts.items() if status in TERMINAL)

    @property
    def failed(self) -> int:
        """How many trials failed."""
        return self.counts.get(pb.RUN_STATUS_FAILED, 0)


class Tracker:
    """Keeps the summary of a sweep as its trials change; remembers only those that are best.

    Only trials that succeeded can be best. Of a front of more than 100 trials, the first 100 of
    the first objective are kept.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._objectives = tuple(objectives)
        self._counts: Counter[Status] = Counter()
        self._open: dict[int, Status] = {}
        self._best: list[Trial] = []

    def tell(self, trial: Trial) -> None:
        """Takes note of a trial: once when it is made, when its status changes, at its end."""
        before = self._open.pop(trial.index, None)
        if before is not None:
            self._counts[before] -= 1
        self._counts[trial.status] += 1
        if not trial.is_over:
            self._open[trial.index] = trial.status
        elif trial.status == pb.RUN_STATUS_SUCCEEDED and trial.counts:
            self._best = list(best_of([*self._best, trial], self._objectives))

    @property
    def summary(self) -> Summary:
        """The sweep as it stands."""
        return Summary({s: n for s, n in self._counts.items() if n}, tuple(self._best))


def best_of(trials: Iterable[Trial], objectives: Sequence[Objective]) -> Sequence[Trial]:
    """Returns the best trial, the first of equals; with several objectives the Pareto front."""
    if not objectives:
        return ()
    ranked = sorted(
        ((losses(trial, objectives), trial.index, trial) for trial in trials),
        key=lambda entry: entry[:2],
    )
    if len(objectives) == 1:
        return [entry[2] for entry in ranked[:1] if entry[0][0] < math.inf]
    front: list[tuple[tuple[float, ...], Trial]] = []
    for mine, _, trial in ranked:
        # In this order only what came before can dominate; equals are both on the front.
        if not any(dominates(other, mine) for other, _ in front):
            front.append((mine, trial))
    return [trial for _, trial in front[:MOST_BEST]]


def losses(trial: Trial, objectives: Sequence[Objective]) -> tuple[float, ...]:
    """Returns the values of a trial, all to be minimised."""
    return tuple(o.loss(value) for o, value in zip(objectives, trial.values, strict=True))


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Returns whether `a` is at least as good everywhere and better somewhere."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)
