"""One attempt that this agent has."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import epochal_proto.v1 as pb

from epochal_scheduler.agent.launching import Launch


@dataclass(slots=True)
class HeldAttempt:
    """An attempt that this agent has; `stop` ends its process.

    `launch` is known from when its process runs, for whoever wants to look inside; `active` rings
    when somebody used its service; `capturing` records beside it what it is made of.
    """

    item: pb.WorkItem
    reason: str = ""
    launch: Launch | None = None
    active: asyncio.Event = field(default_factory=asyncio.Event)
    capturing: asyncio.Task[None] | None = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ref(self) -> pb.AttemptRef:
        """Which attempt it is."""
        item = self.item
        return pb.AttemptRef(run=item.run, attempt=item.attempt, fence=item.fence)

    def stop(self, reason: str) -> None:
        """Asks that its process be ended."""
        self.reason = self.reason or reason
        self._stopping.set()

    async def wait_stopped(self) -> None:
        """Waits until someone asks."""
        await self._stopping.wait()
