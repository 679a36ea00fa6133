"""The supervisor process: `python -m epochal_embedded.supervisor --home DIR [--detach]`.

It takes the folder's lock before anything else, so that of two supervisors started at once exactly
one goes on. With `--detach` it leaves the terminal and the caller returns at once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from epochal_kernel.clock import SystemClock

from epochal_embedded.errors import AlreadyRunning, EmbeddedError, FolderInUse
from epochal_embedded.home import Home
from epochal_embedded.platform import Platform
from epochal_embedded.programs import programs
from epochal_embedded.servers.folders import FolderLock
from epochal_embedded.state import EXIT_ALREADY_RUNNING, EXIT_FAILED, PlatformReport

_LOCK_ATTEMPTS = 5
_LOCK_PAUSE_S = 0.02


def lock_home(home: Home) -> FolderLock:
    """Make the data folder ours while this process lives.

    Raises:
        AlreadyRunning: another supervisor has it.
        EmbeddedError: the folder cannot be made.
    """
    try:
        home.create()
    except OSError as error:
        raise EmbeddedError(
            f"The data folder {home.root} cannot be used: {error.strerror}. "
            "Choose another one with --home or EPOCHAL_HOME."
        ) from error
    lock = FolderLock(home.lock, "Epochal")
    for _ in range(_LOCK_ATTEMPTS):
        try:
            lock.acquire()
        except FolderInUse:
            time.sleep(_LOCK_PAUSE_S)  # a glance by `control.is_locked` takes it for an instant
        else:
            return lock
    raise AlreadyRunning(f"A platform already runs in {home.root}.")


def supervise(home: Home, told: Callable[[PlatformReport], None] = lambda report: None) -> None:
    """Run the platform until SIGTERM or SIGINT; the caller holds the lock.

    Raises:
        EmbeddedError: it could not start.
    """
    chosen = programs()

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        await Platform(home, chosen, SystemClock(), told=told).run(stop)

    asyncio.run(main())


def detach(log: Path) -> None:
    """Leave the terminal: the caller's process ends well, a new session goes on."""
    sys.stdout.flush()
    if os.fork() > 0:
        os._exit(0)
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (descriptor, 1), (descriptor, 2)):
        os.dup2(source, target)
    os.close(descriptor)
    os.close(nothing)
    os.chdir("/")


def main() -> None:
    """Parse the arguments, take the lock, supervise."""
    parser = argparse.ArgumentParser(description="Supervise one embedded Epochal platform.")
    parser.add_argument("--home", type=Path, required=True, help="the data folder")
    parser.add_argument("--detach", action="store_true", help="go on without the terminal")
    arguments = parser.parse_args()
    home = Home(arguments.home.absolute())
    try:
        lock = lock_home(home)
    except AlreadyRunning as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_ALREADY_RUNNING)
    except EmbeddedError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_FAILED)
    if arguments.detach:
        detach(home.log_of("supervisor"))
    try:
        supervise(home)
    except EmbeddedError as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(EXIT_FAILED)
    finally:
        lock.release()


if __name__ == "__main__":
    main()
