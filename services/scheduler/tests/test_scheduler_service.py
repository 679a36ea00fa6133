"""Runs from submission to end, through the real processes."""

import asyncio

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_kernel.errors import FailedPrecondition, InvalidArgument, NotFound
from epochal_proto.v1.services import RunService
from epochal_scheduler.projections import READ_MODEL
from epochal_testing.waiting import until
from scheduler_world import PARENT, World, spec

GOOD = ["Created", "Queued", "Scheduled", "Starting", "Started", "ProcessExited", "Succeeded"]


@pytest_asyncio.fixture(loop_scope="session")
async def world(database, nats_url, tmp_path):
    async with World(database, nats_url, tmp_path).open() as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def scheduler(world):
    async with world.scheduler() as process:
        yield process


@pytest_asyncio.fixture(loop_scope="session")
async def agent(world, scheduler):
    async with world.agent() as process:
        yield process


async def test_a_run_goes_from_file_to_success(world, agent):
    run = await world.submit("print('hello')")
    assert (run.status, run.queue) == (pb.RUN_STATUS_QUEUED, "default")
    await world.until_event(run.name, pb.RunSucceeded)
    assert await world.names(run.name) == GOOD
    await until(lambda: world.lines[run.name] == ["hello"])


async def test_many_runs_end_each_once(world, agent):
    runs = await asyncio.gather(*(world.submit("pass") for _ in range(30)))
    for run in runs:
        await world.until_event(run.name, pb.RunSucceeded, 60)
        assert await world.names(run.name) == GOOD
    rows = await until(lambda: _empty(world))
    assert rows


async def _empty(world):
    left = await world.pool.fetchval(
        "SELECT (SELECT count(*) FROM scheduler.task) + (SELECT count(*) FROM scheduler.lease)"
        f" + (SELECT count(*) FROM {READ_MODEL.schema}.live_run)"
    )
    return left == 0


async def test_a_failing_run_is_retried_within_its_budget(world, agent):
    run = await world.submit("raise SystemExit(3)", "termination: {maxRetries: 2}\n")
    failed = await world.until_event(run.name, pb.RunFailed)
    assert "exit code 3" in failed.message
    names = await world.names(run.name)
    assert names.count("Retrying") == 2
    assert names.count("Starting") == 3


async def test_a_stop_reaches_the_process_at_once(world, agent):
    run = await world.submit("import time; print('up', flush=True); time.sleep(60)")
    await world.until_event(run.name, pb.RunStarted)
    request = pb.StopRunRequest(name=run.name, reason="enough")
    stopping = await world.call(RunService.STOP_RUN, request)
    assert stopping.status == pb.RUN_STATUS_STOPPING
    stopped = await world.until_event(run.name, pb.RunStopped)
    assert stopped.reason == "enough"


async def test_a_timeout_fails_the_run(world, agent):
    run = await world.submit("import time; time.sleep(60)", "termination: {timeout: 1}\n")
    assert "timeout of 1 s" in (await world.until_event(run.name, pb.RunFailed)).message


async def test_a_run_without_agents_waits_and_stops_at_once(world, scheduler):
    run = await world.submit("pass")
    await world.until_event(run.name, pb.RunQueued)

    async def explained():
        found = await world.call(RunService.EXPLAIN_RUN, pb.ExplainRunRequest(name=run.name))
        assert [item.kind for item in found.items] == ["no_agent"], found
        return found

    found = await until(explained)
    assert found.position == 1
    assert "epochal agent --queue default" in found.summary
    stopped = await world.call(RunService.STOP_RUN, pb.StopRunRequest(name=run.name))
    assert stopped.status == pb.RUN_STATUS_STOPPED
    async with world.agent():
        other = await world.submit("pass")
        await world.until_event(other.name, pb.RunSucceeded)
    assert "Starting" not in await world.names(run.name)


async def test_success_waits_for_the_seal(world, agent):
    world.seals = False
    run = await world.submit("print('a line')")
    await world.until_event(run.name, pb.RunProcessExited)
    assert "Succeeded" not in await world.names(run.name)
    world.seals = True
    ended = await world.until_event(run.name, pb.RunSucceeded)
    assert list(ended.incomplete_producers) == []


async def test_an_end_over_open_telemetry_is_forced_after_a_grace(world):
    world.seals = False
    world.environment |= {"EPOCHAL_SEAL_GRACE_S": "0.3", "EPOCHAL_FAILED_SEAL_GRACE_S": "0.2"}
    async with world.scheduler(), world.agent():
        good = await world.submit("print('a line')")
        bad = await world.submit("raise SystemExit('a line')")
        forced = await world.until_event(good.name, pb.RunSucceeded)
        assert len(forced.incomplete_producers) == 1
        failed = await world.until_event(bad.name, pb.RunFailed)
        assert len(failed.incomplete_producers) == 1


async def test_a_false_condition_skips(world, scheduler):
    run = await world.call(
        RunService.CREATE_RUN,
        pb.CreateRunRequest(
            parent=PARENT,
            spec=b"kind: operation\nconditions: '{{ 1 > 2 }}'\ncomponent: {run: {kind: job, "
            b"container: {command: [x]}}}\n",
        ),
    )
    assert run.status == pb.RUN_STATUS_SKIPPED


async def test_a_repeated_request_makes_one_run(world, scheduler):
    request = pb.CreateRunRequest(
        parent=PARENT, spec=spec("pass"), request_id=str(world.ids.uuid7())
    )
    first = await world.call(RunService.CREATE_RUN, request)
    second = await world.call(RunService.CREATE_RUN, request)
    assert first.name == second.name
    assert (await world.names(first.name)).count("Created") == 1


async def test_validate_only_makes_nothing(world, scheduler):
    request = pb.CreateRunRequest(parent=PARENT, spec=spec("pass"), validate_only=True)
    run = await world.call(RunService.CREATE_RUN, request)
    assert run.status == pb.RUN_STATUS_CREATED
    assert await world.names(run.name) == []


async def test_params_keep_their_types_and_win_over_the_file(world, scheduler):
    text = (
        "kind: component\ninputs: [{name: lr, type: float, value: 1}, {name: n, type: int}]\n"
        "tags: [demo]\nrun: {kind: job, container: {command: [echo, '{{ lr }}']}}\n"
    )
    request = pb.CreateRunRequest(parent=PARENT, spec=text.encode(), tags={"team": "a"})
    request.params["n"].string_value = "7"
    run = await world.call(RunService.CREATE_RUN, request)
    assert run.params["n"].int_value == 7
    assert run.params["lr"].double_value == 1.0
    assert dict(run.tags) == {"demo": "true", "team": "a"}
    assert run.creator == "users/alice"


async def test_a_bad_spec_is_refused_with_its_lines(world, scheduler):
    request = pb.CreateRunRequest(parent=PARENT, spec=b"kind: component\nquue: x\n")
    with pytest.raises(InvalidArgument) as caught:
        await world.call(RunService.CREATE_RUN, request)
    assert [v.rule for v in caught.value.violations] == ["missing_field", "unknown_field"]
    assert caught.value.violations[1].message.startswith("line 2, column 1: ")


async def test_compile_answers_with_warnings(world, scheduler):
    request = pb.CompileOperationRequest(parent=PARENT, spec=spec("pass", "presets: [a]\n"))
    answer = await world.call(RunService.COMPILE_OPERATION, request)
    assert answer.digest.startswith("sha256:")
    assert [(w.field, w.line) for w in answer.warnings] == [("presets[0]", 9)]


async def test_a_tracked_run_is_finished_by_its_owner(world, scheduler):
    request = pb.CreateRunRequest(parent=PARENT, tracked=pb.TrackedRun(), display_name="mine")
    run = await world.call(RunService.CREATE_RUN, request)
    assert run.status == pb.RUN_STATUS_RUNNING
    await world._open(pb.OpenProducerRequest(run=run.name, producer="p1"), None)
    finish = pb.FinishRunRequest(name=run.name, status=pb.RUN_STATUS_SUCCEEDED)
    with pytest.raises(FailedPrecondition, match="p1"):
        await world.call(RunService.FINISH_RUN, finish)
    await world._seal(pb.SealProducerRequest(run=run.name, producer="p1"), None)
    done = await world.call(RunService.FINISH_RUN, finish)
    assert done.status == pb.RUN_STATUS_SUCCEEDED


async def test_a_run_is_reached_by_its_own_name_alone(world, scheduler):
    run = await world.submit("pass")
    elsewhere = run.name.replace("/projects/vision/", "/projects/other/")
    for method, request in (
        (RunService.STOP_RUN, pb.StopRunRequest(name=elsewhere)),
        (RunService.EXPLAIN_RUN, pb.ExplainRunRequest(name=elsewhere)),
        (RunService.RESTART_RUN, pb.RestartRunRequest(name=elsewhere)),
        (RunService.FINISH_RUN, pb.FinishRunRequest(name=elsewhere, status=8)),
    ):
        with pytest.raises(NotFound, match="there is no"):
            await world.call(method, request)
    assert await world.names(run.name) == ["Created", "Queued"]
