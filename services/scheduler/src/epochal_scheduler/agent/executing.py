"""One attempt from claim to seal.

The order of reports is kept: claimed, started, exited. The user's process starts only after the
claim was taken. Its end is told only after the producer of its lines, if it had any, was announced,
so a run cannot succeed before the scheduler knows that lines are still to come; and after what its
tracking client left on disk was sent, so a killed process loses none of it.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

import epochal_proto.v1 as pb
import structlog
from epochal_kernel.clock import Clock
from epochal_kernel.errors import EpochalError
from epochal_kernel.failpoints import failpoint

from epochal_scheduler.agent.launching import Host, plan_launch
from epochal_scheduler.agent.ports import LogPort, Scheduler
from epochal_scheduler.agent.processes import LocalProcess
from epochal_scheduler.agent.salvaging import Salvager
from epochal_scheduler.agent.shipping import LogShipper
from epochal_scheduler.domain.attempts import Exited

ANNOUNCE_S = 5.0
OUTPUT_S = 2.0
SEAL_S = 120.0
TAIL_LINES = 20
TAIL_CHARS = 4096
CANNOT_EXECUTE = 126

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class HeldAttempt:
    """An attempt that this agent has; `stop` ends its process."""

    item: pb.WorkItem
    reason: str = ""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ref(self) -> pb.AttemptRef:
        """Which attempt it is."""
        item = self.item
        return pb.AttemptRef(run=item.run, attempt=item.attempt, fence=item.fence)

    def stop(self, reason: str) -> None:
        """Asks that its process be ended."""
        self.reason = self.reason or reason
        self._stopping.set()

    async def wait_stopped(self) -> None:
        """Waits until someone asks."""
        await self._stopping.wait()


@dataclass(frozen=True, slots=True)
class Executor:
    """Runs attempts."""

    scheduler: Scheduler
    logs: LogPort
    host: Host
    salvager: Salvager
    clock: Clock
    stop_grace_s: float

    async def execute(self, held: HeldAttempt, released: asyncio.Event) -> None:
        """Runs an attempt that has been claimed.

        Args:
            held: which; may be asked to stop at any time.
            released: set once the process is gone and that is reported, so that another attempt
                may take its place while the last lines are shipped.
        """
        shipper = LogShipper(held.item.run, held.item.attempt, self.logs, self.clock)
        try:
            async with asyncio.TaskGroup() as tasks:
                shipping = tasks.create_task(_ship(shipper, held.item.run))
                exited = await self._run(held, shipper)
                if shipper.has_lines:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(ANNOUNCE_S):
                            await shipper.opened.wait()
                await self.scheduler.report_exited(held.ref, exited)
                released.set()
                shipper.close()
                done, _ = await asyncio.wait({shipping}, timeout=SEAL_S)
                if not done:
                    _log.warning("agent.logs_not_sealed", run=held.item.run)
                    shipping.cancel()
        finally:
            released.set()

    async def _run(self, held: HeldAttempt, shipper: LogShipper) -> Exited:
        tail = _Tail()

        def on_line(stream: str, text: str) -> None:
            shipper.add(stream, text)
            tail.add(stream, text)

        try:
            launch = plan_launch(held.item, self.host)
            process = LocalProcess.start(launch, on_line)
        # ValueError: no command, no compiled operation, or a text that no process can be given.
        except (OSError, ValueError) as error:
            message = f"the process cannot be started: {error}"
            shipper.add("system", message)
            return Exited(CANNOT_EXECUTE, message=message)
        failpoint("agent.after_start")
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(self._tell_started(held))
            throttling = tasks.create_task(_throttle(process, shipper))
            exited = await self._supervise(held, process, shipper)
            await process.kill_rest()
            throttling.cancel()
            process.resume_output()
            await process.drain_output(OUTPUT_S)
            await self.salvager.salvage(launch, lambda text: shipper.add("system", text))
            await telling  # an exit must not be told before the start
        failure = tail.text() if exited.exit_code else ""
        return Exited(exited.exit_code, exited.timed_out, exited.stopped, exited.message or failure)

    async def _tell_started(self, held: HeldAttempt) -> None:
        if not await self.scheduler.report_started(held.ref, self.clock.now()):
            held.stop("the attempt was given to another agent")

    async def _supervise(
        self, held: HeldAttempt, process: LocalProcess, shipper: LogShipper
    ) -> Exited:
        """Waits for the exit, the timeout or a stop, whichever is first."""
        async with asyncio.TaskGroup() as tasks:
            ending = tasks.create_task(process.wait())
            stopping = tasks.create_task(held.wait_stopped())
            await asyncio.wait(
                {ending, stopping},
                timeout=held.item.timeout_s or None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            stopped, timed_out = stopping.done(), False
            if not ending.done():
                timed_out = not stopped
                why = held.reason if stopped else f"timeout of {held.item.timeout_s} s"
                shipper.add("system", f"the process is ended: {why}")
                await self._end(process, ending)
            stopping.cancel()
            code = await ending
        interrupted = stopped and code != 0
        return Exited(code, timed_out, interrupted, held.reason if interrupted else "")

    async def _end(self, process: LocalProcess, ending: asyncio.Task[int]) -> None:
        """Ends a process and all it started: SIGTERM, a grace, SIGKILL."""
        process.signal_group(signal.SIGTERM)
        done, _ = await asyncio.wait({ending}, timeout=self.stop_grace_s)
        if not done:
            process.signal_group(signal.SIGKILL)


async def _ship(shipper: LogShipper, run: str) -> None:
    """Ships lines; a refusal costs the lines, never the run."""
    try:
        await shipper.run()
    except EpochalError as error:
        _log.warning("agent.logs_refused", run=run, error=error.message)
        shipper.give_up()


async def _throttle(process: LocalProcess, shipper: LogShipper) -> None:
    """Stops reading while more lines wait than memory should hold."""
    while True:
        await shipper.full.wait()
        process.pause_output()
        await shipper.room.wait()
        process.resume_output()


class _Tail:
    """The last lines, of stderr if it has any: what a failed run says of itself."""

    def __init__(self) -> None:
        self._lines = {
            "stdout": deque[str](maxlen=TAIL_LINES),
            "stderr": deque[str](maxlen=TAIL_LINES),
        }

    def add(self, stream: str, text: str) -> None:
        self._lines[stream].append(text)

    def text(self) -> str:
        lines = self._lines["stderr"] or self._lines["stdout"]
        return "\n".join(lines)[-TAIL_CHARS:]
