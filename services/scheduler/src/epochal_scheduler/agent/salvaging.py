"""Sends what the tracking client of an ended process could not send itself.

A process that is killed leaves batches on disk that the platform has not got. The agent gives each
attempt a spool of its own, and before it reports the exit it has the client's own `sync` bring the
rest: with the run's token and while the run is still open, so that its telemetry can be sealed as
if the process had lived. It never decides how the run ends: that is bounded in time and told
nobody but the log.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from epochal_scheduler.agent.launching import Launch
from epochal_scheduler.agent.processes import LocalProcess

SYNC_S = 20.0
OUTPUT_S = 1.0

_log = structlog.get_logger(__name__)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Salvager:
    """Brings in what attempts leave behind.

    Attributes:
        python: the agent's interpreter, for processes that were not started by one.
        limit_s: how long the report of an exit may wait for it.
    """

    python: str
    limit_s: float = SYNC_S

    async def salvage(self, launch: Launch, say: Say) -> None:
        """Sends what is in the spool of an attempt whose processes are all gone.

        Args:
            launch: what was run.
            say: takes a line for the people who read the run's log.
        """
        if _remove_empty(launch.spool):
            return
        problem = await self._sync(launch)
        if not _remove_empty(launch.spool):
            problem = problem or "another process has it"
            say(f"telemetry of the process is kept in {launch.spool}: {problem}")
            _log.warning(
                "agent.spool_kept",
                run=launch.env["EPOCHAL_RUN"],
                spool=str(launch.spool),
                problem=problem,
            )

    async def _sync(self, launch: Launch) -> str:
        """Returns what went wrong, or nothing."""
        said: list[str] = []
        command = ("-m", "epochal.cli.main", "sync", str(launch.spool))
        syncing = replace(
            launch,
            argv=(self._interpreter(launch), *command),
            # The folder of the run is full of the user's modules: none of them is ours.
            env={**launch.env, "PYTHONSAFEPATH": "1"},
        )
        try:
            process = LocalProcess.start(syncing, lambda _, line: said.append(line))
        except OSError as error:
            return str(error)
        try:
            async with asyncio.timeout(self.limit_s):
                code = await process.wait()
        except TimeoutError:
            process.signal_group(signal.SIGKILL)
            await process.wait()
            said.append(f"it could not be sent within {self.limit_s:g} s")
            code = -signal.SIGKILL
        await process.drain_output(OUTPUT_S)
        if code == 0:
            return ""
        return next((line for line in reversed(said) if line.strip()), f"sync exited with {code}")

    def _interpreter(self, launch: Launch) -> str:
        """Returns the Python the client was imported by, as far as the command tells."""
        program = launch.argv[0]
        return program if Path(program).name.startswith("python") else self.python


def _remove_empty(spool: Path) -> bool:
    """Removes a spool in which no run is left; returns whether there is none."""
    if not spool.exists():
        return True
    with suppress(OSError):
        spool.rmdir()
    return not spool.exists()
