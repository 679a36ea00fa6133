"""Pipelines through the real processes: DAGs, sweeps, schedules, approvals, queues."""

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_kernel.errors import PermissionDenied
from epochal_proto.v1.services import QueueService, RunService
from epochal_scheduler.projections import READ_MODEL, run_id_of
from epochal_testing.waiting import until
from pipeline_world import TELL, create, dag, ended, job, until_children
from scheduler_world import PARENT, World


@pytest_asyncio.fixture(loop_scope="session")
async def world(database, nats_url, tmp_path):
    async with World(database, nats_url, tmp_path).open() as made, made.scheduler():
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def agent(world):
    async with world.agent() as process:
        yield process


async def test_a_dag_hands_outputs_from_step_to_step(world, agent):
    text = dag(
        {"name": "a", **job(TELL % "'x': 3", outputs=[{"name": "x", "type": "int"}])},
        {
            "name": "b",
            "params": {"y": {"ref": "ops.a", "value": "outputs.x"}},
            **job("assert {{ y }} == 3", inputs=[{"name": "y", "type": "int"}]),
        },
    )
    run = await create(world, text)
    assert run.kind == pb.RUN_KIND_DAG
    await ended(world, run)
    await until_children(world, run, [("a", "succeeded"), ("b", "succeeded")])


async def test_a_failure_fails_what_follows_and_a_condition_skips(world, agent):
    text = dag(
        {"name": "bad", **job("raise SystemExit(1)")},
        {"name": "after", "dependencies": ["bad"], **job("pass")},
        {"name": "cleanup", "dependencies": ["bad"], "trigger": "one_failed", **job("pass")},
        {"name": "never", "conditions": "{{ 1 > 2 }}", **job("pass")},
    )
    run = await create(world, text)
    failed = await ended(world, run, pb.RunFailed)
    assert "bad" in failed.message
    expected = [
        ("after", "upstream_failed"), ("bad", "failed"), ("cleanup", "succeeded"),
        ("never", "skipped"),
    ]  # fmt: skip
    await until_children(world, run, expected)


async def test_a_stopped_dag_stops_its_steps(world, agent):
    run = await create(world, dag({"name": "long", **job("import time; time.sleep(60)")}))
    await until_children(world, run, [("long", "running")])
    await world.call(RunService.STOP_RUN, pb.StopRunRequest(name=run.name, reason="enough"))
    stopped = await ended(world, run, pb.RunStopped)
    assert stopped.reason == "enough"
    await until_children(world, run, [("long", "stopped")])


async def test_a_resumed_dag_runs_what_failed_and_what_followed(world, agent, tmp_path):
    flag = tmp_path / "flag"
    text = dag(
        {"name": "good", **job("pass")},
        {"name": "flaky", **job(f"import os; assert os.path.exists({str(flag)!r})")},
        {"name": "after", "dependencies": ["good", "flaky"], **job("pass")},
    )
    run = await create(world, text)
    await ended(world, run, pb.RunFailed)
    flag.touch()
    await world.call(RunService.RESUME_RUN, pb.ResumeRunRequest(name=run.name))
    await ended(world, run)
    expected = [
        ("after", "upstream_failed"), ("after", "succeeded"), ("flaky", "succeeded"),
        ("good", "succeeded"),
    ]  # fmt: skip
    await until_children(world, run, expected)


async def test_a_fork_reuses_what_it_does_not_start_from(world, agent):
    given = {"y": {"ref": "ops.first", "value": "globals.name"}}
    inputs = [{"name": "y", "type": "str"}]
    text = dag(
        {"name": "first", **job("pass")},
        {
            "name": "a",
            "params": given,
            **job(TELL % "'x': 3", outputs=[{"name": "x", "type": "int"}], inputs=inputs),
        },
        {
            "name": "b",
            "params": {"y": {"ref": "ops.a", "value": "outputs.x"}},
            **job("assert {{ y }} == 3", inputs=[{"name": "y", "type": "int"}]),
        },
    )
    run = await create(world, text)
    await ended(world, run)
    fork = await world.call(
        RunService.RESTART_RUN, pb.RestartRunRequest(name=run.name, steps=["b"])
    )
    assert (fork.origin, fork.origin_kind) == (run.name, "fork")
    await ended(world, fork)
    rows = await world.pool.fetch(
        f"SELECT step, name FROM {READ_MODEL.schema}.child WHERE pipeline_id = $1",
        run_id_of(fork.name),
    )
    names = {step: await world.names(name) for step, name in rows}
    assert names["a"] == ["Created", "Reused", "Succeeded"]
    assert "Started" in names["b"]


async def test_a_grid_runs_every_combination(world, agent):
    text = """
        kind: operation
        matrix:
          kind: grid
          concurrency: 2
          params:
            a: {kind: choice, value: [1, 2]}
            b: {kind: choice, value: [x, y]}
        component:
          inputs: [{name: a, type: int}, {name: b, type: str}]
          run:
            kind: job
            container: {command: [python, -c], args: ["print({{ a }}, '{{ b }}')"]}
    """
    run = await create(world, text)
    assert run.kind == pb.RUN_KIND_MATRIX
    await ended(world, run)
    await until_children(world, run, [(n, "succeeded") for n in (1, 2, 3, 4)])


async def test_an_interval_schedule_fires_until_it_has_made_its_runs(world, agent):
    text = """
        kind: operation
        schedule: {kind: interval, frequency: 1, maxRuns: 2}
        component:
          run: {kind: job, container: {command: [python, -c], args: ["pass"]}}
    """
    run = await create(world, text)
    assert run.kind == pb.RUN_KIND_SCHEDULE
    await ended(world, run)
    await until_children(world, run, [(1, "succeeded"), (2, "succeeded")])


async def test_a_custom_event_fires_a_trigger_and_fills_its_inputs(world, agent):
    text = """
        kind: operation
        events:
          - {kinds: [project_custom_event], ref: events.data-arrived, filter: "rows > 10"}
        component:
          inputs: [{name: rows, type: int, value: 0}]
          run: {kind: job, container: {command: [python, -c], args: ["assert {{ rows }} == 20"]}}
    """
    run = await create(world, text)
    assert run.kind == pb.RUN_KIND_TRIGGER
    for rows in (5, 20):
        request = pb.EmitEventRequest(
            parent=PARENT, kind="data-arrived", attributes={"rows": pb.Value(int_value=rows)}
        )
        await world.call(RunService.EMIT_EVENT, request)
    await until_children(world, run, [(1, "succeeded")])
    tested = await world.call(
        RunService.TEST_TRIGGER, pb.TestTriggerRequest(parent=PARENT, name=run.name)
    )
    assert [(match.fires, match.kind) for match in tested.matches] == [
        (True, "project_custom_event"), (False, "project_custom_event"),
    ]  # fmt: skip


async def test_a_run_that_needs_approval_waits_for_its_quorum(world, agent):
    text = """
        kind: operation
        approval: {approvers: [users/alice, users/bob], quorum: 1, fourEyes: true, reason: costly}
        component:
          run: {kind: job, container: {command: [python, -c], args: ["pass"]}}
    """
    run = await create(world, text)
    assert list(run.holds) == ["approval"]
    found = await world.call(RunService.EXPLAIN_RUN, pb.ExplainRunRequest(name=run.name))
    assert "users/bob" in found.summary
    with pytest.raises(PermissionDenied, match="four eyes"):
        await world.call(RunService.APPROVE_RUN, pb.ApproveRunRequest(name=run.name))
    context = world.context()
    context.actor = "users/bob"
    approved = await world.client.call(
        RunService.APPROVE_RUN, pb.ApproveRunRequest(name=run.name, reason="fine"), context
    )
    assert approved.status == pb.RUN_STATUS_QUEUED
    await ended(world, run)


async def test_equal_runs_are_reused_when_asked_for_and_say_why(world, agent):
    text = """
        kind: operation
        cache: {io: [a]}
        params: {a: 1, label: %s}
        component:
          inputs: [{name: a, type: int}, {name: label, type: str}]
          run: {kind: job, container: {command: [python, -c], args: ["print({{ a }})"]}}
    """
    first = await create(world, text % "one")
    await ended(world, first)
    await until(lambda: world.pool.fetchval(f"SELECT count(*) FROM {READ_MODEL.schema}.result"))
    second = await create(world, text % "two")
    assert second.status == pb.RUN_STATUS_SUCCEEDED
    reused = await world.until_event(second.name, pb.RunReused)
    assert reused.source == first.name
    assert 'label ("one" -> "two")' in reused.explanation
    third = await create(world, text % "three", cache=pb.CACHE_USE_OFF)
    assert third.status == pb.RUN_STATUS_QUEUED
    await ended(world, third)


async def test_a_queue_holds_back_what_is_beyond_its_concurrency(world, agent):
    limited = pb.CreateQueueRequest(
        parent="orgs/acme", queue_id="default", queue=pb.Queue(concurrency=1)
    )
    await world.call(QueueService.CREATE_QUEUE, limited)
    long = await world.submit("import time; time.sleep(60)")
    await world.until_event(long.name, pb.RunStarted)
    waiting = await world.submit("pass")
    found = await world.call(RunService.EXPLAIN_RUN, pb.ExplainRunRequest(name=waiting.name))
    assert [item.kind for item in found.items] == ["concurrency"]
    await world.call(RunService.STOP_RUN, pb.StopRunRequest(name=long.name))
    await ended(world, waiting)


async def test_a_run_of_higher_priority_preempts_where_its_queue_does(world, agent):
    limited = pb.CreateQueueRequest(
        parent="orgs/acme", queue_id="default", queue=pb.Queue(concurrency=1, preempts=True)
    )
    await world.call(QueueService.CREATE_QUEUE, limited)
    low = await world.submit("import time; time.sleep(3)")
    await world.until_event(low.name, pb.RunStarted)
    high = await world.submit("pass", priority=5)
    await ended(world, high)
    preempted = await world.until_event(low.name, pb.RunPreempted)
    assert preempted.beneficiary == high.name
    await ended(world, low)


async def test_a_hook_tells_a_connection_when_the_run_ended_as_it_asks(world, agent):
    text = """
        kind: operation
        hooks:
          - {hubRef: slack, connection: team, trigger: failed}
          - {hubRef: slack, connection: others, trigger: succeeded}
        plugins: {notifications: [{connections: [mail], trigger: done}]}
        component:
          run: {kind: job, container: {command: [python, -c], args: ["raise SystemExit(1)"]}}
    """
    run = await create(world, text)
    await ended(world, run, pb.RunFailed)
    asked = await world.until_event(run.name, pb.RunNotificationRequested)
    assert (list(asked.connections), asked.status) == (["mail"], "failed")

    async def hooks():
        query = "SELECT payload FROM log.event WHERE type LIKE '%RunNotificationRequested'"
        rows = await world.pool.fetch(query)
        told = [pb.RunNotificationRequested.FromString(row[0]) for row in rows]
        assert len(told) == 2
        return told

    told = await until(hooks)
    hook = next(one for one in told if one.key == "notifier")
    assert (hook.run, list(hook.connections), hook.status) == (run.name, ["team"], "failed")
