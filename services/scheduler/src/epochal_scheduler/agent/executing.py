"""One attempt from claim to seal.

The order of reports is kept: claimed, started, exited. The user's process starts only after the
claim was taken. Its end is told only after all that it left behind is safe: what its tracking
client had on disk is sent, its outputs are in the store, its lines and measurements are sealed. So
an agent that is killed loses either the attempt, which is then made again, or nothing. Sealing is
waited for a few seconds at most: a platform that cannot take lines still learns how the process
ended, and gets the lines later if this agent lives.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import structlog
from epochal_kernel.clock import Clock
from epochal_kernel.errors import EpochalError
from epochal_kernel.failpoints import failpoint

from epochal_scheduler.agent.capturing import Capturer
from epochal_scheduler.agent.cleaning import Cleaner
from epochal_scheduler.agent.collecting import Collector
from epochal_scheduler.agent.held import HeldAttempt
from epochal_scheduler.agent.hosting import ServiceHost
from epochal_scheduler.agent.initializing.failing import InitFailed
from epochal_scheduler.agent.launching import Launch
from epochal_scheduler.agent.measuring import UsageShipper
from epochal_scheduler.agent.output import Tail, readable
from epochal_scheduler.agent.outputs import BadOutputs, checked_outputs, read_outputs
from epochal_scheduler.agent.ports import LogPort, Scheduler
from epochal_scheduler.agent.preparing import Preparer
from epochal_scheduler.agent.processes import LocalProcess
from epochal_scheduler.agent.salvaging import Salvager
from epochal_scheduler.agent.shipping import LogShipper
from epochal_scheduler.agent.supervising import Supervisor, throttle
from epochal_scheduler.domain.attempts import Exited

OUTPUT_S = 2.0
SEAL_BEFORE_EXIT_S = 5.0
SEAL_S = 120.0
CAPTURE_S = 60.0
LAST_S = 1.0
CANNOT_EXECUTE = 126
BAD_OUTPUTS = 65  # EX_DATAERR of sysexits.h
STOPPED_EARLY = -15

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Executor:
    """Runs attempts."""

    scheduler: Scheduler
    logs: LogPort
    preparer: Preparer
    supervisor: Supervisor
    salvager: Salvager
    collector: Collector
    capturer: Capturer
    services: ServiceHost
    cleaner: Cleaner
    clock: Clock

    async def execute(self, held: HeldAttempt, released: asyncio.Event) -> None:
        """Runs an attempt that has been claimed.

        Args:
            held: which; may be asked to stop at any time.
            released: set once the process is gone and that is reported, so that another attempt
                may take its place while the last lines are shipped.
        """
        run, attempt = held.item.run, held.item.attempt
        shipper = LogShipper(run, attempt, self.logs, self.clock)
        usage = UsageShipper(run, attempt, self.logs, self.clock)
        try:
            async with asyncio.TaskGroup() as tasks:
                shipping = tasks.create_task(_ship(shipper, run))
                exited = await self._run(held, shipper, usage, tasks)
                shipper.close()
                sealing = tasks.create_task(usage.seal())
                await asyncio.wait({shipping, sealing}, timeout=SEAL_BEFORE_EXIT_S)
                failpoint("agent.before_exit")
                exited = replace(exited, message=readable(exited.message))
                await self.scheduler.report_exited(held.ref, exited)
                failpoint("agent.after_exit")
                released.set()
                _, late = await asyncio.wait({shipping, sealing}, timeout=SEAL_S)
                for task in late:
                    _log.warning("agent.telemetry_not_sealed", run=run)
                    task.cancel()
                await _captured(held)
        finally:
            released.set()

    async def _run(
        self,
        held: HeldAttempt,
        shipper: LogShipper,
        usage: UsageShipper,
        beside: asyncio.TaskGroup,
    ) -> Exited:
        tail = Tail()

        def on_line(stream: str, text: str) -> None:
            shipper.add(stream, text)
            tail.add(stream, text)

        def say(text: str) -> None:
            shipper.add("system", readable(text))

        try:
            ready = await self.preparer.prepare(held, say)
            if ready is None:
                return Exited(STOPPED_EARLY, stopped=True, message=held.reason)
            launch, prepared = ready
            process = LocalProcess.start(launch, on_line)
        except InitFailed as error:
            say(error.message)
            return Exited(
                CANNOT_EXECUTE, message=error.message, infrastructure=error.infrastructure
            )
        # ValueError: no command, no compiled operation, or a text that no process can be given.
        except (OSError, ValueError) as error:
            message = f"the process cannot be started: {error}"
            say(message)
            return Exited(CANNOT_EXECUTE, message=message)
        failpoint("agent.after_start")
        held.launch = launch
        held.capturing = beside.create_task(self.capturer.capture(held.item, launch, prepared))
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(self._tell_started(held))
            companions = [tasks.create_task(throttle(process, shipper))]
            if launch.measured:
                companions.append(tasks.create_task(usage.measure(process.pid)))
            if launch.is_service:
                companions.append(tasks.create_task(self.services.accompany(held, launch, say)))
            exited = await self.supervisor.supervise(held, process, shipper)
            held.launch = None
            await process.kill_rest()
            for companion in companions:
                companion.cancel()
            process.resume_output()
            await process.drain_output(OUTPUT_S)
            await self.salvager.salvage(launch, say)
            await telling  # an exit must not be told before the start
        failure = tail.text() if exited.exit_code else ""
        exited = replace(exited, message=exited.message or failure)
        exited = await self._with_outputs(exited, launch, shipper)
        self._expire(held, launch)
        return exited

    def _expire(self, held: HeldAttempt, launch: Launch) -> None:
        """Notes when the run's folder may go; a disk that is full keeps it."""
        if held.item.ttl_s:
            try:
                self.cleaner.due(launch.home, held.item.ttl_s)
            except OSError as error:
                _log.warning("agent.folder_kept", run=held.item.run, error=str(error))

    async def _tell_started(self, held: HeldAttempt) -> None:
        if not await self.scheduler.report_started(held.ref, self.clock.now()):
            held.stop("the attempt was given to another agent")

    async def _with_outputs(self, exited: Exited, launch: Launch, shipper: LogShipper) -> Exited:
        """Adds what the process left: files to the store, declared outputs to the report.

        Only a process that ended well can fail by its outputs; of one that failed they are kept
        as far as they are right, for whoever looks into it.
        """

        def say(text: str) -> None:
            shipper.add("system", readable(text))

        problem = await self.collector.collect(launch, say)
        if problem is not None:
            say(problem.message)
        well = exited.exit_code == 0 and not exited.timed_out
        try:
            written = read_outputs(launch.outputs_file)
            outputs = checked_outputs(launch.plan.outputs if well else (), written)
        except BadOutputs as error:
            say(str(error))
            return replace(exited, exit_code=BAD_OUTPUTS, message=str(error)) if well else exited
        except OSError as error:
            return replace(
                exited, exit_code=BAD_OUTPUTS, message=f"outputs: {error}", infrastructure=True
            )
        if problem is not None and well:
            return replace(
                exited,
                exit_code=BAD_OUTPUTS,
                message=problem.message,
                infrastructure=problem.infrastructure,
            )
        return replace(exited, outputs=outputs)


async def _captured(held: HeldAttempt) -> None:
    """Waits until the capture is recorded: for a while, and hardly when the agent is to leave."""
    if held.capturing is None or held.capturing.done():
        return
    stopping = asyncio.create_task(held.wait_stopped())
    await asyncio.wait(
        {held.capturing, stopping}, timeout=CAPTURE_S, return_when=asyncio.FIRST_COMPLETED
    )
    stopping.cancel()
    await asyncio.wait({held.capturing}, timeout=LAST_S)
    if held.capturing.cancel():
        _log.info("agent.not_captured", run=held.item.run)


async def _ship(shipper: LogShipper, run: str) -> None:
    """Ships lines; a refusal costs the lines, never the run."""
    try:
        await shipper.run()
    except EpochalError as error:
        _log.warning("agent.logs_refused", run=run, error=error.message)
        shipper.give_up()
