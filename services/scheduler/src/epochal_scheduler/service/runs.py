"""RunService, as far as it changes runs; queries are the tracker's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation
from epochal_kernel.ids import Ids
from epochal_kernel.log.ledger import Outcome
from epochal_kernel.log.reader import LogReader
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from google.protobuf.timestamp_pb2 import Timestamp

from epochal_scheduler.bells import StopBell
from epochal_scheduler.domain import creating, ending
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.projections import run_id_of
from epochal_scheduler.service.views import run_view
from epochal_scheduler.spec.compiled import CompiledOperation
from epochal_scheduler.spec.compiling import compile_operation
from epochal_scheduler.spec.contexts import RunScope
from epochal_scheduler.store import SchedulerStore
from epochal_scheduler.texts import assert_storable, storable
from epochal_scheduler.values import from_value, to_value
from epochal_scheduler.working.commands import RunCommands, Target
from epochal_scheduler.working.dispatching import Dispatcher

# From this size on a spec is compiled in a thread, so that other calls are still answered.
LARGE_SPEC_BYTES = 8 * 1024
# What fits a message of the bus, with the rest of the work item.
MAX_COMPILED_BYTES = 900_000
_NIL = UUID(int=0)


@dataclass(frozen=True, slots=True)
class RunServer:
    """Handlers of RunService."""

    commands: RunCommands
    store: SchedulerStore
    dispatcher: Dispatcher
    bell: StopBell
    progress: Progress
    reader: LogReader
    ids: Ids

    async def create_run(self, request: pb.CreateRunRequest, context: CallContext) -> pb.Run:
        """Creates a run, and has it released if it is a job."""
        assert_storable(request)
        run_id = self._run_id(request)
        scope = self._scope(request.parent, run_id, context)
        if request.WhichOneof("source") == "spec":
            compiled = await _compile(request.spec, request.params, scope)
            command = _job(request, compiled, scope)
        else:
            command = self._tracked(request, scope)
        if request.validate_only:
            events = creating.create(RunState(), command)
            assert isinstance(events[0], pb.RunCreated), "creation begins with it"
            return run_view(RunState(status=pb.RUN_STATUS_CREATED, created=events[0]))
        outcome = await self.commands.carry_out(
            run_id,
            command.name,
            lambda state: creating.create(state, command),
            context.command(request, request.request_id),
        )
        if outcome.state.status == pb.RUN_STATUS_QUEUED:
            target = Target(
                run_id,
                context.org_id,
                command.name,
                context.correlation_id,
                traceparent=context.traceparent,
            )
            self.dispatcher.release_soon(target)
        view = self._written(outcome, context)
        if not outcome.repeated:
            view.create_time.FromDatetime(scope.created_at)
        return view

    async def compile_operation(
        self, request: pb.CompileOperationRequest, context: CallContext
    ) -> pb.CompileOperationResponse:
        """Compiles a polyaxonfile for a run that is not made."""
        scope = self._scope(request.parent, _NIL, context)
        compiled = await _compile(request.spec, request.params, scope)
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
        state = outcome.state
        if state.status == pb.RUN_STATUS_STOPPING:
            ref = pb.AttemptRef(run=state.name, attempt=state.attempt, fence=state.fence)
            self.bell.ring(state.agent, ref)
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

    def _tracked(self, request: pb.CreateRunRequest, scope: RunScope) -> creating.CreateRun:
        start = Timestamp()
        start.FromDatetime(scope.created_at)
        given = request.tracked
        return creating.CreateRun(
            name=scope.run_name,
            display_name=request.display_name or _made_up_name(scope),
            creator=scope.creator,
            params=request.params,
            tags=request.tags,
            start_time=given.start_time if given.HasField("start_time") else start,
        )


def _job(
    request: pb.CreateRunRequest, compiled: CompiledOperation, scope: RunScope
) -> creating.CreateRun:
    plan = compiled.plan
    return creating.CreateRun(
        name=scope.run_name,
        display_name=request.display_name or plan.name or _made_up_name(scope),
        creator=scope.creator,
        params={name: to_value(value) for name, value in compiled.params.items()},
        tags={**dict.fromkeys(plan.tags or (), "true"), **request.tags},
        compiled_json=compiled.canonical_json,
        spec_digest=compiled.digest,
        max_retries=compiled.max_retries,
        timeout_s=compiled.timeout_s,
        queue=plan.queue,
        skipped_because="its condition is false" if plan.is_skipped else "",
    )


def _made_up_name(scope: RunScope) -> str:
    return f"run-{scope.run_id.hex[-8:]}"


async def _compile(
    source: bytes, params: Mapping[str, pb.Value], scope: RunScope
) -> CompiledOperation:
    overrides = {name: from_value(value) for name, value in params.items()}
    if len(source) < LARGE_SPEC_BYTES:
        compiled = compile_operation(source, overrides, scope)
    else:
        compiled = await asyncio.to_thread(compile_operation, source, overrides, scope)
    size = len(compiled.canonical_json.encode())
    if size > MAX_COMPILED_BYTES:
        message = f"the compiled operation has {size} bytes, more than {MAX_COMPILED_BYTES}"
        raise InvalidArgument(message, violations=[Violation("spec", "too_large", message)])
    return compiled
