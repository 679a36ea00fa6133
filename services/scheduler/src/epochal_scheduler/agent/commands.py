"""Short commands that the agent runs for an attempt, such as git: bounded, and never left behind.

They carry the marks of the attempt, so whatever ends its processes ends them too.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from epochal_scheduler.agent.launching import Launch
from epochal_scheduler.agent.processes import LocalProcess

KEPT_LINES = 20
OUTPUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended, and the last lines that it said."""

    code: int
    said: tuple[str, ...]

    @property
    def last_words(self) -> str:
        """The last line that says something."""
        return next((line for line in reversed(self.said) if line.strip()), f"exit {self.code}")


async def run_command(
    launch: Launch,
    argv: Sequence[str],
    folder: Path,
    more_env: Mapping[str, str],
    limit_s: float,
) -> Done:
    """Runs a command in a folder, for an attempt; kills it when it takes longer than its limit.

    Raises:
        OSError: the program is not there.
    """
    said: deque[str] = deque(maxlen=KEPT_LINES)
    command = replace(launch, argv=tuple(argv), folder=folder, env={**launch.env, **more_env})
    process = LocalProcess.start(command, lambda _, line: said.append(line))
    try:
        async with asyncio.timeout(limit_s):
            code = await process.wait()
    except TimeoutError:
        process.signal_group(signal.SIGKILL)
        code = await process.wait()
        said.append(f"it did not end within {limit_s:g} s")
    except asyncio.CancelledError:
        process.signal_group(signal.SIGKILL)
        await asyncio.shield(process.wait())
        raise
    finally:
        await process.drain_output(OUTPUT_S)
    return Done(code, tuple(said))
