"""The supervisor's side of the template process."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from epochal_embedded.errors import ServerFailed
from epochal_embedded.servers.children import Child, read_tail

_NAME = "template"
_STOP_PATIENCE_S = 5.0


class Template:
    """A running template process and the programs forked from it.

    It is started with the first fork, and again after it died: then the programs it forked are dead
    too, because the kernel ties them to it.
    """

    def __init__(self, log_path: Path, environment: Mapping[str, str]) -> None:
        """Say where its own words go and what it inherits; nothing runs yet."""
        self._log_path = log_path
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Forked]] = {}
        self._forked: dict[int, Forked] = {}

    async def start(self) -> None:
        """Start the template, which imports for a second or two before it answers."""
        async with self._starting:
            if self._process is not None and self._process.returncode is None:
                return
            log = os.open(
                self._log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            try:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "epochal_embedded.forking.template",
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    env=self._environment,
                    cwd="/",
                    start_new_session=True,
                )
            finally:
                os.close(log)
            self._reading = asyncio.create_task(self._read(self._process), name=_NAME)

    async def fork(
        self, name: str, module: str, environment: Mapping[str, str], log_path: Path, folder: Path
    ) -> Child:
        """Run a module as a program of its own, and return it.

        Raises:
            ServerFailed: the template died or could not fork.
        """
        await self.start()
        assert self._process is not None
        assert self._process.stdin is not None
        asked = next(self._numbers)
        answer = self._asked[asked] = asyncio.get_running_loop().create_future()
        request = {
            "asked": asked,
            "name": name,
            "module": module,
            "environment": dict(environment),
            "log": str(log_path),
            "folder": str(folder),
        }
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            await self._process.stdin.drain()
            forked = await answer
        except ConnectionError:
            raise self._died() from None
        finally:
            self._asked.pop(asked, None)
        return Child(forked, log_path)

    async def stop(self) -> None:
        """End the template; programs that still run are told to stop by the kernel."""
        if self._process is None or self._reading is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_PATIENCE_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self._hear(json.loads(line))
        await process.wait()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(self._died())
        for forked in list(self._forked.values()):
            with suppress(ProcessLookupError):
                forked.send_signal(signal.SIGKILL)
            forked.ended(-signal.SIGKILL)
        self._forked.clear()

    def _hear(self, message: dict[str, int]) -> None:
        if "status" in message:
            forked = self._forked.pop(message["pid"], None)
            if forked is not None:
                forked.ended(message["status"])
            return
        asked = self._asked.get(message["asked"])
        if "pid" in message:
            self._forked[message["pid"]] = forked = Forked(message["pid"])
            if asked is None or asked.done():  # nobody waits for it any more
                forked.send_signal(signal.SIGKILL)
            else:
                asked.set_result(forked)
        elif asked is not None and not asked.done():
            asked.set_exception(ServerFailed(_NAME, f"it could not fork: {message['error']}"))

    def _died(self) -> ServerFailed:
        tail = read_tail(self._log_path, limit_bytes=1_500)
        return ServerFailed(_NAME, "the template process died", log_tail=tail)


class Forked:
    """A program forked by the template; the template tells when it has ended."""

    def __init__(self, pid: int) -> None:
        """Take the process id."""
        self._pid = pid
        self._ended = asyncio.Event()
        self._status: int | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal, None while it runs."""
        return self._status

    async def wait(self) -> int:
        """Wait for the exit and return its status."""
        await self._ended.wait()
        assert self._status is not None
        return self._status

    def send_signal(self, signal: int) -> None:
        """Send a signal; ProcessLookupError when it is gone."""
        os.kill(self._pid, signal)

    def ended(self, status: int) -> None:
        """Note the exit status."""
        self._status = status
        self._ended.set()
