"""Become another account, tie this process to its parent's life, and execute a program.

Run as a script by `children.Child`, with the interpreter's `-I -S` so that it costs milliseconds:

    launch.py PARENT_PID DEATH_SIGNAL UID GID PROGRAM [ARGUMENT...]

Why a script and not `preexec_fn`: Python code between fork and exec can deadlock in a process
with threads, and the parent-death signal has to be set after the change of account, which clears
it. On a system without `prctl` the program merely outlives a killed parent and the next start
stops it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_UNCHANGED = -1


def main(arguments: Sequence[str]) -> None:
    """Drop privileges, ask the kernel for the death signal, execute the program."""
    parent, death_signal, uid, gid = (int(value) for value in arguments[:4])
    program = list(arguments[4:])
    if uid != _UNCHANGED:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux" and death_signal:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # it died before the kernel knew of our wish
            sys.exit(1)
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
