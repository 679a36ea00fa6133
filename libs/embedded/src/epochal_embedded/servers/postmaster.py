"""What PostgreSQL leaves in its data folder about the server that runs there, or ran."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from epochal_embedded.servers.children import Step, stop_orphan

_POLL_S = 0.02
_ORPHAN_PATIENCE_S = 5.0


def is_ready(pid_file: Path, pid: int) -> bool:
    """Read the postmaster's own word (line 8 of its pid file) that it accepts connections."""
    try:
        lines = pid_file.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, PermissionError):
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


async def clear_previous_life(data: Path, ladder: Sequence[Step]) -> None:
    """Stop whatever a killed server left in its data folder and remove a stale pid file.

    The caller holds the folder's lock, so no live supervisor owns these processes. PostgreSQL
    itself refuses to start while the number in `postmaster.pid` is alive, even if it now names
    a stranger: after a restart of a container, small numbers come back at once.
    """
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        pid = 0
    postmaster = _server_of(pid, data)
    if postmaster is not None:
        await stop_orphan(postmaster, ladder)
    deadline = time.monotonic() + _ORPHAN_PATIENCE_S
    while orphans := _backends_in(data):
        if time.monotonic() > deadline:
            for orphan in orphans:
                await stop_orphan(orphan, ())
        await asyncio.sleep(_POLL_S)
    with suppress(FileNotFoundError):
        pid_file.unlink()


def _server_of(pid: int, data: Path) -> psutil.Process | None:
    """Return the process if it is a PostgreSQL server that works in this data folder."""
    if pid <= 0:
        return None
    try:
        process = psutil.Process(pid)
        mine = process.name().startswith("postgres") and Path(process.cwd()) == data.resolve()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return process if mine else None


def _backends_in(data: Path) -> list[psutil.Process]:
    """Return every PostgreSQL process that works in this data folder."""
    named = (process.pid for process in psutil.process_iter(["name"]))
    return [found for pid in named if (found := _server_of(pid, data)) is not None]
