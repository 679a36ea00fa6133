"""The policies that stop single trials: median, truncation and diff.

All three look at a trial when it reaches a new point, and compare it with the other trials that
have reached that point. `minInterval` is the first step at which a trial may be stopped and
`minSamples` the number of other trials that a comparison needs.

| policy | a trial is stopped if |
| --- | --- |
| median | its best value so far is worse than the median of the others' running means (Golovin et al., KDD 2017, section 3.2.2) |
| truncation | its best value so far is among the worst `percent` of all that reached the point and run; with `includeSucceeded`, of those that succeeded too |
| diff | its best value so far is worse than the best of the others by more than `percent` of that best |
"""  # noqa: E501 - a table

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass, field

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation

from epochal_scheduler.domain.statuses import Status
from epochal_scheduler.domain.sweeps.pruning import (
    KEEP,
    Answer,
    Cadence,
    Place,
    Progress,
    Stop,
    shown,
    sweep_out,
)
from epochal_scheduler.domain.sweeps.trials import Objective


class _PointPruner(ABC):
    """Looks at a trial at each new point; what it compares is up to the policy."""

    def __init__(self, objective: Objective, cadence: Cadence) -> None:
        self.objective = objective
        self.cadence = cadence
        self.places: dict[int, Place] = defaultdict(Place)
        self._progress: dict[int, Progress] = {}

    def report(self, trial: int, step: int, value: float) -> Answer:
        """Takes a value; compares the trial if it has reached a new point."""
        progress = self._progress.setdefault(trial, Progress())
        progress.add(self.objective.loss(value))
        point = self.cadence.point(step)
        if point <= progress.point:
            return KEEP
        progress.point = point
        place = self.places[point]
        why = ""
        if step >= self.cadence.first and len(place) >= max(self.cadence.samples, 1):
            why = self.compare(progress, place)
        place.set(trial, self.noted(progress))
        progress.seen.append(point)
        if not why:
            return KEEP
        best = shown(progress.best, maximize=self.objective.maximize)
        return Stop(f"at step {step} {self.objective.metric} {best} is {why}")

    def end(self, trial: int, status: Status) -> None:
        """Forgets how far the trial was; what it reached stays to compare with."""
        progress = self._progress.pop(trial, None)
        if progress is not None and not self.remembers(status):
            sweep_out(self.places, trial, progress.seen)

    def remembers(self, status: Status) -> bool:
        """Returns whether a trial that ended so is still compared with."""
        return True

    @abstractmethod
    def noted(self, progress: Progress) -> float:
        """Returns what other trials are compared with."""

    @abstractmethod
    def compare(self, progress: Progress, place: Place) -> str:
        """Returns why the trial is to be stopped, or nothing; the place is without the trial."""

    def shown(self, loss: float) -> str:
        """Returns a loss as the metric it stands for."""
        return shown(loss, maximize=self.objective.maximize)


class MedianPruner(_PointPruner):
    """Stops what is worse than the median."""

    def noted(self, progress: Progress) -> float:
        """Returns the running mean."""
        return progress.mean

    def compare(self, progress: Progress, place: Place) -> str:
        """Compares with the median of the others."""
        median = place.median
        if not progress.best > median:
            return ""
        return f"worse than the median {self.shown(median)} of {len(place)} trials"


class TruncationPruner(_PointPruner):
    """Stops the worst percent."""

    def __init__(
        self, objective: Objective, cadence: Cadence, percent: float, *, include_succeeded: bool
    ) -> None:
        super().__init__(objective, cadence)
        self.percent = percent
        self.include_succeeded = include_succeeded

    def remembers(self, status: Status) -> bool:
        """Only running trials count, and those that succeeded if wanted."""
        return self.include_succeeded and status == pb.RUN_STATUS_SUCCEEDED

    def noted(self, progress: Progress) -> float:
        """Returns the best value."""
        return progress.best

    def compare(self, progress: Progress, place: Place) -> str:
        """Counts those that are better, and those that may be."""
        total = len(place) + 1
        truncated = int(total * self.percent / 100)
        if place.worse_than(progress.best) < total - truncated:
            return ""
        return f"among the worst {truncated} of {total} trials ({self.percent:g} percent)"


class DiffPruner(_PointPruner):
    """Stops what is too far from the best."""

    def __init__(self, objective: Objective, cadence: Cadence, percent: float) -> None:
        super().__init__(objective, cadence)
        self.percent = percent

    def noted(self, progress: Progress) -> float:
        """Returns the best value."""
        return progress.best

    def compare(self, progress: Progress, place: Place) -> str:
        """Compares with the best of the others."""
        best = place.best
        if not progress.best > best + abs(best) * self.percent / 100:
            return ""
        return (
            f"worse by more than {self.percent:g} percent than the best {self.shown(best)} "
            f"of {len(place)} trials"
        )


@dataclass(frozen=True, slots=True)
class MedianPolicy:
    """`median` of the spec."""

    cadence: Cadence = field(default_factory=Cadence)


@dataclass(frozen=True, slots=True)
class TruncationPolicy:
    """`truncation` of the spec."""

    percent: float
    cadence: Cadence = field(default_factory=Cadence)
    include_succeeded: bool = False


@dataclass(frozen=True, slots=True)
class DiffPolicy:
    """`diff` of the spec."""

    percent: float
    cadence: Cadence = field(default_factory=Cadence)


def assert_percent(percent: float) -> None:
    """Refuses what is no percentage to stop at."""
    if percent <= 0:
        raise InvalidArgument(
            f"{percent:g} is no percentage to stop at",
            violations=[Violation("earlyStopping.policy.percent", "range", "above 0")],
        )
