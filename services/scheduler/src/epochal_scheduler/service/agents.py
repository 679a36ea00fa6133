"""AgentService: what agents say of their attempts, and what they are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import epochal_proto.v1 as pb
from epochal_kernel.log.commands import CommandContext
from epochal_kernel.rpc.context import CallContext
from google.protobuf.message import Message

from epochal_scheduler.bells import StopBell
from epochal_scheduler.domain import attempts
from epochal_scheduler.domain.attempts import Attempt, Exited
from epochal_scheduler.projections import run_id_of
from epochal_scheduler.store import SchedulerStore
from epochal_scheduler.texts import storable
from epochal_scheduler.working.admitting import Admission
from epochal_scheduler.working.commands import Decide, RunCommands

_LIVE = frozenset({pb.RUN_STATUS_STARTING, pb.RUN_STATUS_RUNNING})


@dataclass(frozen=True, slots=True)
class AgentServer:
    """Handlers of AgentService."""

    commands: RunCommands
    store: SchedulerStore
    bell: StopBell
    admission: Admission
    hold_s: float

    async def claim_attempt(
        self, request: pb.ClaimAttemptRequest, context: CallContext
    ) -> pb.ClaimAttemptResponse:
        """Gives an attempt to the agent that asks first."""
        attempt = _attempt(request.attempt)
        await self._decide(
            request.attempt,
            lambda state: attempts.claim(state, attempt, request.agent),
            _context(request, request.attempt, context),
            context,
        )
        return pb.ClaimAttemptResponse()

    async def report_started(
        self, request: pb.ReportStartedRequest, context: CallContext
    ) -> pb.ReportStartedResponse:
        """Notes that the user's process runs."""
        attempt = _attempt(request.attempt)
        await self._decide(
            request.attempt,
            lambda state: attempts.start(state, attempt, request.agent, request.start_time),
            _context(request, request.attempt, context),
            context,
        )
        return pb.ReportStartedResponse()

    async def report_exited(
        self, request: pb.ReportExitedRequest, context: CallContext
    ) -> pb.ReportExitedResponse:
        """Notes that the user's process ended, and decides what that means."""
        attempt = _attempt(request.attempt)
        message = storable(request.message)
        exited = Exited(
            request.exit_code,
            request.timed_out,
            request.stopped,
            message,
            dict(request.outputs),
            request.infrastructure,
        )
        await self._decide(
            request.attempt,
            lambda state: attempts.exit_process(
                state,
                attempt,
                request.agent,
                exited,
                self.commands.clock.now(),
                self.commands.backoff,
            ),
            _context(request, request.attempt, context),
            context,
        )
        return pb.ReportExitedResponse()

    async def report_service(
        self, request: pb.ReportServiceRequest, context: CallContext
    ) -> pb.ReportServiceResponse:
        """Notes that the service of an attempt answers."""
        attempt = _attempt(request.attempt)
        await self._decide(
            request.attempt,
            lambda state: attempts.serve(
                state, attempt, request.agent, request.host, request.ports
            ),
            _context(request, request.attempt, context),
            context,
        )
        return pb.ReportServiceResponse()

    async def heartbeat(
        self, request: pb.HeartbeatRequest, context: CallContext
    ) -> pb.HeartbeatResponse:
        """Renews an agent's leases; answers when there is something to stop, or after a while."""
        await self.store.heard_of(request)
        self.admission.seat(request)
        stop = await self._to_stop(request.attempts)
        if not stop:
            stop = await self.bell.wait(request.agent, self.hold_s)
        return pb.HeartbeatResponse(stop=stop)

    async def _to_stop(self, refs: Sequence[pb.AttemptRef]) -> list[pb.AttemptRef]:
        """Returns the attempts to end: those the view has doubts about, if the log agrees."""
        known = await self.store.standings([run_id_of(ref.run) for ref in refs])
        stop = []
        for ref in refs:
            status, fence = known.get(run_id_of(ref.run), (pb.RUN_STATUS_UNSPECIFIED, 0))
            if fence == ref.fence and status in _LIVE:
                continue
            state = await self.commands.load(run_id_of(ref.run))
            if state.wants_stopped(ref.attempt, ref.fence):
                stop.append(ref)
        return stop

    async def _decide(
        self, ref: pb.AttemptRef, decide: Decide, command: CommandContext, context: CallContext
    ) -> None:
        outcome = await self.commands.carry_out(run_id_of(ref.run), ref.run, decide, command)
        context.wrote(outcome.position)


def _attempt(ref: pb.AttemptRef) -> Attempt:
    return Attempt(ref.attempt, ref.fence)


def _context(request: Message, ref: pb.AttemptRef, context: CallContext) -> CommandContext:
    """Returns the context of a command; the run's name says whose it is, not the agent."""
    return replace(context.command(request), org_id=ref.run.split("/", 2)[1])
