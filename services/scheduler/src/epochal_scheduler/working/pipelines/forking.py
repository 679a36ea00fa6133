"""Steps that a fork does not run again: their results are those of the run it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition, InvalidArgument, Violation

from epochal_scheduler.domain.creating import Reuse
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.domain.statuses import status_of, word
from epochal_scheduler.projections import run_id_of
from epochal_scheduler.spec.children import ChildCompiler
from epochal_scheduler.spec.compiled import OperationPlan
from epochal_scheduler.spec.suggestions import did_you_mean
from epochal_scheduler.store import SchedulerStore
from epochal_scheduler.working.commands import RunCommands
from epochal_scheduler.working.pipelines.graphs import graph_of


@dataclass(frozen=True, slots=True)
class Forks:
    """Finds what forks reuse."""

    commands: RunCommands
    store: SchedulerStore

    async def reused(
        self, origin: RunState, plan: OperationPlan, steps: Sequence[str]
    ) -> dict[str, Reuse]:
        """Returns the results of the steps that a fork does not run again, by step.

        Raises:
            FailedPrecondition: the run has no steps, or one that would be reused did not succeed.
            InvalidArgument: there is no such step.
        """
        if plan.runtime != "dag":
            raise FailedPrecondition(
                f"{origin.name} is no DAG; it has no steps to start from",
                reason="NOT_A_DAG",
                resource=origin.name,
            )
        graph = graph_of(ChildCompiler(plan))
        for name in steps:
            if name not in graph.steps:
                hint = did_you_mean(name, graph.steps)
                message = f"there is no step '{name}'; {hint}".rstrip("; ")
                raise InvalidArgument(message, violations=[Violation("steps", "unknown", message)])
        anew = graph.downstream(steps)
        children = {row.step: row for row in await self.store.children(run_id_of(origin.name))}
        found: dict[str, Reuse] = {}
        for step in graph.steps.keys() - anew:
            row = children.get(step)
            if row is None or row.status not in (pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_SKIPPED):
                status = "not there" if row is None else word(status_of(row.status))
                raise FailedPrecondition(
                    f"step '{step}' of {origin.name} is {status}, so it cannot be reused; "
                    "start from it as well",
                    reason="STEP_NOT_REUSABLE",
                    resource=origin.name,
                )
            if row.status == pb.RUN_STATUS_SUCCEEDED:
                state = await self.commands.load(row.run_id)
                why = f"reused {row.name}: the fork starts from {', '.join(steps)}, not from here"
                key = state.created.cache_key
                found[step] = Reuse(row.name, key, why, state.outputs)
        return found
