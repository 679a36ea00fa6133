"""Trials, suggestions and what it means for a value to be better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import epochal_proto.v1 as pb

from epochal_scheduler.domain.statuses import TERMINAL, Status
from epochal_scheduler.domain.sweeps.spaces import Params


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric and which way is better."""

    metric: str
    maximize: bool = False

    def loss(self, value: float) -> float:
        """Returns the value as something to minimise; NaN is the worst there is."""
        if math.isnan(value):
            return math.inf
        return -value if self.maximize else value


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What to try next.

    Attributes:
        index: number of the trial in its sweep; hyperband leaves numbers out.
        params: the values, the resource among them.
        iteration: of hyperband the bracket, of iterative the batch, of cmaes and nsga2 the
            generation.
        rung: of hyperband, how often the values have been promoted.
        resource: how much the trial may use, if the sweep deals it out.
        resumes: of hyperband with `resume`, the trial to go on from.
    """

    index: int
    params: Params
    iteration: int = 0
    rung: int = 0
    resource: float | None = None
    resumes: int | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a suggestion.

    Attributes:
        index: of the suggestion.
        params: of the suggestion.
        status: of its run.
        values: the newest value of each objective, in order; empty until there are any.
        steps: how far its metric got.
        iteration: of the suggestion.
    """

    index: int
    params: Params
    status: Status
    values: tuple[float, ...] = ()
    steps: int = 0
    iteration: int = 0

    @property
    def is_over(self) -> bool:
        """Whether its run has ended."""
        return self.status in TERMINAL

    @property
    def counts(self) -> bool:
        """Whether it ended with values to learn from: by itself, or stopped on the way."""
        ended = self.status in (pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_STOPPED)
        return ended and bool(self.values) and not any(map(math.isnan, self.values))


class Suggester(Protocol):
    """Says what to try next.

    It is told every trial when it is made elsewhere (a rebuild) and when it ends; the suggestions
    it has made itself it knows. One made with the history of another goes on where that one was.
    """

    def suggest(self, n: int) -> Sequence[Suggestion]:
        """Returns up to `n` suggestions; fewer while others must end first, or at the end."""

    def tell(self, trial: Trial) -> None:
        """Takes note of a trial; the same one twice is as good as once."""

    @property
    def is_exhausted(self) -> bool:
        """Whether there will be no more suggestions, whatever it is told."""
