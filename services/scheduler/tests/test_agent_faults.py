"""An agent that is killed leaves nothing behind: no step, no service, no command."""

import os
import signal
import socket

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_proto.v1.services import RunService, TerminalService
from epochal_scheduler.agent.marks import find_marked
from epochal_testing.waiting import until
from scheduler_world import PARENT, World

pytestmark = pytest.mark.faults

INIT = """
version: 1.1
kind: component
name: init
retry: {infrastructure: 0}
run:
  kind: job
  init: [{git: {url: 'git://127.0.0.1:%d/never.git'}}]
  container: {command: [python, -c, pass]}
"""
SERVICE = """
version: 1.1
kind: component
name: serves
retry: {infrastructure: 0}
run:
  kind: service
  container:
    command: [python, -m, http.server, --bind, 127.0.0.1, $(PORT)]
"""


@pytest_asyncio.fixture(loop_scope="session")
async def world(database, nats_url, tmp_path):
    async with World(database, nats_url, tmp_path).open() as made:
        yield made


def processes_of(run):
    return list(find_marked(f"EPOCHAL_RUN={run.name}"))


async def submit(world, spec):
    request = pb.CreateRunRequest(
        parent=PARENT, spec=spec.encode(), request_id=str(world.ids.uuid7())
    )
    return await world.call(RunService.CREATE_RUN, request)


async def test_an_agent_killed_in_a_step_leaves_no_step_behind(world):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with world.scheduler(), world.agent() as dying:
            run = await submit(world, INIT % silent.getsockname()[1])
            await until(lambda: len(processes_of(run)) > 0, 30)
            os.kill(dying.pid, signal.SIGKILL)
            await until(lambda: not processes_of(run), 20)
            failed = await world.until_event(run.name, pb.RunFailed, 30)
    assert failed.infrastructure


async def test_an_agent_killed_under_a_service_leaves_neither_it_nor_commands_behind(world):
    async with world.scheduler(), world.agent() as dying:
        run = await submit(world, SERVICE)
        ready = await world.until_event(run.name, pb.RunServiceReady, 30)
        assert ready.host == "127.0.0.1"
        for tty in (False, True):
            request = pb.OpenTerminalRequest(run=run.name, command=["sleep", "600"], tty=tty)
            await world.call(TerminalService.OPEN_TERMINAL, request)
        await until(lambda: len(processes_of(run)) == 3, 20)
        os.kill(dying.pid, signal.SIGKILL)
        await until(lambda: not processes_of(run), 20)
        await world.until_event(run.name, pb.RunFailed, 30)


async def test_an_agent_that_only_pretends_ends_every_run_well_and_starts_nothing(world):
    world.environment["EPOCHAL_AGENT_EXECUTOR"] = "noop"
    async with world.scheduler(), world.agent():
        run = await world.submit("raise SystemExit('never')")
        await world.until_event(run.name, pb.RunSucceeded, 30)
    assert not (world.folder / "runs").exists()
