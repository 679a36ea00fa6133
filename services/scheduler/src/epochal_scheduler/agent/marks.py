"""Finds processes by a variable in their environment, wherever they have gone to.

A process group is left by calling setsid, a parent by outliving it; the environment a process was
started with stays. Used by the agent and, alone and without site-packages, by the warden: imports
nothing but the standard library. On systems without /proc only process groups are known.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator


def find_marked(*marks: str) -> Iterator[int]:
    """Yields the process ids whose environment holds every one of `NAME=value`."""
    wanted = [f"\0{mark}\0".encode() for mark in marks]
    try:
        entries = os.listdir("/proc")
    except OSError:
        return
    own = os.getpid()
    for entry in entries:
        if not entry.isdigit() or int(entry) == own:
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                environment = b"\0" + file.read()
        except OSError:  # gone, or another account's
            continue
        if all(mark in environment for mark in wanted):
            yield int(entry)


def kill_marked(*marks: str) -> int:
    """Kills every process so marked, until none is found; returns how many there were."""
    killed = 0
    for _ in range(5):  # what is killed may have forked just before
        found = list(find_marked(*marks))
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed += 1
        if not found:
            break
    return killed
