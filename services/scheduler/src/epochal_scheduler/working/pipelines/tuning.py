"""Iterative sweeps: a component of the user suggests each batch, from all trials before it.

The component is a run like any other, of step `tuner`. It gets what its inputs name of
`iteration`, `configs` (the parameters of each trial so far), `metrics` (their values) and
`matrix`; its output `suggestions` is the list of the next batch's parameters, empty to end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import epochal_proto.v1 as pb
from pydantic import JsonValue

from epochal_scheduler.domain.statuses import TERMINAL
from epochal_scheduler.domain.sweeps.listing import IterativeSuggester
from epochal_scheduler.domain.sweeps.trials import Trial
from epochal_scheduler.projections.children import ChildRow
from epochal_scheduler.values import from_value
from epochal_scheduler.working.pipelines.children import Birth, Nursery
from epochal_scheduler.working.pipelines.pipeline import ChildFact, Pipeline
from epochal_scheduler.working.pipelines.sweeping import params_of

TUNER = "tuner"
OUTPUT = "suggestions"


@dataclass(slots=True)
class Tuning:
    """Asks the tuner of one sweep. No list of suggestions is an empty one: the sweep ends."""

    pipeline: Pipeline
    nursery: Nursery
    suggester: IterativeSuggester
    is_busy: bool = False

    async def recall(self, children: Sequence[ChildRow]) -> None:
        """Offers every batch that was suggested before, in order."""
        batches = sorted((row for row in children if row.step == TUNER), key=lambda r: r.iteration)
        for row in batches:
            if row.status == pb.RUN_STATUS_SUCCEEDED:
                self.suggester.offer(row.iteration - 1, await self._batch(row.run_id))
            elif row.status not in TERMINAL:
                self.is_busy = True

    async def ask(self, history: Sequence[Trial]) -> str:
        """Starts the tuner when the trials before have ended, unless it runs already.

        Returns why the sweep cannot go on, if the tuner has ended badly already.
        """
        if self.is_busy or not self.suggester.wants_batch:
            return ""
        iteration = self.suggester.iteration
        operation = self.pipeline.plan.tuner or {}
        self.is_busy = True
        matrix = self.pipeline.plan.matrix
        known = _known(iteration, history)
        if matrix is not None:
            known["matrix"] = matrix.model_dump(mode="json", by_alias=True, exclude_none=True)
        values = _declared(operation, known)
        birth = Birth(
            key=f"tuner/{iteration}",
            step=TUNER,
            iteration=iteration + 1,
            values=values,
            edges=[pb.RunEdge(kind="tb", source=self.pipeline.name)],
            operation=operation,
        )
        status = await self.nursery.make(birth)
        if status not in TERMINAL:
            return ""
        # It may have ended before this process led: then nothing tells of it any more.
        self.is_busy = False
        run_id = self.pipeline.child_id(birth.key)
        if status != pb.RUN_STATUS_SUCCEEDED:
            return await self._why(run_id, iteration)
        self.suggester.offer(iteration, await self._batch(run_id))
        return ""

    async def ended(self, fact: ChildFact) -> str:
        """Offers what the tuner suggested; returns why the sweep cannot go on, if it cannot."""
        self.is_busy = False
        if fact.status != pb.RUN_STATUS_SUCCEEDED:
            return await self._why(fact.run_id, fact.iteration - 1)
        self.suggester.offer(fact.iteration - 1, await self._batch(fact.run_id))
        return ""

    async def _why(self, run_id: UUID, iteration: int) -> str:
        state = await self.nursery.commands.load(run_id)
        return f"the tuner of batch {iteration + 1} did not succeed: {state.message}"

    async def _batch(self, run_id: UUID) -> list[Mapping[str, JsonValue]]:
        state = await self.nursery.commands.load(run_id)
        value = state.outputs.get(OUTPUT)
        found = from_value(value) if value is not None else None
        if not isinstance(found, list):
            return []
        return [item for item in found if isinstance(item, dict)]


def _known(iteration: int, history: Sequence[Trial]) -> dict[str, JsonValue]:
    trials = sorted(history, key=lambda trial: trial.index)
    return {
        "iteration": iteration,
        "configs": [params_of(trial.params) for trial in trials],
        "metrics": [trial.values[0] if trial.values else None for trial in trials],
    }


def _declared(
    operation: Mapping[str, JsonValue], known: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    inputs = operation.get("inputs")
    declared = inputs if isinstance(inputs, list) else []
    names = {io["name"] for io in declared if isinstance(io, dict)}
    return {name: value for name, value in known.items() if name in names}
