"""Local processes: started without a shell, in a session of their own, ended with all they started.

`subprocess` starts them by vfork, so the agent's size does not matter; exits are awaited on a
pidfd, so no thread is needed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache

from epochal_scheduler.agent.launching import MARK, Launch
from epochal_scheduler.agent.marks import Strangers, find_marked, kill_marked
from epochal_scheduler.agent.output import LineSplitter

CHUNK_BYTES = 256 * 1024

OnLine = Callable[[str, str], None]


class LocalProcess:
    """One running process and its output."""

    def __init__(self, launch: Launch, popen: subprocess.Popen[bytes], on_line: OnLine) -> None:
        """Wraps a started process; use `start`."""
        assert popen.stdout is not None
        assert popen.stderr is not None
        self._launch = launch
        self._popen = popen
        self._readers = [
            _Reader("stdout", popen.stdout.fileno(), on_line),
            _Reader("stderr", popen.stderr.fileno(), on_line),
        ]

    @classmethod
    def start(cls, launch: Launch, on_line: OnLine) -> LocalProcess:
        """Starts a process; its lines go to `on_line(stream, text)` from now on.

        Raises:
            OSError: the program or folder is not there, or may not be used.
        """
        popen = subprocess.Popen(
            launch.argv,
            cwd=launch.folder,
            env=dict(launch.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        return cls(launch, popen, on_line)

    @property
    def pid(self) -> int:
        """Process id, also of the process group and the session."""
        return self._popen.pid

    async def wait(self) -> int:
        """Waits for the exit and returns the code, negative for a signal."""
        return await wait_exit(self._popen)

    def signal_group(self, number: signal.Signals) -> None:
        """Sends a signal to the whole process group; harmless when it is gone."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def kill_rest(self) -> int:
        """Kills what the process left behind, in its group or out of it; returns how many."""
        self.signal_group(signal.SIGKILL)
        run, attempt = self._launch.env["EPOCHAL_RUN"], self._launch.env["EPOCHAL_ATTEMPT"]
        marks = (f"EPOCHAL_RUN={run}", f"EPOCHAL_ATTEMPT={attempt}")
        strangers = _strangers(f"{MARK}={self._launch.env[MARK]}")
        return await asyncio.to_thread(kill_marked, *marks, strangers=strangers)

    def signal_marked(self, number: signal.Signals) -> None:
        """Sends a signal to everything of this run, also what has left the process group."""
        run = f"EPOCHAL_RUN={self._launch.env['EPOCHAL_RUN']}"
        for pid in find_marked(f"{MARK}={self._launch.env[MARK]}", run):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    async def drain_output(self, timeout_s: float) -> None:
        """Waits until both streams have ended, then closes them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for reader in self._readers:
                    await reader.ended.wait()
        for reader in self._readers:
            reader.close()
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        self._popen.stdout.close()
        self._popen.stderr.close()

    def pause_output(self) -> None:
        """Reads no more: the process waits in its next write."""
        for reader in self._readers:
            reader.pause()

    def resume_output(self) -> None:
        """Reads on."""
        for reader in self._readers:
            reader.resume()


def make_folders(launch: Launch) -> None:
    """Makes the folders that a process expects to find, and no outputs of an attempt before.

    Raises:
        OSError: the disk is full or may not be written: the platform's fault.
    """
    launch.outputs.mkdir(parents=True, exist_ok=True)
    launch.spool.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


@lru_cache(maxsize=4)
def _strangers(mark: str) -> Strangers:
    """One memory for all processes of an agent."""
    return Strangers(mark)


class _Reader:
    """Reads one pipe as it fills."""

    def __init__(self, name: str, fd: int, on_line: OnLine) -> None:
        self._name = name
        self._fd = fd
        self._on_line = on_line
        self._splitter = LineSplitter()
        self.ended = asyncio.Event()
        os.set_blocking(fd, False)
        self.resume()

    def resume(self) -> None:
        if not self.ended.is_set():
            asyncio.get_running_loop().add_reader(self._fd, self._read)

    def pause(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)

    def close(self) -> None:
        if not self.ended.is_set():
            self._read()
            self._end()

    def _read(self) -> None:
        try:
            chunk = os.read(self._fd, CHUNK_BYTES)
        except BlockingIOError:
            return
        for line in self._splitter.feed(chunk):
            self._on_line(self._name, line)
        if not chunk:
            self._end()

    def _end(self) -> None:
        self.pause()
        for line in self._splitter.end():
            self._on_line(self._name, line)
        self.ended.set()


async def wait_exit(popen: subprocess.Popen[bytes]) -> int:
    """Waits for the exit of a process and returns the code, negative for a signal."""
    if hasattr(os, "pidfd_open"):
        await _readable(os.pidfd_open(popen.pid))
        return popen.wait()
    return await asyncio.to_thread(popen.wait)


async def _readable(fd: int) -> None:
    """Waits until a descriptor is readable, and closes it."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
