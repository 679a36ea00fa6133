"""What controllers do to children: make them, stop them, resume them, read what they left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import AlreadyExists, FailedPrecondition
from pydantic import JsonValue

from epochal_scheduler.bells import StopBell
from epochal_scheduler.domain import approving, creating, ending, resuming
from epochal_scheduler.domain.creating import CreateRun, Reuse
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.domain.statuses import Status
from epochal_scheduler.projections import run_id_of
from epochal_scheduler.spec.children import ChildCompiler, JoinPlan, ParamReference
from epochal_scheduler.spec.compiled import CompiledOperation, OperationPlan
from epochal_scheduler.spec.contexts import RunScope
from epochal_scheduler.spec.issues import SpecError
from epochal_scheduler.spec.recompiling import recompile_operation, reopen
from epochal_scheduler.values import from_value
from epochal_scheduler.working.admitting import Admission
from epochal_scheduler.working.commands import RunCommands, Target
from epochal_scheduler.working.making import Provenance, RunMaker, Wishes
from epochal_scheduler.working.pipelines.pipeline import Pipeline
from epochal_scheduler.working.resolving import Resolver

AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Birth:
    """A child to be: its key among its siblings, and what it gets.

    `values` are parameters that only the pipeline knows; `references` and `joins` are looked up
    when it is made, those to steps among its `siblings`. `operation` is what it runs, if that is
    not what the pipeline's children run.
    """

    key: str
    step: str = ""
    iteration: int = 0
    values: Mapping[str, JsonValue] = field(default_factory=dict)
    references: Sequence[ParamReference] = ()
    joins: Sequence[JoinPlan] = ()
    siblings: Mapping[str, UUID] = field(default_factory=dict)
    schedule_time: datetime | None = None
    edges: Sequence[pb.RunEdge] = ()
    origin: str = ""
    overlaps: bool = False
    reuse: Reuse | None = None
    operation: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True)
class Nursery:
    """Makes and ends the children of one pipeline."""

    pipeline: Pipeline
    compiler: ChildCompiler
    commands: RunCommands
    admission: Admission
    maker: RunMaker
    resolver: Resolver
    bell: StopBell

    async def make(self, birth: Birth) -> Status:
        """Creates a child, unless it was created before; returns its status.

        What keeps it from being compiled (a value that does not fit, an output that is not there)
        makes a child that failed, with the reason in it.

        Raises:
            EpochalError: the platform cannot do it now.
        """
        run_id = self.pipeline.child_id(birth.key)
        scope = self._scope(run_id, birth)
        if birth.reuse is not None:
            compiled = await self._reused(birth.reuse)
            wishes = Wishes(priority=self.pipeline.created.priority)
            command = await self.maker.make(compiled, scope, wishes, self._provenance(birth))
            return await self.create(run_id, command)
        try:
            values = {**birth.values, **await self._looked_up(birth, scope)}
            if birth.operation is not None:
                compiled = recompile_operation(birth.operation, values, scope)
            else:
                compiled = self.compiler.compile(values, scope, birth.step)
        except SpecError as error:
            return await self.create(
                run_id, CreateRun(self._bare(birth, scope), failed_because=error.message)
            )
        wishes = Wishes(priority=self.pipeline.created.priority, cache=self._cache())
        if self.pipeline.created.queue and compiled.plan.queue == "default":
            wishes = replace(wishes, queue=self.pipeline.created.queue)
        command = await self.maker.make(compiled, scope, wishes, self._provenance(birth))
        return await self.create(run_id, command)

    async def end_unborn(
        self, birth: Birth, *, skipped: str = "", upstream: str = "", reason: str = ""
    ) -> Status:
        """Creates a child that never starts: skipped by a rule, or for want of an upstream."""
        run_id = self.pipeline.child_id(birth.key)
        created = self._bare(birth, self._scope(run_id, birth))
        if reason:
            created.description = reason
        return await self.create(
            run_id, CreateRun(created, skipped_because=skipped, upstream_failed=upstream)
        )

    async def create(self, run_id: UUID, command: CreateRun) -> Status:
        """Creates a child once; returns its status.

        Raises:
            EpochalError: the platform cannot do it now.
        """
        try:
            outcome = await self.admission.create(self._target(run_id), command)
        except AlreadyExists:
            return (await self.commands.load(run_id)).status
        return outcome.state.status

    async def stop(self, runs: Iterable[UUID], reason: str) -> None:
        """Stops children; those that have ended stay as they are."""
        places = asyncio.Semaphore(AT_ONCE)

        async def stop_one(run_id: UUID) -> None:
            async with places:
                with suppress(FailedPrecondition):
                    outcome = await self.commands.execute(
                        self._target(run_id),
                        lambda state: ending.stop(state, self.pipeline.name, reason),
                    )
                    ring(self.bell, outcome.state)

        async with asyncio.TaskGroup() as tasks:
            for run_id in runs:
                tasks.create_task(stop_one(run_id))

    async def let_go(self, run_id: UUID) -> None:
        """Lets a child go that waited for its siblings."""
        with suppress(approving.NotAwaited):
            await self.commands.execute(
                self._target(run_id),
                lambda state: approving.release_hold(state, approving.OVERLAP, "its turn has come"),
            )

    async def skip(self, run_id: UUID, reason: str) -> None:
        """Skips a child that has not started."""
        with suppress(FailedPrecondition):
            await self.commands.execute(
                self._target(run_id), lambda state: creating.skip(state, reason)
            )

    async def resume(self, run_id: UUID, reason: str) -> Status:
        """Lets a child that ended badly go on."""
        with suppress(resuming.NotResumable):
            outcome = await self.commands.execute(
                self._target(run_id),
                lambda state: resuming.resume(state, self.pipeline.name, reason),
            )
            return outcome.state.status
        return (await self.commands.load(run_id)).status

    async def _reused(self, reuse: Reuse) -> CompiledOperation:
        """Returns what the run was compiled to whose results stand in for a child's own."""
        source = await self.commands.load(run_id_of(reuse.source))
        params = {name: from_value(value) for name, value in source.created.params.items()}
        return reopen(OperationPlan.from_json(source.created.compiled_json), params)

    async def _looked_up(self, birth: Birth, scope: RunScope) -> dict[str, JsonValue]:
        found: dict[str, JsonValue] = {}
        if birth.references:
            project = self.pipeline.name.partition("/runs/")[0]
            found |= await self.resolver.references(
                birth.references, project, self.pipeline, birth.siblings
            )
        if birth.joins:
            values = {**birth.values, **found}
            found |= await self.resolver.joins(birth.joins, scope, values, birth.siblings)
        return found

    def _cache(self) -> pb.CacheUse:
        """Returns what the pipeline says of reuse; its caller's word counts before its spec's."""
        cache = self.pipeline.plan.cache
        if not self.pipeline.created.cache_use and cache is not None and cache.disable:
            return pb.CACHE_USE_OFF
        return self.pipeline.created.cache_use

    def _scope(self, run_id: UUID, birth: Birth) -> RunScope:
        return RunScope(
            self.pipeline.org,
            self.pipeline.project,
            run_id,
            self.pipeline.created.creator,
            self.commands.clock.now(),
            iteration=birth.iteration or None,
            schedule_at=birth.schedule_time,
            pipeline=str(self.pipeline.id),
            step=birth.step,
        )

    def _provenance(self, birth: Birth) -> Provenance:
        return Provenance(
            pipeline=self.pipeline.name,
            step=birth.step,
            iteration=birth.iteration,
            origin=birth.origin,
            origin_kind=_origin_kind(birth),
            edges=birth.edges,
            schedule_time=birth.schedule_time,
            reuse=birth.reuse,
            overlaps=birth.overlaps,
            upload=self.pipeline.created.upload,
        )

    def _bare(self, birth: Birth, scope: RunScope) -> pb.RunCreated:
        """Returns a child of which nothing is compiled: it never starts."""
        step = self.compiler.steps.get(birth.step)
        runtime = step.runtime if step is not None else "job"
        kinds = {"dag": pb.RUN_KIND_DAG, "matrix": pb.RUN_KIND_MATRIX}
        return pb.RunCreated(
            name=scope.run_name,
            display_name=birth.step or f"{self.pipeline.created.display_name}-{birth.iteration}",
            kind=kinds.get(runtime, pb.RUN_KIND_JOB),
            creator=scope.creator,
            pipeline=self.pipeline.name,
            step=birth.step,
            iteration=birth.iteration,
            edges=birth.edges,
        )

    def _target(self, run_id: UUID) -> Target:
        parent = self.pipeline.target
        return Target(
            run_id,
            parent.org_id,
            self.pipeline.child_name(run_id),
            parent.correlation_id,
            parent.causation_id,
            parent.traceparent,
        )


def _origin_kind(birth: Birth) -> str:
    """Returns how a child was made from another run: its results reused, or its files copied."""
    if not birth.origin:
        return ""
    return "fork" if birth.reuse is not None else "copy"


def ring(bell: StopBell, state: RunState) -> None:
    """Has the agent of a run that is to stop hear of it at once."""
    if state.status == pb.RUN_STATUS_STOPPING and state.agent:
        ref = pb.AttemptRef(run=state.name, attempt=state.attempt, fence=state.fence)
        bell.ring(state.agent, ref)
