"""TerminalService: commands inside running runs, handed on to the agent that holds the run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeVar

import epochal_proto.v1 as pb
from epochal_kernel.bus import Bus, adapting
from epochal_kernel.errors import FailedPrecondition, NotFound
from epochal_kernel.rpc import wire
from epochal_kernel.rpc.context import CallContext
from google.protobuf.message import Message

from epochal_scheduler.domain.statuses import word
from epochal_scheduler.projections import run_id_of
from epochal_scheduler.terminal_subjects import HOLD_S, Verb, terminal_subject
from epochal_scheduler.working.commands import RunCommands

ANSWER_S = 5.0

ResponseT = TypeVar("ResponseT", bound=Message)


@dataclass(frozen=True, slots=True)
class TerminalServer:
    """Handlers of TerminalService."""

    commands: RunCommands
    bus: Bus

    async def open_terminal(
        self, request: pb.OpenTerminalRequest, context: CallContext
    ) -> pb.Terminal:
        """Starts a command in the folder and environment of a running run."""
        agent = await self._agent(request.run)
        return await self._ask(agent, "open", request, pb.Terminal)

    async def read_terminal(
        self, request: pb.ReadTerminalRequest, context: CallContext
    ) -> AsyncIterator[pb.TerminalOutput]:
        """Sends what a command writes, until it has ended.

        One question at a time: what a slow reader does not take stays with the agent, which reads
        no further than its buffer.
        """
        agent = await self._agent(request.run)
        while True:
            output = await self._ask(agent, "read", request, pb.TerminalOutput)
            if output.data or output.error or output.HasField("exit_code"):
                yield output
            if output.HasField("exit_code"):
                return

    async def write_terminal(
        self, request: pb.WriteTerminalRequest, context: CallContext
    ) -> pb.WriteTerminalResponse:
        """Gives a command input, a size, a signal, or the end of input."""
        agent = await self._agent(request.run)
        return await self._ask(agent, "write", request, pb.WriteTerminalResponse)

    async def _agent(self, run: str) -> str:
        """Returns the agent that holds a run.

        Raises:
            NotFound: there is no such run.
            FailedPrecondition: its process does not run.
        """
        state = await self.commands.load(run_id_of(run))
        # The right was checked for the project that the caller named: the run must be of that one.
        if state.name != run:
            raise NotFound(f"there is no {run}", resource=run)
        if not state.agent or not state.started:
            raise FailedPrecondition(
                f"{run} is {word(state.status)}: commands run only beside its process",
                reason="NOT_RUNNING",
                resource=run,
            )
        return state.agent

    async def _ask(
        self, agent: str, verb: Verb, request: Message, kind: type[ResponseT]
    ) -> ResponseT:
        """Asks an agent.

        Raises:
            EpochalError: what the agent refused; Unavailable when it is gone.
        """
        with adapting():
            answer = await self.bus.client.request(
                terminal_subject(agent, verb),
                request.SerializeToString(),
                timeout=HOLD_S + ANSWER_S,
            )
        headers = answer.headers or {}
        if wire.ERROR_CODE in headers:
            raise wire.decode_error(answer.data, headers.get(wire.ERROR, ""))
        return kind.FromString(answer.data)
