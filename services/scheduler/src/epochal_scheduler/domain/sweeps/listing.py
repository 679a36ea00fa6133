"""Sweeps whose suggestions depend on nothing but their number: grid, random, mapping, asha.

Also iterative sweeps, whose suggestions a component of the user makes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from epochal_kernel.errors import FailedPrecondition, InvalidArgument

from epochal_scheduler.domain.sweeps.plans import SweepKind, SweepPlan
from epochal_scheduler.domain.sweeps.spaces import Params
from epochal_scheduler.domain.sweeps.trials import Suggestion, Trial


class ListedSuggester:
    """Suggests number 0, 1, 2 and so on, of as many as there are."""

    def __init__(
        self,
        most: int,
        at: Callable[[int], Params],
        history: Sequence[Trial] = (),
        resource: float | None = None,
    ) -> None:
        self.most = most
        self._at = at
        self._resource = resource
        self._next = max((trial.index + 1 for trial in history), default=0)

    def suggest(self, n: int) -> Sequence[Suggestion]:
        """Returns the next `n`, fewer at the end."""
        indexes = range(self._next, min(self._next + n, self.most))
        self._next = max(self._next, indexes.stop)
        return [Suggestion(i, self._at(i), resource=self._resource) for i in indexes]

    def tell(self, trial: Trial) -> None:
        """Takes note that a suggestion was made."""
        self._next = max(self._next, trial.index + 1)

    @property
    def is_exhausted(self) -> bool:
        """Whether all were suggested."""
        return self._next >= self.most


def make_listed(plan: SweepPlan, history: Sequence[Trial]) -> ListedSuggester:
    """Returns the suggester of a grid, random, mapping or asha sweep.

    Raises:
        InvalidArgument: the plan lacks something that its kind needs.
    """
    if plan.kind is SweepKind.MAPPING:
        values = plan.values
        return ListedSuggester(len(values), lambda index: values[index], history)
    space, seed = plan.space, plan.seed
    if plan.kind is SweepKind.GRID:
        most = min(plan.num_runs or space.grid_size, space.grid_size)
        return ListedSuggester(most, space.grid_at, history)
    if plan.num_runs is None:
        raise InvalidArgument(f"a sweep of kind {plan.kind} needs numRuns")
    if plan.kind is SweepKind.RANDOM:
        return ListedSuggester(plan.num_runs, lambda i: space.sample(seed, i), history)
    resource, amount = plan.resource, plan.max_resource
    if resource is None or amount is None:
        return ListedSuggester(plan.num_runs, lambda i: space.sample(seed, i), history, amount)
    handed = {resource.name: resource.value(amount)}
    return ListedSuggester(
        plan.num_runs, lambda i: {**space.sample(seed, i), **handed}, history, amount
    )


class IterativeSuggester:
    """Suggests what it is offered: batches that a component makes from the trials before.

    Batches are numbered from 0 and their trials follow on from each other. A rebuilt one has to
    be offered every batch again, in order; what became of their trials it knows.
    """

    def __init__(self, plan: SweepPlan, history: Sequence[Trial] = ()) -> None:
        if plan.max_iterations is None:
            raise InvalidArgument("an iterative sweep needs maxIterations")
        self._most = plan.max_iterations
        self._offered: deque[Suggestion] = deque()
        self._open: set[int] = set()
        self._made: set[int] = set()
        self._over: set[int] = set()
        self._next = 0
        self.iteration = 0
        for trial in history:
            self.tell(trial)

    def offer(self, iteration: int, batch: Sequence[Params]) -> None:
        """Takes the values of the next batch; an empty one ends the sweep.

        Args:
            iteration: which batch this is, from 0; one that is known already changes nothing.
            batch: the values to try.

        Raises:
            FailedPrecondition: it is not this batch's turn.
        """
        if iteration < self.iteration:
            return
        if iteration > self.iteration or not self.wants_batch:
            raise FailedPrecondition(
                f"batch {iteration} comes too early: batch {self.iteration} is next, "
                "when the trials before have ended"
            )
        for index, params in enumerate(batch, self._next):
            if index not in self._made:
                self._offered.append(Suggestion(index, params, iteration=iteration))
            if index not in self._over:
                self._open.add(index)
        self._next += len(batch)
        self.iteration = iteration + 1 if batch else self._most

    @property
    def wants_batch(self) -> bool:
        """Whether the component is to be asked for the next batch."""
        return not self._open and self.iteration < self._most

    def suggest(self, n: int) -> Sequence[Suggestion]:
        """Returns up to `n` of what was offered."""
        found = [self._offered.popleft() for _ in range(min(n, len(self._offered)))]
        self._made.update(suggestion.index for suggestion in found)
        return found

    def tell(self, trial: Trial) -> None:
        """Takes note of a trial."""
        self._made.add(trial.index)
        if trial.is_over:
            self._over.add(trial.index)
            self._open.discard(trial.index)

    @property
    def is_exhausted(self) -> bool:
        """Whether the last batch was suggested."""
        return not self._offered and self.iteration >= self._most
