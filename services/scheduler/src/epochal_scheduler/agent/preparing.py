"""From a work item to a process that may start: planned, folders made, steps done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from epochal_scheduler.agent.cleaning import Cleaner
from epochal_scheduler.agent.held import HeldAttempt
from epochal_scheduler.agent.hosting import find_ports
from epochal_scheduler.agent.initializing.failing import InitFailed
from epochal_scheduler.agent.initializing.steps import Initializer, Prepared, has_steps
from epochal_scheduler.agent.launching import Host, Launch, plan_launch
from epochal_scheduler.agent.ports import ArtifactPort
from epochal_scheduler.agent.processes import make_folders

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Preparer:
    """Makes attempts ready."""

    host: Host
    store: ArtifactPort
    cleaner: Cleaner
    bind_host: str = "127.0.0.1"

    async def prepare(self, held: HeldAttempt, say: Say) -> tuple[Launch, Prepared] | None:
        """Does all that comes before the process; None when a stop came first.

        A run without steps is ready at once: nothing is awaited.

        Raises:
            InitFailed: a step failed, or the disk did.
            ValueError: no command, no compiled operation.
        """
        launch = plan_launch(held.item, self.host, partial(find_ports, self.bind_host))
        try:
            make_folders(launch)
            if held.item.attempt > 1:
                self.cleaner.needed(launch.home)
                launch.outputs_file.unlink(missing_ok=True)
        except OSError as error:
            message = f"the run's folder cannot be made: {error}"
            raise InitFailed(message, infrastructure=True) from error
        if not has_steps(held.item, launch):
            return launch, Prepared()
        done = await _unless_stopped(held, Initializer(held.item, launch, self.store, say))
        if done is None:
            return None
        if done.folder is not None and not launch.placed:
            launch = replace(launch, folder=done.folder)
        return launch, done


async def _unless_stopped(held: HeldAttempt, initializer: Initializer) -> Prepared | None:
    """Does the steps, or gives them up when a stop is asked for."""
    working = asyncio.create_task(initializer.run())
    stopping = asyncio.create_task(held.wait_stopped())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.wait({working, stopping})
        if not working.cancelled():
            working.exception()  # told already, or a stop came first and it does not matter
