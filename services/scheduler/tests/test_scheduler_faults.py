"""Whatever dies, a run ends exactly once and leaves no process behind."""

import asyncio
import os
import signal

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_proto.v1.services import AgentService
from epochal_scheduler.agent.marks import find_marked
from epochal_testing.waiting import until
from scheduler_world import World

pytestmark = pytest.mark.faults

GOOD = ["Created", "Queued", "Scheduled", "Starting", "Started", "ProcessExited", "Succeeded"]
SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
NO_RETRIES = "retry: {infrastructure: 0}\n"


@pytest_asyncio.fixture(loop_scope="session")
async def world(database, nats_url, tmp_path):
    async with World(database, nats_url, tmp_path).open() as made:
        yield made


def processes_of(run):
    return list(find_marked(f"EPOCHAL_RUN={run.name}"))


@pytest.mark.parametrize("name", ["dispatch.before_publish", "dispatch.after_publish"])
async def test_a_scheduler_killed_while_dispatching_starts_the_run_once(world, name):
    async with world.agent():
        async with world.scheduler(failpoints={name: "kill"}) as dying:
            run = await world.submit("print('once')")
            assert await dying.wait() == -signal.SIGKILL
        async with world.scheduler():
            await world.until_event(run.name, pb.RunSucceeded)
            await until(lambda: world.lines[run.name] == ["once"])
    assert await world.names(run.name) == GOOD


@pytest.mark.parametrize(
    "name", ["append.after_commit", "consumer.before_commit", "consumer.after_commit"]
)
@pytest.mark.parametrize("nth", [1, 3, 5])
async def test_a_scheduler_killed_at_any_step_goes_on_where_it_was(world, name, nth):
    async with world.agent():
        async with world.scheduler(failpoints={name: f"kill@{nth}"}) as dying:
            submitting = asyncio.create_task(world.submit("print('once')"))
            ended = asyncio.create_task(dying.wait(60))
            done, _ = await asyncio.wait({submitting, ended}, return_when="FIRST_COMPLETED")
            if submitting in done:
                run = submitting.result()

                async def dead_or_over():
                    names = await world.names(run.name)
                    return dying.returncode is not None or "Succeeded" in names

                await until(dead_or_over)
            ended.cancel()
        async with world.scheduler():
            run = await submitting
            await world.until_event(run.name, pb.RunSucceeded)
            await until(lambda: world.lines[run.name] == ["once"])
    assert await world.names(run.name) == GOOD


async def test_a_killed_agent_s_processes_die_and_its_run_is_retried(world):
    async with world.scheduler():
        async with world.agent() as dying:
            run = await world.submit(SLEEPER, "retry: {infrastructure: 1}\n")
            await world.until_event(run.name, pb.RunStarted)
            assert processes_of(run)
            os.kill(dying.pid, signal.SIGKILL)
            await until(lambda: processes_of(run) == [])
            await world.until_event(run.name, pb.RunRetrying)
        async with world.agent():

            async def second_started():
                return (await world.names(run.name)).count("Started") == 2

            await until(second_started)
            attempts = [
                e.attempt for e in await world.events(run.name) if isinstance(e, pb.RunStarted)
            ]
            assert attempts == [1, 2]
    assert processes_of(run) == []


async def test_a_killed_agent_s_run_fails_without_retries(world):
    async with world.scheduler(), world.agent() as dying:
        run = await world.submit(SLEEPER, "termination: {maxRetries: 3}\n" + NO_RETRIES)
        await world.until_event(run.name, pb.RunStarted)
        os.kill(dying.pid, signal.SIGKILL)
        failed = await world.until_event(run.name, pb.RunFailed)
    assert failed.infrastructure
    assert "not heard of" in failed.message


@pytest.mark.parametrize("name", ["agent.after_claim", "agent.after_start"])
async def test_an_agent_killed_around_the_start_is_noticed(world, name):
    async with world.scheduler(), world.agent(failpoints={name: "kill"}) as dying:
        run = await world.submit(SLEEPER, NO_RETRIES)
        assert await dying.wait() == -signal.SIGKILL
        await until(lambda: processes_of(run) == [])
        assert (await world.until_event(run.name, pb.RunFailed)).infrastructure


@pytest.mark.parametrize(
    ("name", "end"),
    [("agent.before_exit", pb.RunFailed), ("agent.after_exit", pb.RunSucceeded)],
)
async def test_an_agent_killed_around_the_end_loses_the_attempt_or_nothing(world, name, end):
    async with world.scheduler(), world.agent(failpoints={name: "kill"}) as dying:
        run = await world.submit("print('done')", NO_RETRIES)
        assert await dying.wait() == -signal.SIGKILL
        ended = await world.until_event(run.name, end)
    assert not getattr(ended, "incomplete_producers", ())
    await until(lambda: world.lines[run.name] == ["done"])


async def test_a_run_outlives_the_scheduler(world):
    async with world.agent():
        async with world.scheduler():
            run = await world.submit("import sys; sys.stdin.read(); import time; time.sleep(2)")
            await world.until_event(run.name, pb.RunStarted)
        async with world.scheduler():
            await world.until_event(run.name, pb.RunSucceeded)
    assert await world.names(run.name) == GOOD


async def test_a_run_outlives_the_bus(world, nats_server):
    async with world.agent(), world.scheduler():
        run = await world.submit("import time; print('a', flush=True); time.sleep(1.5); print('b')")
        await world.until_event(run.name, pb.RunStarted)
        await nats_server.stop()
        await asyncio.wait({asyncio.create_task(_gone(run))}, timeout=10)
        await nats_server.start()
        await world.until_event(run.name, pb.RunSucceeded, 40)
    assert await world.names(run.name) == GOOD


async def _gone(run):
    await until(lambda: processes_of(run) == [])


async def test_work_lost_by_the_broker_is_published_again(world):
    async with world.scheduler():
        run = await world.submit("pass")
        # Heard of and never again: what it was given stays with the broker.
        ghost = pb.HeartbeatRequest(agent="agents/ghost", queues=["default"], slots=1)
        await world.call(AgentService.HEARTBEAT, ghost)
        await world.until_event(run.name, pb.RunScheduled)

        async def noted():
            query = "SELECT sequence FROM scheduler.task WHERE kind = 'publish'"
            return await world.pool.fetchval(query)

        await until(noted)
        import nats

        client = await nats.connect(world.nats_url)
        await client.jetstream().delete_stream("WORK")
        await client.close()
        await world.pool.execute("UPDATE scheduler.task SET due_at = now()")
        async with world.agent():
            await world.until_event(run.name, pb.RunSucceeded, 40)
    assert await world.names(run.name) == GOOD


async def test_an_agent_told_to_leave_waits_for_what_runs(world):
    async with world.scheduler(), world.agent() as leaving:
        run = await world.submit("import time; time.sleep(1); print('done')")
        await world.until_event(run.name, pb.RunStarted)
        leaving.send(signal.SIGTERM)
        assert await leaving.wait() == 0
        await world.until_event(run.name, pb.RunSucceeded)
    assert await world.names(run.name) == GOOD


async def test_an_agent_that_may_not_wait_hands_its_run_back(world):
    world.environment["EPOCHAL_AGENT_DRAIN_S"] = "0"
    async with world.scheduler():
        async with world.agent() as leaving:
            run = await world.submit(SLEEPER, "retry: {infrastructure: 1}\n")
            await world.until_event(run.name, pb.RunStarted)
            leaving.send(signal.SIGTERM)
            assert await leaving.wait() == 0
        lost = await world.until_event(run.name, pb.RunAttemptLost)
    assert "shut down" in lost.reason
    assert processes_of(run) == []


async def test_an_agent_that_was_cut_off_too_long_ends_its_process(world):
    async with world.scheduler(), world.agent() as stalled:
        run = await world.submit(SLEEPER, NO_RETRIES)
        await world.until_event(run.name, pb.RunStarted)
        stalled.send(signal.SIGSTOP)
        await world.until_event(run.name, pb.RunFailed)
        assert len(processes_of(run)) == 1
        stalled.send(signal.SIGCONT)
        await until(lambda: processes_of(run) == [])
    assert (await world.names(run.name))[-1] == "Failed"
