"""RunService, as far as people decide on runs that exist: approve, resume, pause, restart, skip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition, NotFound
from epochal_kernel.ids import Ids
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.context import CallContext
from epochal_proto.v1.services import RegistryService
from google.protobuf.message import Message

from epochal_scheduler.domain import approving, attempts, creating, curating, resuming
from epochal_scheduler.domain.approving import Verdict
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.projections import run_id_of
from epochal_scheduler.service.forking import Restarter
from epochal_scheduler.service.views import run_view
from epochal_scheduler.spec.contexts import RunScope
from epochal_scheduler.texts import assert_storable
from epochal_scheduler.working.commands import RunCommands

ROLES = ("viewer", "editor", "admin", "owner")


@dataclass(frozen=True, slots=True)
class ChangeServer:
    """Handlers of RunService that change runs that exist."""

    commands: RunCommands
    restarter: Restarter
    ids: Ids
    client: RpcClient

    async def approve_run(self, request: pb.ApproveRunRequest, context: CallContext) -> pb.Run:
        """Approves or denies a run."""
        verdict = Verdict(context.actor, rights(context), request.reason)
        decide = approving.deny if request.deny else approving.approve
        return await self._decide(request, context, lambda state: decide(state, verdict))

    async def release_run(self, request: pb.ReleaseRunRequest, context: CallContext) -> pb.Run:
        """Releases a run whose files are uploaded."""
        return await self._decide(
            request, context, lambda state: approving.release_hold(state, request.hold)
        )

    async def skip_run(self, request: pb.SkipRunRequest, context: CallContext) -> pb.Run:
        """Skips a run that has not started."""
        reason = request.reason or f"skipped by {context.actor}"

        def decide(state: RunState) -> Sequence[Message]:
            _assert_exists(state)
            return creating.skip(state, reason)

        return await self._decide(request, context, decide)

    async def resume_run(self, request: pb.ResumeRunRequest, context: CallContext) -> pb.Run:
        """Lets a run that ended badly go on."""
        return await self._decide(
            request, context, lambda state: resuming.resume(state, context.actor, request.reason)
        )

    async def rename_run(self, request: pb.RenameRunRequest, context: CallContext) -> pb.Run:
        """Gives a run another name for people."""
        name = request.display_name
        return await self._decide(
            request, context, lambda state: curating.rename(state, context.actor, name)
        )

    async def delete_run(self, request: pb.DeleteRunRequest, context: CallContext) -> pb.Run:
        """Deletes a run, unless a registered model version was made by it."""
        needed = await self.client.call(
            RegistryService.LIST_VERSIONS_OF_RUN,
            pb.ListVersionsOfRunRequest(run=request.name),
            context,
        )
        if needed.model_versions:
            raise FailedPrecondition(
                f"{request.name} made {', '.join(needed.model_versions)}: a run that a registered "
                "model version needs is not deleted; delete the versions first",
                reason="NEEDED_BY_MODEL_VERSION",
                resource=request.name,
            )
        return await self._decide(
            request, context, lambda state: curating.delete(state, context.actor)
        )

    async def restore_run(self, request: pb.RestoreRunRequest, context: CallContext) -> pb.Run:
        """Restores a deleted run."""
        return await self._decide(
            request, context, lambda state: curating.restore(state, context.actor)
        )

    async def pause_run(self, request: pb.PauseRunRequest, context: CallContext) -> pb.Run:
        """Lets a pipeline start nothing new."""
        return await self._decide(
            request, context, lambda state: resuming.pause(state, context.actor, request.reason)
        )

    async def unpause_run(self, request: pb.UnpauseRunRequest, context: CallContext) -> pb.Run:
        """Lets a paused pipeline go on."""
        now = self.commands.clock.now()
        return await self._decide(
            request,
            context,
            lambda state: resuming.unpause(state, context.actor, request.reason, now),
        )

    async def update_pipeline(
        self, request: pb.UpdatePipelineRequest, context: CallContext
    ) -> pb.Run:
        """Changes the limits of a pipeline."""
        return await self._decide(
            request,
            context,
            lambda state: resuming.update_pipeline(
                state, context.actor, request.concurrency, request.add_runs
            ),
        )

    async def record_outputs(
        self, request: pb.RecordOutputsRequest, context: CallContext
    ) -> pb.Run:
        """Records outputs that a process told itself."""
        return await self._decide(
            request, context, lambda state: attempts.record_outputs(state, request.outputs)
        )

    async def restart_run(self, request: pb.RestartRunRequest, context: CallContext) -> pb.Run:
        """Starts a run again as a new one; the old one stays as it is."""
        assert_storable(request)
        origin = await self.commands.load_named(request.name)
        if origin.kind == pb.RUN_KIND_TRACKED:
            raise FailedPrecondition(
                f"{origin.name} is tracked: its process is yours, and only you can start it again",
                reason="NOT_RESTARTABLE",
                resource=origin.name,
            )
        run_id = self.ids.uuid7()
        if request.request_id:
            run_id = uuid5(UUID(request.request_id), request.name)
        _, org, _, project, *_ = origin.name.split("/")
        scope = RunScope(
            org,
            project,
            run_id,
            context.actor,
            self.commands.clock.now(),
            cloning_kind="copy" if request.copy else "restart",
            original_uuid=origin.name.rpartition("/")[2],
        )
        command = await self.restarter.command(origin, request, scope)
        outcome = await self.commands.carry_out(
            run_id,
            scope.run_name,
            lambda state: creating.create(state, command),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return run_view(outcome.state)

    async def _decide(
        self,
        request: _Change,
        context: CallContext,
        decide: Callable[[RunState], Sequence[Message]],
    ) -> pb.Run:
        assert_storable(request)
        outcome = await self.commands.carry_out(
            run_id_of(request.name),
            request.name,
            decide,
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return run_view(outcome.state)


_Change = (
    pb.ApproveRunRequest
    | pb.ReleaseRunRequest
    | pb.SkipRunRequest
    | pb.ResumeRunRequest
    | pb.RenameRunRequest
    | pb.DeleteRunRequest
    | pb.RestoreRunRequest
    | pb.PauseRunRequest
    | pb.UnpauseRunRequest
    | pb.UpdatePipelineRequest
    | pb.RecordOutputsRequest
)


def rights(context: CallContext) -> frozenset[str]:
    """Returns by which names a caller may approve: their own, and each role they have."""
    held = ROLES[: ROLES.index(context.role) + 1] if context.role in ROLES else ()
    return frozenset({context.actor, *(f"roles/{role}" for role in held)})


def _assert_exists(state: RunState) -> None:
    if state.status == pb.RUN_STATUS_UNSPECIFIED:
        raise NotFound("there is no such run")
