"""Stopping single trials that look bad: what the policies share.

A pruner hears every metric value that a trial reports and answers at once. It compares at
*points*: a trial is at point `p` once it has reported a step of at least `p * interval`. Each
point remembers a bounded number of trials, and points get sparser as steps grow, so that memory
does not grow with the length of a run. What is remembered depends only on the order of the
reports; a pruner is rebuilt by reporting them again, or starts anew and knows less.

NaN is the worst of all values and never the best.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from epochal_scheduler.domain.statuses import Status

DENSE_POINTS = 64
MOST_TRIALS = 256


@dataclass(frozen=True, slots=True)
class Keep:
    """The trial goes on."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The trial is to be stopped, and why, with the numbers."""

    reason: str


KEEP = Keep()
Answer = Keep | Stop


class Pruner(Protocol):
    """Decides on each report whether the trial goes on."""

    def report(self, trial: int, step: int, value: float) -> Answer:
        """Takes a value of the metric; answers whether the trial is to be stopped."""

    def end(self, trial: int, status: Status) -> None:
        """Takes note that a trial has ended; nothing is kept for it that is not needed."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """When trials are looked at.

    Attributes:
        interval: steps between two looks.
        first: the first step at which a trial may be stopped.
        samples: how many other trials a comparison needs.
    """

    interval: int = 1
    first: int = 0
    samples: int = 1

    def point(self, step: int) -> int:
        """Returns the point that a step has reached: every one of the first 64, then fewer."""
        point = step // max(self.interval, 1)
        doublings = max(point // DENSE_POINTS, 1).bit_length() - 1
        if point < DENSE_POINTS:
            return point
        return point >> (doublings + 1) << (doublings + 1)


class Place:
    """What trials had reached by one point: the newest of them, ranked."""

    __slots__ = ("_ranked", "_values")

    def __init__(self) -> None:
        self._values: dict[int, float] = {}
        self._ranked: list[float] = []

    def __len__(self) -> int:
        return len(self._ranked)

    def set(self, trial: int, value: float) -> None:
        """Notes the value of a trial."""
        self.drop(trial)
        if len(self._values) >= MOST_TRIALS:
            self.drop(next(iter(self._values)))
        self._values[trial] = value
        insort(self._ranked, value)

    def drop(self, trial: int) -> None:
        """Forgets a trial, if it is known."""
        value = self._values.pop(trial, None)
        if value is not None:
            del self._ranked[bisect_left(self._ranked, value)]

    @property
    def median(self) -> float:
        """The median; of an even number of values the mean of the middle two."""
        middle = len(self._ranked) // 2
        if len(self._ranked) % 2:
            return self._ranked[middle]
        low, high = self._ranked[middle - 1], self._ranked[middle]
        return high if math.isinf(low) or math.isinf(high) else (low + high) / 2

    @property
    def best(self) -> float:
        """The least value."""
        return self._ranked[0]

    def worse_than(self, value: float) -> int:
        """Returns how many values are strictly better than this one."""
        return bisect_left(self._ranked, value)


class Progress:
    """What one trial has reported: its best, its mean, and the last point it was looked at."""

    __slots__ = ("best", "count", "point", "seen", "total")

    def __init__(self) -> None:
        self.best = math.inf
        self.total = 0.0
        self.count = 0
        self.point = -1
        self.seen: list[int] = []

    def add(self, loss: float) -> None:
        """Takes a value."""
        self.best = min(self.best, loss)
        if not math.isinf(loss):
            self.total += loss
            self.count += 1

    @property
    def mean(self) -> float:
        """The mean of what was finite; infinite if nothing was."""
        return self.total / self.count if self.count else math.inf


def shown(loss: float, *, maximize: bool) -> str:
    """Returns a loss as the metric it stands for."""
    if loss == math.inf:
        return "NaN or infinite"
    return f"{-loss if maximize else loss:.6g}"


def sweep_out(places: dict[int, Place], trial: int, points: Iterable[int]) -> None:
    """Forgets a trial at points it was looked at."""
    for point in points:
        places[point].drop(trial)
