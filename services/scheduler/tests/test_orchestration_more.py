"""More of pipelines through the real processes: nesting, sweeps that stop, holds, limits, reuse."""

import json
from contextlib import suppress

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_kernel.errors import NotFound, ResourceExhausted
from epochal_proto.v1.services import (
    AgentService,
    ComponentService,
    QueueService,
    RunService,
    TrackingService,
)
from epochal_scheduler.agent.marks import find_marked
from epochal_testing.waiting import until
from pipeline_world import (
    TELL,
    child,
    child_rows,
    create,
    dag,
    ended,
    job,
    shell,
    until_children,
)
from scheduler_world import World


class Platform(World):
    """A world whose tracker tells of runs and metrics what the test put there."""

    def __init__(self, *parts):
        super().__init__(*parts)
        self.points = {}

    def also(self, server):
        server.unary(TrackingService.SAMPLE_METRICS, self._sample)

    async def _sample(self, request, context):
        response = pb.SampleMetricsResponse()
        for cursor in request.cursors:
            sample = response.samples.add()
            series = self.points.get(cursor.run, lambda: [])()
            for step, value in series:
                if step >= cursor.from_step:
                    sample.steps.append(step)
                    sample.values.append(value)
        return response


@pytest_asyncio.fixture(loop_scope="session")
async def world(database, nats_url, tmp_path):
    async with Platform(database, nats_url, tmp_path).open() as made, made.scheduler():
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def agent(world):
    async with world.agent() as process:
        yield process


LONG = "import time; time.sleep(60)"


async def test_a_dag_inside_a_dag_is_one_step_of_it(world, agent):
    inner = json.loads(
        dag({"name": "x", **job("pass")}, {"name": "y", **job("raise SystemExit(1)")})
    )
    good = json.loads(dag({"name": "x", **job("pass")}))
    text = dag(
        {"name": "good", "component": good},
        {"name": "bad", "component": inner},
        {"name": "after", "dependencies": ["good"], **job("pass")},
        {"name": "never", "dependencies": ["bad"], **job("pass")},
    )
    run = await create(world, text)
    await ended(world, run, pb.RunFailed)
    expected = [
        ("after", "succeeded"), ("bad", "failed"), ("good", "succeeded"),
        ("never", "upstream_failed"),
    ]  # fmt: skip
    await until_children(world, run, expected)
    bad = pb.Run(name=await child(world, run, "bad"))
    await until_children(world, bad, [("x", "succeeded"), ("y", "failed")])


async def test_a_dag_fans_out_and_goes_on_when_all_are_done(world, agent):
    sweep = {
        "name": "sweep",
        "matrix": {"kind": "grid", "params": {"a": {"kind": "choice", "value": [1, 2, 3]}}},
        **job("print({{ a }})", inputs=[{"name": "a", "type": "int"}]),
    }
    run = await create(
        world, dag(sweep, {"name": "after", "dependencies": ["sweep"], **job("pass")})
    )
    await ended(world, run)
    inner = pb.Run(name=await child(world, run, "sweep"))
    await until_children(world, inner, [(n, "succeeded") for n in (1, 2, 3)])
    names = [row["name"] for row in await child_rows(world, inner)]
    await until(lambda: [world.lines[name] for name in names] == [["1"], ["2"], ["3"]])


async def test_a_step_that_waits_or_was_reused_or_skipped_says_why(world, agent):
    held = {"name": "held", "approval": {"quorum": 1}, **job("pass")}
    run = await create(world, dag(held, {"name": "after", "dependencies": ["held"], **job("pass")}))
    name = await child(world, run, "held")
    explained = await explain(world, name)
    assert "waits for approval" in explained.summary
    pipeline = await explain(world, run.name)
    assert any(item.kind == "pipeline" for item in pipeline.items)
    await world.call(RunService.SKIP_RUN, pb.SkipRunRequest(name=name, reason="not today"))
    await until_children(world, run, [("after", "succeeded"), ("held", "skipped")])
    assert (await explain(world, name)).summary == "skipped: not today"
    done = await explain(world, await child(world, run, "after"))
    assert done.summary == "succeeded"


async def explain(world, name):
    return await world.call(RunService.EXPLAIN_RUN, pb.ExplainRunRequest(name=name))


async def test_a_pipeline_that_takes_too_long_is_stopped_with_its_steps(world, agent):
    text = json.loads(dag({"name": "long", **job(LONG)}))
    run = await create(
        world, json.dumps({"kind": "operation", "termination": {"timeout": 2}, "component": text})
    )
    stopped = await ended(world, run, pb.RunStopped)
    assert stopped.reason == "it ran into its timeout of 2 s"
    await until_children(world, run, [("long", "stopped")])


async def test_an_approval_that_nobody_gives_ends_the_run(world):
    text = {"kind": "operation", "approval": {"expires": 1}, **job("pass")}
    run = await create(world, json.dumps(text))
    stopped = await ended(world, run, pb.RunStopped)
    assert stopped.reason == "nobody approved it in time"
    resumed = await world.call(RunService.RESUME_RUN, pb.ResumeRunRequest(name=run.name))
    assert resumed.status == pb.RUN_STATUS_CREATED

    async def expired_again():
        return (await world.names(run.name)).count("Stopped") == 2

    await until(expired_again, 20)
    assert "Queued" not in await world.names(run.name)


async def test_a_paused_sweep_starts_nothing_new_and_goes_on_when_told(world, agent):
    gate = world.folder / "gate"
    script = f"until [ -e {gate} ]; do sleep 0.05; done"
    matrix = {"kind": "mapping", "concurrency": 1, "values": [{"a": n} for n in range(4)]}
    inputs = [{"name": "a", "type": "int"}]
    text = {"kind": "operation", "matrix": matrix, **shell(script, inputs=inputs)}
    run = await create(world, json.dumps(text))
    await until_children(world, run, [(1, "running")])
    await world.call(RunService.PAUSE_RUN, pb.PauseRunRequest(name=run.name))
    gate.touch()
    await until_children(world, run, [(1, "succeeded")])
    gate.unlink()
    paused = await explain(world, run.name)
    assert "paused" in [item.kind for item in paused.items]
    change = pb.UpdatePipelineRequest(name=run.name, concurrency=2)
    await world.call(RunService.UPDATE_PIPELINE, change)
    await world.call(RunService.UNPAUSE_RUN, pb.UnpauseRunRequest(name=run.name))
    await until_children(world, run, [(1, "succeeded"), (2, "running"), (3, "running")])
    gate.touch()
    await ended(world, run)
    more = pb.UpdatePipelineRequest(name=run.name, add_runs=1)
    extended = await world.call(RunService.UPDATE_PIPELINE, more)
    assert extended.status == pb.RUN_STATUS_RUNNING


async def test_an_extended_search_makes_so_many_more(world, agent):
    params = {"a": {"kind": "uniform", "value": {"low": 0, "high": 1}}}
    matrix = {"kind": "random", "numRuns": 2, "seed": 1, "params": params}
    inputs = [{"name": "a", "type": "float"}]
    text = {"kind": "operation", "matrix": matrix, **shell(":", inputs=inputs)}
    run = await create(world, json.dumps(text))
    await ended(world, run)
    await world.call(
        RunService.UPDATE_PIPELINE, pb.UpdatePipelineRequest(name=run.name, add_runs=2)
    )
    await until_children(world, run, [(n, "succeeded") for n in (1, 2, 3, 4)])

    async def ended_again():
        return (await world.names(run.name)).count("Succeeded") == 2

    await until(ended_again)
    rows = await child_rows(world, run)
    values = {(await world.events(row["name"]))[0].params["a"].double_value for row in rows}
    assert len(values) == 4


async def test_a_trial_that_looks_bad_is_really_stopped(world, agent):
    matrix = {
        "kind": "asha", "numRuns": 3, "concurrency": 3, "eta": 3, "seed": 1,
        "minResource": 1, "maxResource": 9,
        "metric": {"name": "loss", "optimization": "minimize"},
        "params": {"a": {"kind": "uniform", "value": {"low": 0, "high": 1}}},
    }  # fmt: skip
    gate = world.folder / "gate"
    script = f"until [ -e {gate} ]; do sleep 0.05; done"
    inputs = [{"name": "a", "type": "float"}]
    run = await create(
        world, json.dumps({"kind": "operation", "matrix": matrix, **shell(script, inputs=inputs)})
    )
    await until_children(world, run, [(n, "running") for n in (1, 2, 3)])
    rows = await child_rows(world, run)
    for rank, row in enumerate(rows):
        world.points[row["name"]] = lambda rank=rank: [(step, float(rank)) for step in range(1, 5)]
    await until(lambda: _stopped(world, run), 30)
    pruned = [row for row in await child_rows(world, run) if row["status"] == pb.RUN_STATUS_STOPPED]
    for row in pruned:
        assert row["message"].startswith("pruned: "), row["message"]
        await until(lambda row=row: not list(find_marked(f"EPOCHAL_RUN={row['name']}")))
        assert (await explain(world, row["name"])).items[0].kind == "pruned"
    gate.touch()
    await ended(world, run)


async def _stopped(world, run):
    rows = await child_rows(world, run)
    return any(row["status"] == pb.RUN_STATUS_STOPPED for row in rows)


async def test_too_many_failures_end_a_sweep_early(world, agent):
    matrix = {
        "kind": "mapping", "concurrency": 1, "values": [{"a": n} for n in range(8)],
        "earlyStopping": [{"kind": "failure_early_stopping", "percent": 25}],
    }  # fmt: skip
    inputs = [{"name": "a", "type": "int"}]
    for script, made in (("exit 1", 8), (":", 8)):
        text = {"kind": "operation", "matrix": matrix, **shell(script, inputs=inputs)}
        run = await create(world, json.dumps(text))
        kind = pb.RunFailed if script == "exit 1" else pb.RunSucceeded
        await ended(world, run, kind)
        rows = await child_rows(world, run)
        assert (len(rows) < made) == (script == "exit 1")


async def register(world, name, spec):
    """Registers a component, and waits until specs find it."""
    request = pb.RegisterComponentRequest(
        parent="orgs/acme", component_id=name, tag="1", spec=spec.encode()
    )
    await world.call(ComponentService.REGISTER_COMPONENT, request)
    wanted = pb.GetComponentRequest(name=f"orgs/acme/components/{name}/versions/1")

    async def found():
        with suppress(NotFound):
            return await world.call(ComponentService.GET_COMPONENT, wanted)

    return await until(found)


async def test_components_presets_and_other_params_make_the_runs_they_say(world, agent):
    component = {
        "kind": "component",
        **shell("echo {{ a }}", inputs=[{"name": "a", "type": "int"}]),
    }
    text = {
        "kind": "component",
        "inputs": component["component"]["inputs"],
        **component["component"],
    }
    await register(world, "echo", json.dumps(text))
    await register(world, "calm", "kind: operation\nisPreset: true\ntags: [calm]\n")
    operation = "kind: operation\nhubRef: acme/echo:1\npresets: ['calm:1']\nparams: {a: 1}\n"
    run = await create(world, operation)
    assert dict(run.tags) == {"calm": "true"}
    await ended(world, run)
    request = pb.RestartRunRequest(name=run.name, params={"a": pb.Value(int_value=5)})
    again = await world.call(RunService.RESTART_RUN, request)
    assert again.origin_kind == "restart"
    await ended(world, again)
    await until(lambda: (world.lines[run.name], world.lines[again.name]) == (["1"], ["5"]))


async def test_hooks_run_once_for_the_end_they_wait_for(world, agent):
    hook = {"kind": "component", "name": "tell", **shell("echo told")["component"]}
    await register(world, "tell", json.dumps(hook))
    hooks = [
        {
            "hubRef": "acme/tell:1",
            "trigger": "failed",
            "conditions": "{{ inputs.loud and globals.project_name == 'vision' }}",
        },
        {"hubRef": "acme/tell:1", "trigger": "succeeded"},
        {"hubRef": "acme/tell:1", "conditions": "{{ 1 > 2 }}"},
    ]
    text = {"kind": "operation", "hooks": hooks, **shell("exit 1")}
    text["component"]["inputs"] = [{"name": "loud", "type": "bool", "value": True}]
    run = await create(world, json.dumps(text))
    await ended(world, run, pb.RunFailed)

    async def told():
        return [name for name, lines in world.lines.items() if lines == ["told"]]

    (hook_run,) = await until(told, 20)
    created = (await world.events(hook_run))[0]
    assert (created.origin, created.origin_kind) == (run.name, "hook")
    query = "SELECT count(DISTINCT stream_id) FROM log.event WHERE category = 'run'"
    assert await world.pool.fetchval(query) == 2


async def test_a_full_queue_refuses_and_a_draining_agent_takes_nothing(world):
    beat = pb.HeartbeatRequest(agent="agents/leaving", queues=["small"], slots=1, draining=True)
    await world.call(AgentService.HEARTBEAT, beat)
    queue = pb.Queue(max_waiting=1)
    request = pb.CreateQueueRequest(parent="orgs/acme", queue_id="small", queue=queue)
    await world.call(QueueService.CREATE_QUEUE, request)
    first = await world.submit("pass", queue="small")
    assert (await explain(world, first.name)).items[0].kind == "no_agent"
    with pytest.raises(ResourceExhausted) as caught:
        await world.submit("pass", queue="small")
    assert caught.value.reason == "QUEUE_FULL"


async def test_what_costs_more_than_is_left_waits(world, agent):
    request = pb.CreateQueueRequest(
        parent="orgs/acme", queue_id="default", queue=pb.Queue(cost_quota=3)
    )
    await world.call(QueueService.CREATE_QUEUE, request)
    text = {"kind": "operation", "cost": 2.0, **job(LONG)}
    first = await create(world, json.dumps(text))
    await world.until_event(first.name, pb.RunStarted)
    second = await create(world, json.dumps(text))
    explained = await explain(world, second.name)
    assert [item.kind for item in explained.items] == ["quota"]
    await world.call(RunService.STOP_RUN, pb.StopRunRequest(name=first.name))
    await world.until_event(second.name, pb.RunStarted)


async def test_a_backfill_runs_once_for_each_part(world, agent):
    inputs = [{"name": "day", "type": "str"}]
    text = {"kind": "operation", **shell("echo {{ day }}", inputs=inputs)}
    days = pb.BackfillRange(start="2026-02-27", end="2026-03-02", every="day", param="day")
    run = await create(world, json.dumps(text), backfill=days)
    assert run.kind == pb.RUN_KIND_BACKFILL
    await ended(world, run)
    await until_children(world, run, [(n, "succeeded") for n in (1, 2, 3)])
    names = [row["name"] for row in await child_rows(world, run)]
    expected = [["2026-02-27"], ["2026-02-28"], ["2026-03-01"]]
    await until(lambda: [world.lines[name] for name in names] == expected)


async def test_outputs_of_a_dag_s_steps_decide_what_runs(world, agent):
    tells = job(TELL % "'x': 3", outputs=[{"name": "x", "type": "int"}])
    after = job("pass", inputs=[{"name": "y", "type": "int"}])
    params = {"y": {"ref": "ops.a", "value": "outputs.x"}}
    text = dag(
        {"name": "a", **tells},
        {"name": "big", "params": params, "conditions": "{{ y > 5 }}", **after},
        {"name": "small", "params": params, "conditions": "{{ y <= 5 }}", **after},
    )
    run = await create(world, text)
    await ended(world, run)
    expected = [("a", "succeeded"), ("big", "skipped"), ("small", "succeeded")]
    await until_children(world, run, expected)
