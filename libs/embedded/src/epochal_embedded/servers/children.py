"""One child process: in its own session, logged to a file, stopped by a ladder of signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from epochal_embedded.servers.accounts import Account

_LAUNCH = Path(__file__).with_name("launch.py")
_LOG_LIMIT_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Step:
    """One rung of the ladder that stops a process: a signal and how long it may take."""

    signal: signal.Signals
    patience_s: float


class Process(Protocol):
    """What a running process is to its starter; asyncio's own process is one."""

    @property
    def pid(self) -> int:
        """The process id."""
        ...

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal, None while it runs."""
        ...

    async def wait(self) -> int:
        """Wait for the exit and return its status."""
        ...

    def send_signal(self, signal: int) -> None:
        """Send a signal; ProcessLookupError when it is gone."""
        ...


class Child:
    """A running program and the file its output goes to.

    The child dies with this process, by `death_signal`: an embedded server without its supervisor
    would hold its data folder and port against the next one. The kernel ties it to the *thread*
    that started it, so start children from a thread that lives as long as they should.
    """

    def __init__(self, process: Process, log_path: Path) -> None:
        """Wrap a started process; use `start_child`, or `Template.fork`."""
        self._process = process
        self.log_path = log_path

    @property
    def pid(self) -> int:
        """The process id; it stays the same from launch to exit."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal, None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for the process to exit and return its status."""
        return await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process if it still runs."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def stop(self, ladder: Sequence[Step]) -> int:
        """Send each signal in turn until the process is gone; SIGKILL is the last rung."""
        for step in ladder:
            self.send(step.signal)
            with suppress(TimeoutError):
                async with asyncio.timeout(step.patience_s):
                    return await self.wait()
        self.send(signal.SIGKILL)
        return await self.wait()


async def start_child(
    program: Sequence[str],
    *,
    log_path: Path,
    environment: Mapping[str, str],
    death_signal: signal.Signals,
    account: Account | None = None,
    folder: Path = Path("/"),
) -> Child:
    """Start a program in its own session with stdout and stderr appended to `log_path`.

    Its own session keeps a Ctrl-C at the terminal from reaching it before its supervisor drained.
    """
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            str(_LAUNCH),
            *(str(value) for value in (os.getpid(), int(death_signal), uid, gid)),
            *program,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    finally:
        os.close(log)
    return Child(process, log_path)


def kill_session(pid: int) -> None:
    """Kill what a stopped child left in the process group it led."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def rotate_log(path: Path, limit_bytes: int = _LOG_LIMIT_BYTES, *, keep: int = 3) -> bool:
    """Copy a log that is too long to `path.1` and empty it; return whether that happened.

    The writer holds the file open for appending, so it goes on at the new end. Lines written
    between the copy and the cut are lost, which a log of an embedded platform can bear.
    """
    try:
        if path.stat().st_size < limit_bytes:
            return False
    except FileNotFoundError:
        return False
    for number in range(keep, 1, -1):
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}.{number - 1}").replace(
                path.with_name(f"{path.name}.{number}")
            )
    path.with_name(f"{path.name}.1").write_bytes(path.read_bytes())
    os.truncate(path, 0)
    return True


def read_tail(path: Path, offset: int = 0, limit_bytes: int = 4_000) -> str:
    """Return the end of a log, from `offset` on and at most `limit_bytes` of it."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(offset, end - limit_bytes, 0) if end >= offset else 0)
            return file.read().decode("utf-8", "replace").strip()
    except FileNotFoundError:
        return ""


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process that cannot be mistaken for a later one with the same id."""

    pid: int
    started_at_s: float

    @classmethod
    def of(cls, pid: int) -> ProcessMark:
        """Mark a running process."""
        return cls(pid, psutil.Process(pid).create_time())

    @classmethod
    def read(cls, path: Path) -> ProcessMark | None:
        """Read a mark, or None when there is none or it was cut by a crash."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(int(found["pid"]), float(found["started_at_s"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Keep the mark beside the process's data."""
        text = json.dumps({"pid": self.pid, "started_at_s": self.started_at_s})
        path.write_text(text, encoding="utf-8")

    def process(self) -> psutil.Process | None:
        """Return the marked process while it lives, and never another one with its id."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_at_s) < 1.0
            alive = same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None


async def stop_orphan(process: psutil.Process, ladder: Sequence[Step]) -> None:
    """Stop a process that is not our child, such as one left by a killed supervisor."""
    for step in (*ladder, Step(signal.SIGKILL, 10.0)):
        try:
            process.send_signal(step.signal)
            await asyncio.to_thread(process.wait, step.patience_s)
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired:
            continue
        return
