"""Commands inside runs: real shells on pipes and terminals, over a real bus."""

import asyncio
import signal
from contextlib import asynccontextmanager

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from agent_fakes import RUN, executing, host, work_item
from epochal_kernel.bus import Bus
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import (
    EpochalError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from epochal_scheduler.agent.holding import Holdings
from epochal_scheduler.agent.launching import plan_launch
from epochal_scheduler.agent.terminals import answering
from epochal_scheduler.agent.terminals.answering import Terminals
from epochal_scheduler.agent.terminals.session import Session, Wanted
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.service.terminals import TerminalServer
from epochal_scheduler.terminal_subjects import terminal_subject
from epochal_testing.waiting import until

AGENT = "agents/a.host.name"


@asynccontextmanager
async def session(folder, command, tty=False):
    launch = plan_launch(work_item("pass"), host(folder))
    launch.home.mkdir(parents=True)
    opened = Session.start(launch, Wanted(command, tty, 30, 100))
    try:
        yield opened
    finally:
        await opened.close()


async def all_of(opened):
    """Everything a command writes, and its exit code."""
    data = error = b""
    while True:
        output = await opened.read(0.2)
        data, error = data + output.data, error + output.error
        if output.HasField("exit_code"):
            return data, error, output.exit_code


async def test_a_command_on_pipes_keeps_its_streams_apart(tmp_path):
    script = "cat; echo err >&2; pwd; echo $EPOCHAL_RUN; exit 3"
    async with session(tmp_path, ["sh", "-c", script]) as opened:
        opened.write(pb.WriteTerminalRequest(data=b"in\n"))
        opened.write(pb.WriteTerminalRequest(end=True))
        data, error, code = await all_of(opened)
    assert data.decode().splitlines() == ["in", str(tmp_path / "runs" / RUN[-36:]), RUN]
    assert (error, code) == (b"err\n", 3)


async def test_a_command_on_a_terminal_has_its_size_and_its_signals(tmp_path):
    script = "trap 'echo caught; exit 5' INT; stty size; while :; do sleep 0.05; done"
    async with session(tmp_path, ["sh", "-c", script], tty=True) as opened:
        seen = bytearray()

        async def says(text):
            seen.extend((await opened.read(0.2)).data)
            return text in seen

        await until(lambda: says(b"30 100"), 10)
        opened.write(pb.WriteTerminalRequest(rows=40, columns=120))
        opened.write(pb.WriteTerminalRequest(data=b"\x03"))
        data, _, code = await all_of(opened)
    assert b"caught" in data
    assert code == 5


async def test_the_end_of_input_ends_a_shell_on_a_terminal(tmp_path):
    async with session(tmp_path, ["sh"], tty=True) as opened:
        opened.write(pb.WriteTerminalRequest(data=b"echo $((6*7))\n", end=True))
        data, _, code = await all_of(opened)
    assert b"42" in data
    assert code == 0


async def test_a_signal_is_sent(tmp_path):
    async with session(tmp_path, ["sleep", "60"]) as opened:
        opened.write(pb.WriteTerminalRequest(signal=signal.SIGTERM))
        _, _, code = await all_of(opened)
        assert code == -signal.SIGTERM
        with pytest.raises(InvalidArgument):
            opened.write(pb.WriteTerminalRequest(signal=999))


async def test_a_command_that_is_not_there_is_refused(tmp_path):
    launch = plan_launch(work_item("pass"), host(tmp_path))
    launch.home.mkdir(parents=True)
    for command in (["no-such-program"], ["a\0b"]):
        with pytest.raises(InvalidArgument):
            Session.start(launch, Wanted(command, tty=False))


async def test_what_is_not_read_waits_with_the_command_and_none_is_lost(tmp_path):
    size = 5_000_000
    async with session(tmp_path, ["head", "-c", str(size), "/dev/zero"]) as opened:
        data, _, code = await all_of(opened)
    assert (len(data), code) == (size, 0)


async def test_what_a_command_does_not_read_is_refused(tmp_path):
    async with session(tmp_path, ["sleep", "60"]) as opened:
        much = pb.WriteTerminalRequest(data=bytes(1024 * 1024))
        opened.write(much)
        with pytest.raises(ResourceExhausted):
            opened.write(much)


class FakeCommands:
    """Runs as the log would have them."""

    def __init__(self, **state):
        self.state = RunState(**state)

    async def load(self, run_id):
        return self.state


@pytest_asyncio.fixture(loop_scope="session")
async def world(nats_url, tmp_path):
    """A running attempt, its agent's end and the scheduler's, on one bus."""
    bus = Bus(nats_url, "test")
    holdings = Holdings(AGENT, ["default"], 4)
    terminals = Terminals(holdings, SystemClock())
    server = TerminalServer(
        FakeCommands(
            status=pb.RUN_STATUS_RUNNING,
            agent=AGENT,
            started=True,
            created=pb.RunCreated(name=RUN),
        ),
        bus,
    )
    connection = asyncio.create_task(bus.run())
    answers = asyncio.create_task(terminals.run(bus, AGENT))
    try:
        await bus.wait_connected(timeout_s=10)
        item = work_item("import time; time.sleep(60)")
        async with executing(item, tmp_path) as (held, *_):
            holdings.add(held)
            await until(lambda: held.launch is not None)
            yield server, held, terminals
            held.stop("done")
    finally:
        answers.cancel()
        connection.cancel()
        await asyncio.wait({answers, connection})


async def opened(server, *command, **more):
    async def asked():
        request = pb.OpenTerminalRequest(run=RUN, command=command, **more)
        try:
            return await server.open_terminal(request, None)
        except (FailedPrecondition, InvalidArgument, NotFound):
            raise
        except EpochalError as error:  # the agent's subscription is on its way
            raise AssertionError(error.message) from error

    return await until(asked, 10)


async def read_all(server, terminal):
    request = pb.ReadTerminalRequest(run=RUN, terminal=terminal)
    return [output async for output in server.read_terminal(request, None)]


async def test_a_command_goes_through_the_scheduler_to_its_agent_and_back(world):
    server, _, _ = world
    made = await opened(server, "sh", "-c", "read x; echo got $x; exit 7")
    assert made.run == RUN
    await server.write_terminal(
        pb.WriteTerminalRequest(run=RUN, terminal=made.terminal, data=b"this\n"), None
    )
    outputs = await read_all(server, made.terminal)
    assert b"".join(output.data for output in outputs) == b"got this\n"
    assert outputs[-1].exit_code == 7
    with pytest.raises(NotFound):
        await read_all(server, made.terminal)


async def test_a_terminal_belongs_to_its_run(world):
    server, _, terminals = world
    made = await opened(server, "sleep", "60")
    with pytest.raises(NotFound):
        terminals.write(pb.WriteTerminalRequest(run=RUN[:-1] + "9", terminal=made.terminal))


async def test_commands_end_with_their_run(world):
    server, held, _ = world
    made = await opened(server, "sleep", "60")
    held.stop("done")
    outputs = await read_all(server, made.terminal)
    assert outputs[-1].exit_code in (-signal.SIGKILL, -signal.SIGTERM)


async def test_what_nobody_reads_is_ended(world, monkeypatch):
    server, _, terminals = world
    monkeypatch.setattr(answering, "ABANDONED_S", 0.0)
    made = await opened(server, "sleep", "60")

    async def gone():
        try:
            await terminals.read(pb.ReadTerminalRequest(run=RUN, terminal=made.terminal))
        except NotFound:
            return True
        return False

    await terminals.close_abandoned()
    await until(gone, 10)


async def test_too_many_are_refused(world, monkeypatch):
    server, _, _ = world
    monkeypatch.setattr(answering, "MOST_SESSIONS", 0)
    with pytest.raises(ResourceExhausted):
        await server.open_terminal(pb.OpenTerminalRequest(run=RUN, command=["true"]), None)


async def test_a_run_without_a_process_has_no_commands(world, nats_url):
    server, held, _ = world
    launch, held.launch = held.launch, None
    with pytest.raises(FailedPrecondition):
        await opened(server, "true")
    held.launch = launch
    for state, kind in (
        ({"created": pb.RunCreated(name=RUN), "status": pb.RUN_STATUS_QUEUED}, FailedPrecondition),
        ({"created": pb.RunCreated(name=RUN.replace("vision", "other"))}, NotFound),
        ({}, NotFound),
    ):
        with pytest.raises(kind):
            await TerminalServer(FakeCommands(**state), server.bus).open_terminal(
                pb.OpenTerminalRequest(run=RUN), None
            )


def test_subjects_have_no_dots_of_the_agent_s_name():
    assert terminal_subject(AGENT, "open") == "terminal.v1.a_host_name.open"
