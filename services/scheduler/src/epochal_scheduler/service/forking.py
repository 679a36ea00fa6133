"""A run made from another: restarted, copied, or forked from some steps of a DAG on.

The new run is compiled from the operation that the old one pinned, so it is the same work even if
the files it came from have changed since.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition

from epochal_scheduler.domain.creating import CreateRun
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.spec.compiled import CompiledOperation, OperationPlan
from epochal_scheduler.spec.contexts import RunScope
from epochal_scheduler.spec.recompiling import recompile_operation, reopen
from epochal_scheduler.values import from_value
from epochal_scheduler.working.making import Provenance, RunMaker, Wishes
from epochal_scheduler.working.pipelines.forking import Forks


@dataclass(frozen=True, slots=True)
class Restarter:
    """Makes runs from runs."""

    maker: RunMaker
    forks: Forks

    async def command(
        self, origin: RunState, request: pb.RestartRunRequest, scope: RunScope
    ) -> CreateRun:
        """Returns the command that creates the new run.

        Raises:
            FailedPrecondition: the run has no steps, one that would be reused did not succeed, or
                parameters are given for a run that its pipeline made.
            InvalidArgument: there is no such step.
            SpecError: a parameter does not fit.
        """
        compiled = self._compiled(origin, request, scope)
        kind = "fork" if request.steps else "copy" if request.copy else "restart"
        if request.steps:
            await self.forks.reused(origin, compiled.plan, request.steps)
        wishes = Wishes(
            display_name=request.display_name or origin.created.display_name,
            tags=dict(origin.created.tags),
            queue=origin.created.queue,
            priority=origin.created.priority,
            cache=request.cache or pb.CACHE_USE_OFF,
            backfill=origin.created.backfill if origin.created.HasField("backfill") else None,
        )
        provenance = Provenance(
            origin=origin.name,
            origin_kind=kind,
            edges=[pb.RunEdge(kind="run", source=origin.name)],
            fork_steps=tuple(request.steps),
            operation_json=origin.created.operation_json,
            upload=origin.created.upload,
        )
        return await self.maker.make(compiled, scope, wishes, provenance)

    @staticmethod
    def _compiled(
        origin: RunState, request: pb.RestartRunRequest, scope: RunScope
    ) -> CompiledOperation:
        created = origin.created
        params = {name: from_value(value) for name, value in created.params.items()}
        if not created.operation_json:
            if request.params:
                raise FailedPrecondition(
                    f"{origin.name} was made by {created.pipeline or 'an older release'}; its "
                    "parameters come from there: restart that, with other parameters or from "
                    "this step on",
                    reason="PARAMS_FROM_PIPELINE",
                    resource=origin.name,
                )
            return reopen(OperationPlan.from_json(created.compiled_json), params)
        given = {name: from_value(value) for name, value in request.params.items()}
        operation = json.loads(created.operation_json)
        return recompile_operation(operation, params | given, scope)
