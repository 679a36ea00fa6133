"""The scheduler process: the only place that builds its parts."""

from __future__ import annotations

import uvloop
from epochal_kernel.log.reader import LogReader
from epochal_kernel.runtime.logs import configure_logs
from epochal_kernel.runtime.service import Kernel, Parts, run_service
from epochal_proto.v1.services import AgentService, RunService

from epochal_scheduler.bells import StopBell
from epochal_scheduler.domain.attempts import Backoff
from epochal_scheduler.handlers import TaskReactor
from epochal_scheduler.projections import READ_MODEL
from epochal_scheduler.service.agents import AgentServer
from epochal_scheduler.service.runs import RunServer
from epochal_scheduler.settings import SchedulerSettings
from epochal_scheduler.store import SchedulerStore
from epochal_scheduler.working.commands import RunCommands
from epochal_scheduler.working.dispatching import Dispatcher
from epochal_scheduler.working.leasing import LeaseSweeper
from epochal_scheduler.working.tasks import TaskWorker


def main() -> None:
    """Runs the scheduler until it is told to stop."""
    settings = SchedulerSettings()
    configure_logs("scheduler", settings.log_level)
    uvloop.run(run(settings))


async def run(settings: SchedulerSettings) -> None:
    """Runs the scheduler in this event loop."""

    async def build(kernel: Kernel) -> Parts:
        return _build(kernel, settings)

    await run_service(settings, READ_MODEL, "epochal_scheduler", build)


def _build(kernel: Kernel, settings: SchedulerSettings) -> Parts:
    backoff = Backoff(settings.retry_first_s, settings.retry_most_s)
    commands = RunCommands(kernel.ledger, kernel.ids, kernel.clock, backoff)
    store, bell = SchedulerStore(kernel.pool), StopBell()
    dispatcher = Dispatcher(
        commands,
        kernel.bus,
        settings.run_token_secret.get_secret_value(),
        settings.run_token_days,
        settings.work_max_bytes,
    )
    worker = TaskWorker(
        store,
        commands,
        dispatcher,
        seal_grace_s=settings.seal_grace_s,
        failed_seal_grace_s=settings.failed_seal_grace_s,
    )
    sweeper = LeaseSweeper(store, commands, kernel.bus, kernel.ids, settings.agent_lease_s)
    reader = LogReader(kernel.pool)
    runs = RunServer(commands, store, dispatcher, bell, kernel.progress, reader, kernel.ids)
    agents = AgentServer(commands, store, bell, settings.heartbeat_hold_s)
    server = kernel.server
    server.unary(RunService.CREATE_RUN, runs.create_run)
    server.unary(RunService.COMPILE_OPERATION, runs.compile_operation)
    server.unary(RunService.STOP_RUN, runs.stop_run)
    server.unary(RunService.FINISH_RUN, runs.finish_run)
    server.unary(AgentService.CLAIM_ATTEMPT, agents.claim_attempt)
    server.unary(AgentService.REPORT_STARTED, agents.report_started)
    server.unary(AgentService.REPORT_EXITED, agents.report_exited)
    server.unary(AgentService.HEARTBEAT, agents.heartbeat)
    return Parts(
        reactors=[TaskReactor()],
        listeners=[worker],
        background=[dispatcher.run, worker.run, sweeper.run],
    )


if __name__ == "__main__":
    main()
