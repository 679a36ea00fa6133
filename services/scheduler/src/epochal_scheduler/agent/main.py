"""The agent's composition root: `epochal-agent` or `python -m epochal_scheduler.agent.main`."""

from __future__ import annotations

import asyncio
import os
import resource
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from epochal_kernel.bus import Bus
from epochal_kernel.clock import SystemClock
from epochal_kernel.ids import SystemIds
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.runtime.logs import configure_logs

from epochal_scheduler.agent import capacity, warden
from epochal_scheduler.agent.artifacts import Artifacts
from epochal_scheduler.agent.calling import Platform
from epochal_scheduler.agent.capturing import Capturer
from epochal_scheduler.agent.cleaning import Cleaner
from epochal_scheduler.agent.collecting import Collector
from epochal_scheduler.agent.executing import Executor
from epochal_scheduler.agent.holding import Holdings, beat
from epochal_scheduler.agent.hosting import ServiceHost
from epochal_scheduler.agent.launching import MARK, Host
from epochal_scheduler.agent.listening import listen
from epochal_scheduler.agent.preparing import Preparer
from epochal_scheduler.agent.pretending import NoopExecutor
from epochal_scheduler.agent.salvaging import Salvager
from epochal_scheduler.agent.serving import AttemptExecutor, Server
from epochal_scheduler.agent.settings import AgentSettings
from epochal_scheduler.agent.supervising import Supervisor
from epochal_scheduler.agent.terminals.answering import Terminals

WARDEN_S = 5.0
MANY_FILES = 65_536

_log = structlog.get_logger(__name__)


def main() -> None:
    """Runs an agent as the environment wants it."""
    # pydantic-settings reads what is required from the environment.
    run(AgentSettings())


def run(settings: AgentSettings) -> None:
    """Runs an agent until SIGTERM or SIGINT, then drains."""
    configure_logs("agent", settings.log_level)
    mark = secrets.token_hex(16)
    _allow_many_files()
    with _warden(mark):
        asyncio.run(run_agent(settings, mark))


async def run_agent(settings: AgentSettings, mark: str) -> None:
    """Runs an agent until it is told to stop.

    Its name ends in a suffix made anew at each start: an agent that comes back is another one, and
    cannot take up what the first had claimed.
    """
    drain = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, drain.set)
    agent = f"agents/{settings.agent_name}.{mark[:8]}"
    clock, ids = SystemClock(), SystemIds()
    bus = Bus(settings.nats_url, agent.replace("/", "-"))
    platform = Platform(agent, bus, RpcClient(bus), clock, ids)
    folder = settings.data_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    cleaner, store = Cleaner(folder, clock), Artifacts(settings.url, clock)
    executor: AttemptExecutor = NoopExecutor(platform, clock)
    if settings.agent_executor == "process":
        host = Host(folder, settings.url, sys.executable, mark, dict(os.environ))
        executor = Executor(
            platform,
            platform,
            Preparer(host, store, cleaner, settings.agent_host),
            Supervisor(settings.stop_grace_s),
            Salvager(sys.executable),
            Collector(store),
            Capturer(platform, store, clock),
            ServiceHost(platform, settings.agent_host, clock),
            cleaner,
            clock,
        )
    slots = settings.agent_slots
    holdings = Holdings(agent, settings.queues, slots, settings.labels, capacity.measure())
    server = Server(bus, executor, holdings, settings.queues, slots, clock)
    async with asyncio.TaskGroup() as tasks:
        connection = tasks.create_task(bus.run())
        cleaning = tasks.create_task(cleaner.run())
        listening = tasks.create_task(listen(bus, holdings))
        terminals = tasks.create_task(Terminals(holdings, clock).run(bus, agent))
        beating = tasks.create_task(beat(holdings, platform, clock))
        _log.info("agent.starts", agent=agent, queues=settings.queues, slots=slots)
        await server.run(drain, settings.agent_drain_s)
        await store.close()
        for task in (beating, cleaning, listening, terminals):
            task.cancel()
        connection.cancel()
    _log.info("agent.stopped", agent=agent)


def _allow_many_files() -> None:
    """Raises the soft limit of open files: each running process costs three."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        wanted = hard if hard != resource.RLIM_INFINITY else max(soft, MANY_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def _warden(mark: str) -> Iterator[None]:
    """Keeps a warden beside the agent: it ends what the agent leaves, however the agent ends."""
    # A session of its own, so that what kills the agent's session leaves the warden to its work.
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(warden.__file__).absolute()), f"{MARK}={mark}"],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=WARDEN_S)


if __name__ == "__main__":
    main()
