"""Real Python processes under test: started, awaited, killed, and read."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from epochal_testing.waiting import NotInTime, until

_LINE_LIMIT_BYTES = 4 * 1024 * 1024


class ProcessDied(AssertionError):
    """A process exited before it was ready."""


class PythonProcess:
    """A running Python process whose output is kept, line by line."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        """Wrap a started process; use `python_process`."""
        self._process = process
        self.name = name
        self.lines: list[str] = []
        self._reader = asyncio.create_task(self._read(), name=f"output of {name}")

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal, None while it runs."""
        return self._process.returncode

    @property
    def output(self) -> str:
        """Everything written to stdout and stderr so far."""
        return "\n".join(self.lines)

    async def until_line(self, pattern: str, timeout_s: float = 20.0) -> re.Match[str]:
        """Wait for a line that the regular expression finds, and return the match.

        Raises:
            ProcessDied: the process exited first.
            NotInTime: there was no such line before the deadline.
        """
        wanted = re.compile(pattern)

        def found() -> re.Match[str] | None:
            return next((match for line in self.lines if (match := wanted.search(line))), None)

        match = await self.until(found, timeout_s, what=f"a line like {pattern!r} of {self.name}")
        assert match is not None
        return match

    async def until(
        self,
        condition: Callable[[], object] | Callable[[], Awaitable[object]],
        timeout_s: float = 20.0,
        *,
        what: str = "",
    ) -> re.Match[str] | None:
        """Wait for a condition while the process lives; return its value when it is a match.

        Raises:
            ProcessDied: the process exited first.
            NotInTime: the condition was not true before the deadline.
        """

        async def true_or_dead() -> object:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            return value or (self._reader.done() and "dead")

        try:
            value = await until(true_or_dead, timeout_s, what=what)
        except NotInTime as error:
            raise NotInTime(f"{error}\nOutput of {self.name}:\n{self.output}") from error
        if value == "dead":
            raise ProcessDied(
                f"{self.name} exited with status {await self._process.wait()}:\n{self.output}"
            )
        return value if isinstance(value, re.Match) else None

    async def wait(self, timeout_s: float = 20.0) -> int:
        """Wait for the exit and the last line, and return the status.

        Raises:
            NotInTime: it still runs at the deadline.
        """
        try:
            async with asyncio.timeout(timeout_s):
                status = await self._process.wait()
                await asyncio.shield(self._reader)
        except TimeoutError:
            raise NotInTime(
                f"{self.name} still runs after {timeout_s:g} s:\n{self.output}"
            ) from None
        return status

    def send(self, number: signal.Signals) -> None:
        """Send a signal; harmless after the exit."""
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def kill(self) -> int:
        """Kill with SIGKILL, wait, and return the status."""
        self.send(signal.SIGKILL)
        return await self.wait()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))


@asynccontextmanager
async def python_process(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    failpoints: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> AsyncIterator[PythonProcess]:
    """Run `python ARGUMENTS` and kill what is left of it, with its children, at the end.

    Args:
        *arguments: such as `"-m", "epochal_tracker.main"` or `"-c", code`.
        environment: variables added to this process's own.
        failpoints: names and actions, such as `{"relay.after_publish": "kill"}`.
        folder: the working folder.
    """
    variables = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
    if failpoints:
        variables["EPOCHAL_FAILPOINTS"] = ",".join(f"{k}={v}" for k, v in failpoints.items())
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=variables,
        cwd=folder,
        start_new_session=True,
        limit=_LINE_LIMIT_BYTES,
    )
    process = PythonProcess(started, " ".join(arguments)[:60])
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):  # the whole session is gone already
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
