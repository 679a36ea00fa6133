"""Removes the folders of runs whose time to live is over.

What is due is noted in files, so that an agent that comes back goes on where it stopped; two agents
that share a folder do the same work twice and harm nothing.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import structlog
from epochal_kernel.clock import Clock

EVERY_S = 15.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Cleaner:
    """Keeps the folder of an agent from growing for ever."""

    folder: Path
    clock: Clock

    def due(self, home: Path, ttl_s: int) -> None:
        """Notes that the folder of a run may go after a while.

        Raises:
            OSError: the note cannot be written.
        """
        note = self._note(home)
        note.parent.mkdir(exist_ok=True)
        note.touch()
        at = self.clock.now().timestamp() + ttl_s
        os.utime(note, (at, at))

    def needed(self, home: Path) -> None:
        """Notes that a run goes on, so that its folder stays."""
        self._note(home).unlink(missing_ok=True)

    async def run(self) -> None:
        """Removes what is due, until cancelled."""
        while True:
            removed = await asyncio.to_thread(self.sweep)
            if removed:
                _log.info("agent.folders_removed", folders=removed)
            await self.clock.sleep(EVERY_S)

    def sweep(self) -> int:
        """Removes what is due now; returns how many folders that were."""
        removed, now = 0, self.clock.now().timestamp()
        try:
            notes = list(os.scandir(self.folder / "expiring"))
        except FileNotFoundError:
            return 0
        for note in notes:
            gone = self.folder / "expired" / note.name
            try:
                if note.stat().st_mtime > now:
                    continue
                os.unlink(note.path)
                gone.parent.mkdir(exist_ok=True)
                # At once: an attempt that begins now finds nothing, not half of it.
                (self.folder / "runs" / note.name).rename(gone)
            except OSError:
                continue  # another agent was faster, or the run goes on
            removed += 1
        shutil.rmtree(self.folder / "expired", ignore_errors=True)
        return removed

    def _note(self, home: Path) -> Path:
        return self.folder / "expiring" / home.name
