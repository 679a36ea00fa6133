"""One life of the platform: servers first, then all programs at once, and then the reverse."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from epochal_kernel.acts import Act
from epochal_kernel.clock import Clock

from epochal_embedded.errors import EmbeddedError, PlatformNotReady
from epochal_embedded.forking.launching import Template
from epochal_embedded.home import Home, Secrets, Servers, keep_ports, write_client
from epochal_embedded.programs import Program, Wiring, inherited, port_names
from epochal_embedded.sandboxes.mark import may, runnable
from epochal_embedded.servers import NatsServer, PostgresServer
from epochal_embedded.servers.children import ProcessMark, Step, rotate_log, stop_orphan
from epochal_embedded.servers.complaints import file_errors
from epochal_embedded.state import Phase, PlatformReport
from epochal_embedded.units import ProgramUnit, Unit
from epochal_embedded.watching import Watch

_READY_DEADLINE_S = 120.0
_UNIT_DEADLINE_S = 90.0
_ROTATE_EVERY_S = 30.0
_SERVERS_STOP_ORDER = 1_000


class Platform:
    """Everything that runs under one data folder, owned by the supervisor.

    The caller holds the folder's lock.
    """

    def __init__(
        self,
        home: Home,
        chosen: Sequence[Program],
        clock: Clock,
        environ: Mapping[str, str] = os.environ,
        told: Callable[[PlatformReport], None] = lambda report: None,
    ) -> None:
        """Prepare; nothing is touched before `run`.

        Args:
            home: the data folder.
            chosen: the programs to run.
            clock: for pauses between restarts.
            environ: where EPOCHAL_DATABASE_URL and EPOCHAL_NATS_URL may replace the servers.
            told: called with every report, after the state file was written.
        """
        self._home = home
        self._programs = chosen
        self._clock = clock
        self._environ = environ
        self._told = told
        self._external = Servers(
            database_url=environ.get("EPOCHAL_DATABASE_URL", ""),
            nats_url=environ.get("EPOCHAL_NATS_URL", ""),
        )
        self._self = ProcessMark.of(os.getpid())
        self._phase: Phase = "starting"
        self._message = ""
        self._url = ""
        self._extra_s = 0.0
        self._template = Template(home.log_of("template"), inherited(environ))
        self._watches: list[Watch] = []
        self._running: dict[Watch, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, then drain and stop everything.

        Raises:
            EmbeddedError: the platform could not start; everything was stopped again.
        """
        try:
            with file_errors("Epochal"):
                await self._live(stop)
        except EmbeddedError as error:
            await self._end("failed", str(error))
            raise
        except BaseException:
            await self._end("failed", "the supervisor was interrupted")
            raise
        await self._end("stopped", "")

    async def _live(self, stop: asyncio.Event) -> None:
        await self._clear_previous_life()
        mark = runnable(self._home, self._environ)
        if mark is not None:
            self._extra_s = mark.patience_s
        if not may(mark, Act.EXECUTE, self._environ):
            self._programs = [one for one in self._programs if one.name != "agent"]
        self._home.create()
        self._publish()
        secrets = Secrets.keep(self._home)
        ports = keep_ports(self._home, port_names(self._programs), self._external)
        stopped = asyncio.create_task(stop.wait(), name="stop")
        rotating = asyncio.create_task(self._rotate_logs(), name="rotate logs")
        try:
            async with asyncio.timeout(_READY_DEADLINE_S + self._extra_s):
                if any(program.shares_an_interpreter for program in self._programs):
                    await self._template.start()  # it imports while the servers start
                wiring = await self._start_servers(secrets, ports, stopped)
                wiring = replace(wiring, is_fork=mark is not None)
                self._url = wiring.url
                units = [
                    ProgramUnit(
                        program, wiring, self._template, timeout_s=_UNIT_DEADLINE_S + self._extra_s
                    )
                    for program in self._programs
                ]
                await self._start(units, stopped)
            if not stop.is_set():
                write_client(self._home, wiring.url, secrets.owner_token)
                self._phase = "ready"
                self._publish()
            await self._while_healthy(stopped)
        except TimeoutError:
            late = [watch.unit.name for watch in self._watches if watch.state != "ready"]
            raise PlatformNotReady(
                f"Not ready after {_READY_DEADLINE_S + self._extra_s:g} s: {', '.join(late)}. "
                f"Their logs are in {self._home.logs}."
            ) from None
        finally:
            for task in (stopped, rotating):
                task.cancel()

    async def _start_servers(
        self, secrets: Secrets, ports: Mapping[str, int], stopped: asyncio.Task[bool]
    ) -> Wiring:
        database_url, nats_url = self._external.database_url, self._external.nats_url
        units: list[Unit] = []
        postgres = PostgresServer(
            self._home.root / "postgres",
            port=ports["postgres"],
            log_path=self._home.log_of("postgres"),
        )
        nats = NatsServer(
            self._home.root / "nats", port=ports["nats"], log_path=self._home.log_of("nats")
        )
        units += [] if database_url else [postgres]
        units += [] if nats_url else [nats]
        await self._start(units, stopped)
        return Wiring(
            home=self._home,
            secrets=secrets,
            ports=ports,
            database_url=database_url or postgres.url(),
            nats_url=nats_url or nats.url,
        )

    async def _start(self, units: Sequence[Unit], stopped: asyncio.Task[bool]) -> None:
        """Start units together and return when all serve, one gave up, or a stop was asked for."""
        watches = [Watch(unit, self._clock, self._publish) for unit in units]
        self._watches += watches
        for watch in watches:
            self._running[watch] = asyncio.create_task(watch.run(), name=watch.unit.name)
        serving = asyncio.create_task(_all(watch.served() for watch in watches))
        try:
            await asyncio.wait(
                {serving, stopped, *self._running.values()}, return_when=asyncio.FIRST_COMPLETED
            )
            self._raise_failure()
        finally:
            serving.cancel()

    async def _while_healthy(self, stopped: asyncio.Task[bool]) -> None:
        await asyncio.wait({stopped, *self._running.values()}, return_when=asyncio.FIRST_COMPLETED)
        self._raise_failure()

    def _raise_failure(self) -> None:
        """A watch ends only by an error: one of the start, or a defect of ours."""
        for task in self._running.values():
            if task.done() and not task.cancelled():
                task.result()

    async def _end(self, phase: Phase, message: str) -> None:
        """Stop the programs in their order, then the servers, whatever state they are in."""
        self._phase, self._message = "stopping", message
        self._publish()
        orders = {program.name: program.stop_order for program in self._programs}
        by_order: dict[int, list[Watch]] = {}
        for watch in self._watches:
            order = orders.get(watch.unit.name, _SERVERS_STOP_ORDER)
            by_order.setdefault(order, []).append(watch)
        for order in sorted(by_order):
            await asyncio.gather(*(self._stop(watch) for watch in by_order[order]))
        await self._template.stop()
        self._phase = phase
        self._publish()

    async def _stop(self, watch: Watch) -> None:
        task = self._running.pop(watch, None)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        await watch.stop()

    async def _clear_previous_life(self) -> None:
        """Stop what a killed supervisor left, where the kernel did not do it for us."""
        before = PlatformReport.read(self._home)
        if before is None:
            return
        left = [unit.mark.process() for unit in before.units if unit.mark is not None]
        ladder = (Step(signal.SIGTERM, 5.0),)
        await _all(stop_orphan(process, ladder) for process in left if process is not None)

    async def _rotate_logs(self) -> None:
        while True:
            await self._clock.sleep(_ROTATE_EVERY_S)
            for log in sorted(self._home.logs.glob("*.log")):
                with suppress(OSError):  # a full disk is not for want of rotation
                    await asyncio.to_thread(rotate_log, log)

    def _publish(self) -> None:
        report = PlatformReport(
            phase=self._phase,
            message=self._message,
            supervisor=self._self,
            url=self._url,
            units=tuple(watch.report() for watch in self._watches),
        )
        with suppress(OSError):  # a full disk must not stop what still runs
            report.write(self._home)
        self._told(report)


async def _all(awaitables: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*awaitables)
