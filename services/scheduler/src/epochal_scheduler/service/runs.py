"""RunService, as far as it changes runs; queries are the tracker's."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
from epochal_kernel.ids import Ids
from epochal_kernel.log.ledger import Outcome
from epochal_kernel.log.reader import LogReader
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_scheduler.bells import StopBell
from epochal_scheduler.domain import creating, ending
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.projections import run_id_of
from epochal_scheduler.service.backfilling import backfill_source
from epochal_scheduler.service.compiling import SpecCompiler, assert_room
from epochal_scheduler.service.views import run_view
from epochal_scheduler.spec.contexts import RunScope
from epochal_scheduler.store import SchedulerStore
from epochal_scheduler.texts import assert_storable, storable
from epochal_scheduler.working.admitting import Admission
from epochal_scheduler.working.commands import RunCommands
from epochal_scheduler.working.making import Provenance, RunMaker, Wishes, tracked
from epochal_scheduler.working.pipelines.children import ring

_NIL = UUID(int=0)


@dataclass(frozen=True, slots=True)
class RunServer:
    """Handlers of RunService."""

    commands: RunCommands
    store: SchedulerStore
    compiler: SpecCompiler
    maker: RunMaker
    admission: Admission
    bell: StopBell
    progress: Progress
    reader: LogReader
    ids: Ids

    async def create_run(self, request: pb.CreateRunRequest, context: CallContext) -> pb.Run:
        """Creates a run, and has it released if it is a job."""
        assert_storable(request)
        run_id = self._run_id(request)
        scope = self._scope(request.parent, run_id, context)
        wishes = _wishes(request)
        if request.WhichOneof("source") == "spec":
            sources = [request.spec, *request.overlays]
            if request.HasField("backfill"):
                sources.append(backfill_source(request.backfill))
            compiled, operation = await self.compiler.compile(
                sources, request.params, scope, dict(request.files)
            )
            provenance = Provenance(operation_json=operation)
            command = await self.maker.make(compiled, scope, wishes, provenance)
            assert_room(self.admission.board, scope.org, command.created.queue)
        else:
            given = request.tracked
            start = given.start_time if given.HasField("start_time") else None
            command = tracked(scope, request.params, wishes, start)
        if request.validate_only:
            events = creating.create(RunState(), command)
            assert isinstance(events[0], pb.RunCreated), "creation begins with it"
            return run_view(RunState(status=pb.RUN_STATUS_CREATED, created=events[0]))
        outcome = await self.commands.create(
            run_id,
            command.name,
            lambda state: creating.create(state, command),
            context.command(request, request.request_id),
        )
        view = self._written(outcome, context)
        if not outcome.repeated:
            view.create_time.FromDatetime(scope.created_at)
        return view

    async def compile_operation(
        self, request: pb.CompileOperationRequest, context: CallContext
    ) -> pb.CompileOperationResponse:
        """Compiles a polyaxonfile for a run that is not made."""
        scope = self._scope(request.parent, _NIL, context)
        sources = [request.spec, *request.overlays]
        files = dict(request.files)
        compiled, _ = await self.compiler.compile(sources, request.params, scope, files)
        return pb.CompileOperationResponse(
            compiled_json=compiled.canonical_json,
            digest=compiled.digest,
            warnings=[issue.to_proto() for issue in compiled.warnings],
        )

    async def stop_run(self, request: pb.StopRunRequest, context: CallContext) -> pb.Run:
        """Asks a run to stop; its agent hears of it at once."""
        assert_storable(request)
        outcome = await self.commands.carry_out(
            run_id_of(request.name),
            request.name,
            lambda state: ending.stop(state, context.actor, request.reason),
            context.command(request, request.request_id),
        )
        ring(self.bell, outcome.state)
        return self._written(outcome, context)

    async def finish_run(self, request: pb.FinishRunRequest, context: CallContext) -> pb.Run:
        """Ends a tracked run; what its producers sealed before this call counts as sealed."""
        run_id = run_id_of(request.name)
        head = await self.reader.head()
        await self.progress.wait_for(head.position)
        producers = await self.store.producers(run_id)
        command = ending.FinishRun(
            status=request.status,
            message=storable(request.message),
            end_time=request.end_time if request.HasField("end_time") else None,
            force=request.force,
        )
        outcome = await self.commands.carry_out(
            run_id,
            request.name,
            lambda state: ending.finish(state, command, producers.unsealed),
            context.command(request, request.request_id),
        )
        return self._written(outcome, context)

    def _written(self, outcome: Outcome[RunState], context: CallContext) -> pb.Run:
        context.wrote(outcome.position)
        return run_view(outcome.state)

    def _run_id(self, request: pb.CreateRunRequest) -> UUID:
        """Returns the id asked for; or one that a repeated request gets again; or a new one."""
        if request.run_id:
            return UUID(request.run_id)
        if request.request_id:
            return uuid5(UUID(request.request_id), request.parent)
        return self.ids.uuid7()

    def _scope(self, parent: str, run_id: UUID, context: CallContext) -> RunScope:
        _, org, _, project = parent.split("/")
        return RunScope(org, project, run_id, context.actor, self.commands.clock.now())


def _wishes(request: pb.CreateRunRequest) -> Wishes:
    return Wishes(
        display_name=request.display_name,
        tags=request.tags,
        queue=request.queue,
        priority=request.priority,
        cache=request.cache,
        awaits_upload=request.awaits_upload,
        needs_approval=request.needs_approval,
        backfill=request.backfill if request.HasField("backfill") else None,
    )
