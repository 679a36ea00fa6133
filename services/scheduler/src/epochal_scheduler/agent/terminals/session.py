"""One command inside a run: its process, what it wrote and nobody has read yet, what it is sent."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, ResourceExhausted

from epochal_scheduler.agent.launching import Launch
from epochal_scheduler.agent.processes import wait_exit

CHUNK_BYTES = 64 * 1024
MOST_BYTES = 1024 * 1024
GRACE_S = 2.0
END_OF_INPUT = b"\x04"

# A process gets a terminal of its own by asking for it itself, in its new session.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A command line, and whether it gets a terminal and of what size."""

    command: Sequence[str]
    tty: bool
    rows: int = 24
    columns: int = 80


class Session:
    """A running command; ends with the attempt it is in, for it carries its marks."""

    def __init__(self, process: subprocess.Popen[bytes], master: int | None) -> None:
        """Wraps a started process; use `start`."""
        self._process = process
        self._master = master
        self._input = master if master is not None else _fd(process.stdin)
        self._waiting = bytearray()
        self._ends_input = False
        self._takes_input = True
        self._changed = asyncio.Event()
        outputs = [master] if master is not None else [_fd(process.stdout), _fd(process.stderr)]
        self._outputs = [_Output(fd, self._changed) for fd in outputs]
        os.set_blocking(self._input, False)
        self._exit: asyncio.Task[int] = asyncio.create_task(wait_exit(process))
        self._exit.add_done_callback(lambda _: self._changed.set())

    @classmethod
    def start(cls, launch: Launch, wanted: Wanted) -> Session:
        """Starts a command in the folder and environment of an attempt.

        Raises:
            InvalidArgument: there is no such program, or the text is none a process can be given.
        """
        command = list(wanted.command) or [launch.env.get("SHELL") or "/bin/sh"]
        env = {**launch.env, **({"TERM": "xterm-256color"} if wanted.tty else {})}
        try:
            if not wanted.tty:
                pipe = subprocess.PIPE
                process = subprocess.Popen(
                    command, cwd=launch.folder, env=env, stdin=pipe, stdout=pipe, stderr=pipe,
                    start_new_session=True, bufsize=0,
                )  # fmt: skip
                return cls(process, None)
            return cls._start_on_terminal(command, launch, env, wanted)
        except (OSError, ValueError) as error:
            raise InvalidArgument(f"the command cannot be started: {error}") from error

    @classmethod
    def _start_on_terminal(
        cls, command: list[str], launch: Launch, env: dict[str, str], wanted: Wanted
    ) -> Session:
        master, slave = pty.openpty()
        try:
            _resize(master, wanted.rows or 24, wanted.columns or 80)
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _TAKE_TERMINAL, *command],
                cwd=launch.folder, env=env, stdin=slave, stdout=slave, stderr=slave,
                start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError):
            os.close(master)
            raise
        finally:
            os.close(slave)
        return cls(process, master)

    async def read(self, hold_s: float) -> pb.TerminalOutput:
        """Returns what was written since the last read, waiting a while for the first byte.

        The exit code comes with the last of it; after that there is nothing to read any more.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(hold_s):
                while not self._has_news():
                    self._changed.clear()
                    await self._changed.wait()
        output = pb.TerminalOutput(data=self._outputs[0].take())
        if len(self._outputs) > 1:
            output.error = self._outputs[1].take()
        if self.ended and all(each.is_empty for each in self._outputs):
            output.exit_code = self._exit.result()
        return output

    @property
    def ended(self) -> bool:
        """Whether its process is gone and all that it wrote was taken from it."""
        return self._exit.done() and all(each.ended for each in self._outputs)

    def write(self, request: pb.WriteTerminalRequest) -> None:
        """Gives it input, a size, a signal, the end of input.

        Raises:
            ResourceExhausted: it does not read what it was given before.
            InvalidArgument: there is no such signal.
        """
        if self._master is not None and (request.rows or request.columns):
            _resize(self._master, request.rows or 24, request.columns or 80)
        if len(self._waiting) + len(request.data) > MOST_BYTES:
            raise ResourceExhausted("the command does not read its input", retry_after_s=0.2)
        if self._takes_input:
            self._waiting += request.data
            self._ends_input = self._ends_input or request.end
            if request.end and self._master is not None:
                self._waiting += END_OF_INPUT
            self._send()
        if request.signal:
            self._signal(request.signal)

    async def close(self) -> None:
        """Ends the command and all of its session, and frees what it holds."""
        self._kill(signal.SIGHUP)
        done, _ = await asyncio.wait({self._exit}, timeout=GRACE_S)
        if not done:
            self._kill(signal.SIGKILL)
            await asyncio.wait({self._exit}, timeout=GRACE_S)
        if self._takes_input:
            asyncio.get_running_loop().remove_writer(self._input)
        for each in self._outputs:
            each.close()
        if self._master is not None:
            os.close(self._master)
            return
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _has_news(self) -> bool:
        return self.ended or any(not each.is_empty for each in self._outputs)

    def _send(self) -> None:
        """Writes what the command takes now; the rest when it takes more."""
        loop = asyncio.get_running_loop()
        loop.remove_writer(self._input)
        try:
            while self._waiting:
                del self._waiting[: os.write(self._input, self._waiting[:CHUNK_BYTES])]
        except BlockingIOError:
            loop.add_writer(self._input, self._send)
            return
        except OSError:
            self._waiting.clear()  # it reads no more
        if self._ends_input and self._process.stdin is not None:
            self._takes_input = False
            self._process.stdin.close()

    def _signal(self, number: int) -> None:
        """Sends a signal to what is in the foreground of the terminal, else to the session."""
        if number not in {int(each) for each in signal.valid_signals()}:
            raise InvalidArgument(f"there is no signal {number}")
        group = self._process.pid
        if self._master is not None:
            with suppress(OSError):
                group = os.tcgetpgrp(self._master)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)

    def _kill(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


class _Output:
    """What one stream wrote and nobody has read; reading pauses while that is much."""

    def __init__(self, fd: int, changed: asyncio.Event) -> None:
        self._fd = fd
        self._changed = changed
        self._data = bytearray()
        self.ended = False
        os.set_blocking(fd, False)
        asyncio.get_running_loop().add_reader(fd, self._read)

    @property
    def is_empty(self) -> bool:
        return not self._data

    def take(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        if not self.ended:
            asyncio.get_running_loop().add_reader(self._fd, self._read)
        return data

    def close(self) -> None:
        self.ended = True
        asyncio.get_running_loop().remove_reader(self._fd)

    def _read(self) -> None:
        try:
            chunk = os.read(self._fd, CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""  # a terminal says so when nobody holds its other end
        self._data += chunk
        if not chunk:
            self.close()
        elif len(self._data) >= MOST_BYTES // 4:
            asyncio.get_running_loop().remove_reader(self._fd)
        self._changed.set()


def _fd(stream: object) -> int:
    found: int = stream.fileno()  # type: ignore[attr-defined]  # a pipe of Popen
    return found


def _resize(master: int, rows: int, columns: int) -> None:
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
