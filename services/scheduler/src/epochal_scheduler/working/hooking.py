"""What follows a run's end: the hooks of its spec, each a run of its own, once.

A hook that only tells someone (`slack`, `notifier` ...) is a run too, over as soon as it exists:
its event is what the notifier delivers, to the subscriptions that have the connection's name. What
`plugins.notifications` asks for is such an event of the run that ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from uuid import uuid5

import epochal_proto.v1 as pb
from epochal_kernel.errors import AlreadyExists
from pydantic import JsonValue

from epochal_scheduler.domain import creating, ending
from epochal_scheduler.domain.creating import CreateRun
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.domain.statuses import word
from epochal_scheduler.spec.children import ChildCompiler
from epochal_scheduler.spec.compiled import OperationPlan, PlannedHook
from epochal_scheduler.spec.contexts import RunScope
from epochal_scheduler.spec.issues import SpecError
from epochal_scheduler.values import from_value
from epochal_scheduler.working.commands import RunCommands, Target
from epochal_scheduler.working.making import Provenance, RunMaker


@dataclass(frozen=True, slots=True)
class Hooks:
    """Runs hooks."""

    commands: RunCommands
    maker: RunMaker

    async def run_hooks(self, target: Target) -> None:
        """Starts every hook that a run's end asks for; twice is once.

        Raises:
            EpochalError: not all are started; to be done again.
        """
        state = await self.commands.load(target.run_id)
        if not state.is_over or not state.created.compiled_json:
            return
        plan = OperationPlan.from_json(state.created.compiled_json)
        end = f"{state.attempt}.{state.resumptions}"
        for index, hook in enumerate(plan.hooks or ()):
            if _is_due(hook, state):
                await self._start(target, state, plan, index)
        wanted = (plan.plugins and plan.plugins.notifications) or ()
        for index, notification in enumerate(wanted):
            if (notification.trigger or "done") in ("done", word(state.status)):
                key = f"notification/{index}/{end}"
                await self._tell(target, state, notification.connections, key)

    async def _tell(
        self, target: Target, state: RunState, connections: Sequence[str], key: str
    ) -> None:
        status, message = word(state.status), state.message
        await self.commands.execute(
            target, lambda known: ending.tell(known, connections, status, message, key)
        )

    async def _start(
        self, target: Target, state: RunState, plan: OperationPlan, index: int
    ) -> None:
        end = f"{state.attempt}.{state.resumptions}"
        run_id = uuid5(target.run_id, f"hook/{index}/{end}")
        _, org, _, project, *_ = state.name.split("/")
        scope = RunScope(
            org,
            project,
            run_id,
            state.created.creator,
            self.commands.clock.now(),
            status=word(state.status),
        )
        outputs: dict[str, JsonValue] = {n: from_value(v) for n, v in state.outputs.items()}
        provenance = Provenance(
            origin=state.name,
            origin_kind="hook",
            edges=[pb.RunEdge(kind="hook", source=state.name)],
        )
        try:
            ended = replace(scope, run_id=target.run_id)
            compiled = ChildCompiler(plan).compile_hook(index, scope, outputs, ended)
        except SpecError as error:
            created = pb.RunCreated(
                name=scope.run_name,
                display_name=f"hook-{index + 1}",
                kind=pb.RUN_KIND_JOB,
                creator=scope.creator,
                origin=state.name,
                origin_kind="hook",
            )
            command = CreateRun(created, failed_because=error.message)
        else:
            if compiled is None or compiled.plan.is_skipped:
                return
            command = await self.maker.make(compiled, scope, provenance=provenance)
        hook = Target(
            run_id, target.org_id, scope.run_name, target.correlation_id, target.causation_id
        )
        with suppress(AlreadyExists):
            await self.commands.execute(hook, lambda known: creating.create(known, command))


def _is_due(hook: PlannedHook, state: RunState) -> bool:
    """Says whether a run ended as a hook asks; its condition is judged where it is compiled."""
    return (hook.trigger or "done") in ("done", word(state.status))
