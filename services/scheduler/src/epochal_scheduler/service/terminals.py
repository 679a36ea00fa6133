"""TerminalService: commands inside running runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.bus import Bus
from epochal_kernel.errors import Unimplemented
from epochal_kernel.rpc.context import CallContext

from epochal_scheduler.working.commands import RunCommands


@dataclass(frozen=True, slots=True)
class TerminalServer:
    """Handlers of TerminalService."""

    commands: RunCommands
    bus: Bus

    async def open_terminal(
        self, request: pb.OpenTerminalRequest, context: CallContext
    ) -> pb.Terminal:
        """Refuses: agents of this release take no commands."""
        raise Unimplemented("agents of this release take no commands")

    async def read_terminal(
        self, request: pb.ReadTerminalRequest, context: CallContext
    ) -> AsyncIterator[pb.TerminalOutput]:
        """Refuses."""
        for _ in (request,):
            raise Unimplemented("agents of this release take no commands")
        yield pb.TerminalOutput()

    async def write_terminal(
        self, request: pb.WriteTerminalRequest, context: CallContext
    ) -> pb.WriteTerminalResponse:
        """Refuses."""
        raise Unimplemented("agents of this release take no commands")
