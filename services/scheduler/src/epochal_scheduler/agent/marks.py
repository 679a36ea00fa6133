"""Finds processes by a variable in their environment, wherever they have gone to.

A process group is left by calling setsid, a parent by outliving it; the environment a process was
started with stays. Used by the agent and, alone and without site-packages, by the warden: imports
nothing but the standard library. On systems without /proc only process groups are known.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

_Seen = frozenset[tuple[int, int]]


class Strangers:
    """Remembers which processes do not carry a mark, so that a search need not read them again.

    The mark is inherited and secret: a process without it never gets it. One is known by its id and
    the inode of its folder, which is never given to another.
    """

    def __init__(self, mark: str) -> None:
        self._mark = f"\0{mark}\0".encode()
        self._known: _Seen = frozenset()

    def find(self, *marks: str) -> Iterator[int]:
        """Yields the process ids whose environment holds the mark and every one of `NAME=value`."""
        wanted = [f"\0{mark}\0".encode() for mark in marks]
        known, seen, own = self._known, [], os.getpid()
        for pid, inode in _processes():
            if (pid, inode) in known:
                seen.append((pid, inode))
                continue
            environment = _environment(pid)
            # An empty one may be about to be filled, by a process between two programs.
            if len(environment) > 1 and self._mark not in environment and pid != own:
                seen.append((pid, inode))
            elif pid != own and all(mark in environment for mark in (self._mark, *wanted)):
                yield pid
        self._known = frozenset(seen)


def find_marked(*marks: str) -> Iterator[int]:
    """Yields the process ids whose environment holds every one of `NAME=value`."""
    own = os.getpid()
    for pid, _ in _processes():
        if pid == own:
            continue
        environment = _environment(pid)
        if all(f"\0{mark}\0".encode() in environment for mark in marks):
            yield pid


def _processes() -> Iterator[tuple[int, int]]:
    """Yields the id of every process, with the inode of its folder."""
    try:
        with os.scandir("/proc") as entries:
            yield from ((int(each.name), each.inode()) for each in entries if each.name.isdigit())
    except OSError:
        return


def _environment(pid: int) -> bytes:
    """Returns the variables of a process, each between two zero bytes; one byte if unknown."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            return b"\0" + file.read()
    except OSError:  # gone, or another account's
        return b"\0"


def kill_marked(*marks: str, strangers: Strangers | None = None) -> int:
    """Kills every process so marked, until none is found; returns how many there were."""
    killed: set[int] = set()  # one that is killed may be found again before it is gone
    find = strangers.find if strangers is not None else find_marked
    for _ in range(5):  # what is killed may have forked just before
        found = list(find(*marks))
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed.add(pid)
        if not found:
            break
    return len(killed)
