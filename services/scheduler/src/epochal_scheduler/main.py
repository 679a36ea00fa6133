"""The scheduler process: the only place that builds its parts."""

from __future__ import annotations

import asyncio
import os

import uvloop
from epochal_kernel.acts import Act
from epochal_kernel.leading import Leader
from epochal_kernel.log.reader import LogReader
from epochal_kernel.rpc.server import RpcServer
from epochal_kernel.runtime.logs import configure_logs
from epochal_kernel.runtime.service import Kernel, Parts, run_service
from epochal_proto.v1.services import (
    AgentService,
    ComponentService,
    QueueService,
    RunService,
    TerminalService,
)

from epochal_scheduler.bells import StopBell
from epochal_scheduler.domain.attempts import Backoff
from epochal_scheduler.handlers import TaskReactor
from epochal_scheduler.projections import READ_MODEL
from epochal_scheduler.service.agents import AgentServer
from epochal_scheduler.service.changing import ChangeServer
from epochal_scheduler.service.compiling import SpecCompiler
from epochal_scheduler.service.components import ComponentServer
from epochal_scheduler.service.explaining import ExplainServer
from epochal_scheduler.service.forking import Restarter
from epochal_scheduler.service.pipelines import PipelineServer
from epochal_scheduler.service.queues import QueueServer
from epochal_scheduler.service.runs import RunServer
from epochal_scheduler.service.terminals import TerminalServer
from epochal_scheduler.settings import SchedulerSettings
from epochal_scheduler.store import SchedulerStore
from epochal_scheduler.working.admitting import Admission
from epochal_scheduler.working.commands import RunCommands
from epochal_scheduler.working.dispatching import Dispatcher
from epochal_scheduler.working.feed import Feed
from epochal_scheduler.working.hooking import Hooks
from epochal_scheduler.working.leasing import LeaseSweeper
from epochal_scheduler.working.making import RunMaker
from epochal_scheduler.working.pipelines.controllers import Controllers
from epochal_scheduler.working.pipelines.forking import Forks
from epochal_scheduler.working.pipelines.sampling import MetricReader
from epochal_scheduler.working.pipelines.worker import PipelineWorker
from epochal_scheduler.working.policies import Policies
from epochal_scheduler.working.resolving import Resolver
from epochal_scheduler.working.shelf import Shelf
from epochal_scheduler.working.tasks import TaskWorker


def main() -> None:
    """Runs the scheduler until it is told to stop."""
    settings = SchedulerSettings()
    # Samplers work on small matrices: more threads of BLAS only wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    configure_logs("scheduler", settings.log_level)
    uvloop.run(run(settings))


async def run(settings: SchedulerSettings) -> None:
    """Runs the scheduler in this event loop."""

    async def build(kernel: Kernel) -> Parts:
        return _build(kernel, settings)

    await run_service(settings, READ_MODEL, "epochal_scheduler", build)


def _build(kernel: Kernel, settings: SchedulerSettings) -> Parts:
    feed = Feed()
    backoff = Backoff(settings.retry_first_s, settings.retry_most_s)
    commands = RunCommands(kernel.ledger, kernel.ids, kernel.clock, backoff, feed)
    store, bell, reader = (
        SchedulerStore(kernel.pool, kernel.past),
        StopBell(),
        LogReader(kernel.pool),
    )
    policies = Policies(store)
    dispatcher = Dispatcher(
        commands,
        kernel.bus,
        settings.run_token_secret.get_secret_value(),
        settings.run_token_days,
        settings.work_max_bytes,
    )
    maker = RunMaker(
        store, policies, kernel.clock, settings.cache_enabled, settings.infrastructure_retries
    )
    resolver = Resolver(commands, kernel.client, reader, kernel.ids)
    forks = Forks(commands, store)
    metrics = MetricReader(kernel.client, kernel.ids)
    admission = Admission(
        commands, store, dispatcher, bell, kernel.progress, kernel.ids, settings.agent_lease_s
    )
    controllers = Controllers(
        commands, admission, maker, resolver, bell, forks, metrics, reader, kernel.codec
    )
    pipelines = PipelineWorker(commands, store, kernel.progress, kernel.ids, controllers.make)
    for hear in (policies.hear, admission.hear, pipelines.hear):
        feed.subscribe(hear)
    worker = TaskWorker(
        store,
        commands,
        dispatcher,
        Hooks(commands, maker),
        seal_grace_s=settings.seal_grace_s,
        failed_seal_grace_s=settings.failed_seal_grace_s,
    )
    sweeper = LeaseSweeper(store, commands, kernel.bus, kernel.ids, settings.agent_lease_s)
    compiler = SpecCompiler(Shelf(store, settings.spec_urls, kernel.progress), resolver)
    _serve(
        kernel.server,
        RunServer(
            commands, store, compiler, maker, admission, bell, kernel.progress, reader, kernel.ids
        ),
        ChangeServer(commands, Restarter(maker, forks), kernel.ids, kernel.client),
        PipelineServer(commands, compiler, kernel.appender, reader, kernel.codec, kernel.ids),
        ExplainServer(
            commands,
            reader,
            kernel.codec,
            admission,
            pipelines,
            kernel.past,
            kernel.may(Act.EXECUTE),
        ),
    )
    _serve_rest(
        kernel.server,
        QueueServer(kernel.ledger, store, admission, feed, kernel.clock),
        ComponentServer(kernel.ledger, store, kernel.progress, kernel.client),
        AgentServer(commands, store, bell, admission, settings.heartbeat_hold_s),
        TerminalServer(commands, kernel.bus),
    )

    async def lead() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(admission.run())
            tasks.create_task(pipelines.run())

    leader = Leader(kernel.pool, kernel.clock, "scheduler")
    # Without it runs stay queued, and pipelines, schedules and triggers stand still.
    leading = [lambda: leader.run(lead)] if kernel.may(Act.EXECUTE) else []
    return Parts(
        reactors=[TaskReactor()],
        listeners=[worker, feed],
        background=[dispatcher.run, worker.run, sweeper.run, *leading],
    )


def _serve(
    server: RpcServer,
    runs: RunServer,
    changes: ChangeServer,
    pipelines: PipelineServer,
    explaining: ExplainServer,
) -> None:
    server.unary(RunService.CREATE_RUN, runs.create_run)
    server.unary(RunService.COMPILE_OPERATION, runs.compile_operation)
    server.unary(RunService.STOP_RUN, runs.stop_run)
    server.unary(RunService.FINISH_RUN, runs.finish_run)
    server.unary(RunService.RESTART_RUN, changes.restart_run)
    server.unary(RunService.RESUME_RUN, changes.resume_run)
    server.unary(RunService.RENAME_RUN, changes.rename_run)
    server.unary(RunService.DELETE_RUN, changes.delete_run)
    server.unary(RunService.RESTORE_RUN, changes.restore_run)
    server.unary(RunService.APPROVE_RUN, changes.approve_run)
    server.unary(RunService.RELEASE_RUN, changes.release_run)
    server.unary(RunService.SKIP_RUN, changes.skip_run)
    server.unary(RunService.PAUSE_RUN, changes.pause_run)
    server.unary(RunService.UNPAUSE_RUN, changes.unpause_run)
    server.unary(RunService.UPDATE_PIPELINE, changes.update_pipeline)
    server.unary(RunService.RECORD_OUTPUTS, changes.record_outputs)
    server.unary(RunService.EXPLAIN_RUN, explaining.explain_run)
    server.unary(RunService.PREVIEW_SCHEDULE, pipelines.preview_schedule)
    server.unary(RunService.TEST_TRIGGER, pipelines.test_trigger)
    server.unary(RunService.EMIT_EVENT, pipelines.emit_event)
    server.unary(RunService.GET_SPEC_SCHEMA, pipelines.get_spec_schema)


def _serve_rest(
    server: RpcServer,
    queues: QueueServer,
    components: ComponentServer,
    agents: AgentServer,
    terminals: TerminalServer,
) -> None:
    server.unary(QueueService.CREATE_QUEUE, queues.create_queue)
    server.unary(QueueService.GET_QUEUE, queues.get_queue)
    server.unary(QueueService.LIST_QUEUES, queues.list_queues)
    server.unary(QueueService.UPDATE_QUEUE, queues.update_queue)
    server.unary(QueueService.DELETE_QUEUE, queues.delete_queue)
    server.unary(QueueService.LIST_AGENTS, queues.list_agents)
    server.unary(QueueService.GET_PROJECT_POLICY, queues.get_project_policy)
    server.unary(QueueService.SET_PROJECT_POLICY, queues.set_project_policy)
    server.unary(ComponentService.REGISTER_COMPONENT, components.register_component)
    server.unary(ComponentService.GET_COMPONENT, components.get_component)
    server.unary(ComponentService.LIST_COMPONENTS, components.list_components)
    server.unary(ComponentService.DELETE_COMPONENT, components.delete_component)
    server.unary(ComponentService.SET_COMPONENT_STAGE, components.set_component_stage)
    server.unary(AgentService.CLAIM_ATTEMPT, agents.claim_attempt)
    server.unary(AgentService.REPORT_STARTED, agents.report_started)
    server.unary(AgentService.REPORT_EXITED, agents.report_exited)
    server.unary(AgentService.REPORT_SERVICE, agents.report_service)
    server.unary(AgentService.HEARTBEAT, agents.heartbeat)
    server.unary(TerminalService.OPEN_TERMINAL, terminals.open_terminal)
    server.stream(TerminalService.READ_TERMINAL, terminals.read_terminal)
    server.unary(TerminalService.WRITE_TERMINAL, terminals.write_terminal)


if __name__ == "__main__":
    main()
