"""Waits for what ends a process: itself, its timeout, or a stop; whichever is first."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass

from epochal_scheduler.agent.held import HeldAttempt
from epochal_scheduler.agent.processes import LocalProcess
from epochal_scheduler.agent.shipping import LogShipper
from epochal_scheduler.domain.attempts import Exited


@dataclass(frozen=True, slots=True)
class Supervisor:
    """Ends processes with a grace: SIGTERM to all of the group, a wait, SIGKILL."""

    stop_grace_s: float

    async def supervise(
        self, held: HeldAttempt, process: LocalProcess, shipper: LogShipper
    ) -> Exited:
        """Waits for the exit, the timeout or a stop, and says which it was."""
        async with asyncio.TaskGroup() as tasks:
            ending = tasks.create_task(process.wait())
            stopping = tasks.create_task(held.wait_stopped())
            await asyncio.wait(
                {ending, stopping},
                timeout=held.item.timeout_s or None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            stopped, timed_out = stopping.done(), False
            if not ending.done():
                timed_out = not stopped
                why = held.reason if stopped else f"timeout of {held.item.timeout_s} s"
                shipper.add("system", f"the process is ended: {why}")
                await self._end(process, ending)
            stopping.cancel()
            code = await ending
        interrupted = stopped and code != 0
        return Exited(code, timed_out, interrupted, held.reason if interrupted else "")

    async def _end(self, process: LocalProcess, ending: asyncio.Task[int]) -> None:
        process.signal_group(signal.SIGTERM)
        done, _ = await asyncio.wait({ending}, timeout=self.stop_grace_s)
        if not done:
            process.signal_group(signal.SIGKILL)


async def throttle(process: LocalProcess, shipper: LogShipper) -> None:
    """Stops reading while more lines wait than memory should hold."""
    while True:
        await shipper.full.wait()
        process.pause_output()
        await shipper.room.wait()
        process.resume_output()
