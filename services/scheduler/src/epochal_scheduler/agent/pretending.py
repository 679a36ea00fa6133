"""An executor that starts nothing: every attempt ends well at once.

Only for measuring what the platform itself can do; no run that anybody needs goes through it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from epochal_kernel.clock import Clock

from epochal_scheduler.agent.held import HeldAttempt
from epochal_scheduler.agent.ports import Scheduler
from epochal_scheduler.domain.attempts import Exited


@dataclass(frozen=True, slots=True)
class NoopExecutor:
    """Pretends to run attempts; implements `AttemptExecutor`."""

    scheduler: Scheduler
    clock: Clock

    async def execute(self, held: HeldAttempt, released: asyncio.Event) -> None:
        """Reports a start and an end with exit code 0."""
        try:
            if await self.scheduler.report_started(held.ref, self.clock.now()):
                await self.scheduler.report_exited(held.ref, Exited(0))
        finally:
            released.set()
