"""What the supervisor supervises: anything that starts, has a process, ends and can be stopped."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Protocol

from epochal_embedded.errors import ServerFailed, StartTimedOut
from epochal_embedded.forking.launching import Template
from epochal_embedded.probes import probe
from epochal_embedded.programs import Program, Wiring
from epochal_embedded.servers.children import (
    Child,
    Step,
    kill_session,
    read_tail,
    rotate_log,
    start_child,
)
from epochal_embedded.servers.complaints import file_errors
from epochal_embedded.servers.folders import make_folder

_POLL_S = 0.05


class Unit(Protocol):
    """One supervised process; PostgresServer and NatsServer are units too."""

    @property
    def name(self) -> str:
        """How it is called."""
        ...

    @property
    def port(self) -> int:
        """The loopback port it listens on, 0 for none."""
        ...

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        ...

    @property
    def probed(self) -> bool:
        """Whether `/readyz` is answered on its port."""
        ...

    async def start(self) -> None:
        """Start and return once it serves; raises ServerFailed."""
        ...

    async def wait(self) -> int:
        """Wait for the exit of the process."""
        ...

    async def stop(self) -> None:
        """Drain and stop; harmless when it does not run."""
        ...


class ProgramUnit:
    """A program of the platform, run by this interpreter."""

    def __init__(
        self, program: Program, wiring: Wiring, template: Template, *, timeout_s: float = 90.0
    ) -> None:
        """Describe the unit; nothing runs before `start`."""
        self._program = program
        self._wiring = wiring
        self._template = template
        self._timeout_s = timeout_s
        self._child: Child | None = None

    @property
    def name(self) -> str:
        """The program's name."""
        return self._program.name

    @property
    def port(self) -> int:
        """The port of its probes and metrics, 0 for none."""
        return self._wiring.ports[self._program.name] if self._program.probed else 0

    @property
    def probed(self) -> bool:
        """Whether the program answers `/readyz`."""
        return self._program.probed

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        running = self._child is not None and self._child.returncode is None
        return self._child.pid if running and self._child else None

    async def start(self) -> None:
        """Start the program and return once `/readyz` answers 200.

        Raises:
            ServerFailed: it exited first; StartTimedOut: it never became ready.
        """
        with file_errors(self.name):
            await self._start()

    async def _start(self) -> None:
        log = self._wiring.home.log_of(self.name)
        rotate_log(log)
        offset = log.stat().st_size if log.exists() else 0
        make_folder(self._wiring.home.root / self.name, 0o700)
        self._child = await self._launch(log)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._until_ready(self._child)
        except TimeoutError:
            await self.stop()
            raise StartTimedOut(
                self.name,
                f"it was not ready after {self._timeout_s:g} s",
                log_tail=read_tail(log, offset),
            ) from None
        except _Exited as exited:
            raise ServerFailed(
                self.name,
                f"it exited with status {exited.status} before it was ready",
                log_tail=read_tail(log, offset, 1_500),
            ) from None
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def _launch(self, log: Path) -> Child:
        environment = self._wiring.environment(self._program)
        folder = self._wiring.home.root
        module = self._program.module
        if self._program.shares_an_interpreter:
            return await self._template.fork(self.name, module, environment, log, folder)
        return await start_child(
            [sys.executable, "-m", module],
            log_path=log,
            environment=environment,
            death_signal=signal.SIGTERM,
            folder=folder,
        )

    async def wait(self) -> int:
        """Wait for the exit of the program."""
        if self._child is None:
            return 0
        status = await self._child.wait()
        kill_session(self._child.pid)
        return status

    async def stop(self) -> None:
        """Let the program drain, then kill it and what it left in its session."""
        if self._child is None:
            return
        await self._child.stop([Step(signal.SIGTERM, self._program.patience_s)])
        kill_session(self._child.pid)
        self._child = None

    async def _until_ready(self, child: Child) -> None:
        while True:
            if child.returncode is not None:
                raise _Exited(child.returncode)
            if not self._program.probed or (await probe(self.port)).ready:
                return
            await asyncio.sleep(_POLL_S)


class _Exited(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
