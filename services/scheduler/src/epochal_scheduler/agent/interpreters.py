"""What an interpreter is and has installed: asked once, and again when its packages change."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from epochal_scheduler.agent.commands import run_command
from epochal_scheduler.agent.launching import Launch

LIMIT_S = 20.0
KEPT = 32

# Reads the names of metadata folders: importing them all would take a second.
_ASK = r"""
import json, os, platform, re, sys
pattern = re.compile(r"(.+?)-([^-]+)(?:-py[0-9.]+)?\.(?:dist|egg)-info$")
found, folders = {}, []
for path in sys.path:
    try:
        names = os.listdir(path)
    except OSError:
        continue
    folders.append(path)
    for name in names:
        match = pattern.match(name)
        if match:
            found.setdefault(match[1].replace("_", "-").lower(), match[2])
name = platform.python_implementation() + " " + platform.python_version()
print(json.dumps({"interpreter": name, "packages": found, "folders": folders}))
"""


@dataclass(frozen=True, slots=True)
class Known:
    """An interpreter, its packages by name, and what could not be found out."""

    interpreter: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    stamps: tuple[tuple[str, int], ...] = ()


class Interpreters:
    """All interpreters that runs of this agent have used lately."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def find(self, launch: Launch) -> Known:
        """Returns what is known of the interpreter of a process, asking it if need be."""
        program = launch.argv[0]
        if not Path(program).name.startswith("python"):
            name = Path(program).name
            return Known(missing=(f"{name} is no Python: its packages are not known",))
        async with self._asking.setdefault(program, asyncio.Lock()):
            known = self._known.get(program)
            if known is None or _stamps([path for path, _ in known.stamps]) != known.stamps:
                known = await _ask(launch)
                if len(self._known) >= KEPT:
                    self._known.clear()
                if known.interpreter:
                    self._known[program] = known
            return known


async def _ask(launch: Launch) -> Known:
    try:
        done = await run_command(launch, [launch.argv[0], "-c", _ASK], launch.folder, {}, LIMIT_S)
        answer = json.loads(next(line for line in reversed(done.said) if line.startswith("{")))
    except (OSError, ValueError, StopIteration) as error:
        return Known(missing=(f"the interpreter does not tell its packages: {error!r}",))
    return Known(answer["interpreter"], answer["packages"], (), _stamps(answer["folders"]))


def _stamps(folders: list[str]) -> tuple[tuple[str, int], ...]:
    """Returns when each folder last changed: installing or removing a package changes it."""
    found: list[tuple[str, int]] = []
    for folder in folders:
        try:
            found.append((folder, os.stat(folder).st_mtime_ns))
        except OSError:
            found.append((folder, 0))
    return tuple(found)
