"""Whatever dies while a pipeline runs, every step ends once, as its rules say."""

import asyncio
import itertools
import json
import random
import signal
from collections import Counter, defaultdict
from contextlib import asynccontextmanager, suppress

import epochal_proto.v1 as pb
import nats
import pytest
import pytest_asyncio
import zstandard
from epochal_kernel.bus import TELEMETRY
from epochal_kernel.errors import DeadlineExceeded, Unavailable
from epochal_proto.v1.services import RunService
from epochal_scheduler.agent.marks import find_marked
from epochal_scheduler.projections import ENDS
from epochal_testing.processes import python_process
from epochal_testing.waiting import until
from pipeline_world import (
    child,
    child_rows,
    children,
    create,
    dag,
    ended,
    shell,
    until_children,
)
from scheduler_world import World

pytestmark = pytest.mark.faults

OF_SCHEDULER = [
    "append.before", "append.before_commit", "append.after_commit", "relay.before_publish",
    "relay.after_publish", "consumer.before_commit", "consumer.after_commit",
    "dispatch.before_publish", "dispatch.after_publish",
]  # fmt: skip
OF_AGENT = ["agent.after_claim", "agent.after_start", "agent.before_exit", "agent.after_exit"]

# Notes that an attempt began and whether another of its step runs; fails never, once or always.
STEP = """
exec 9>>"$D/lock-$S"
flock -n 9 || echo "$S" >> "$D/twice"
echo "$EPOCHAL_ATTEMPT" >> "$D/begun-$S"
echo "$S begins $EPOCHAL_ATTEMPT"
if [ $F = always ]; then exit 1; fi
if [ $F = once ] && [ ! -e "$D/tried-$S" ]; then : > "$D/tried-$S"; exit 1; fi
echo "$S ends $EPOCHAL_ATTEMPT"
"""


class Faults(World):
    """A world that keeps its processes alive, and what its broker acknowledged."""

    def __init__(self, database, nats_url, folder):
        super().__init__(database, nats_url, folder)
        self.environment |= {
            "EPOCHAL_AGENT_SLOTS": "6",
            "EPOCHAL_INFRASTRUCTURE_RETRIES": "50",
            "EPOCHAL_RETRY_MOST_S": "0.2",
            "EPOCHAL_LOG_LEVEL": "info",
        }
        self.sealed = {}
        self.kills = Counter()
        self.watched = {}

    async def _seal(self, request, context):
        answer = await super()._seal(request, context)
        self.sealed[request.producer] = request.last_batch
        return answer

    async def _read_logs(self):
        """Reads nothing on the way: at the end the broker tells what it has."""

    async def acknowledged(self):
        """Returns the lines of each run and the batches of each producer that the broker has."""
        lines, batches = defaultdict(list), defaultdict(list)
        client = await nats.connect(self.nats_url)
        try:
            jetstream = client.jetstream()
            state = (await jetstream.stream_info(TELEMETRY)).state
            for sequence in range(state.first_seq, state.last_seq + 1):
                message = await jetstream.get_msg(TELEMETRY, sequence)
                batch = pb.TelemetryBatch.FromString(message.data)
                batches[batch.producer].append(batch.batch)
                if batch.kind != pb.TELEMETRY_KIND_LOGS:
                    continue
                payload = pb.LogLines.FromString(batch.payload)
                block = pb.LogBlock.FromString(zstandard.decompress(payload.block))
                lines[batch.run] += [line.text for line in block.lines]
        finally:
            await client.close()
        return lines, batches

    @asynccontextmanager
    async def kept(self, role, failpoints=()):
        """Keeps one process alive; its first lives end at the failpoints given, in order."""
        module = {"scheduler": "epochal_scheduler.main", "agent": "epochal_scheduler.agent.main"}
        lives = [*failpoints, None]

        async def keep():
            while True:
                armed = lives.pop(0) if len(lives) > 1 else lives[0]
                async with python_process(
                    "-m", module[role], environment=self.environment, failpoints=armed
                ) as process:
                    self.watched[role] = process
                    status = await process.wait(600)
                assert status == -signal.SIGKILL, (status, process.output[-4000:])
                self.kills[role] += 1

        keeping = asyncio.create_task(keep())
        try:
            yield
        finally:
            if keeping.done():
                keeping.result()
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping

    def kill(self, *roles):
        for role in roles:
            self.watched[role].send(signal.SIGKILL)


@pytest_asyncio.fixture(loop_scope="session")
async def world(database, nats_url, tmp_path):
    async with Faults(database, nats_url, tmp_path).open() as made:
        yield made


def step(world, name, *needs, fails="once", retries=2, **more):
    script = f"D={world.folder} S={name} F={fails}\n{STEP}"
    return {
        "name": name,
        "dependencies": list(needs),
        "termination": {"maxRetries": retries},
        **more,
        **shell(script),
    }


async def assert_proved(world, run, expected):
    """Says of a DAG whose steps ran `STEP` all that must hold whatever died meanwhile."""
    await until_children(world, run, sorted(expected.items()), 30)
    assert not (world.folder / "twice").exists()
    lines, batches = await world.acknowledged()
    for row in await child_rows(world, run):
        events = await world.events(row["name"])
        step, status = row["step"], expected[row["step"]]
        ends = [event for event in events if isinstance(event, ENDS)]
        assert len(ends) == 1, step
        assert ends == events[-1:], step
        scheduled = [event for event in events if isinstance(event, pb.RunScheduled)]
        assert [s.attempt for s in scheduled] == list(range(1, len(scheduled) + 1)), step
        claimed = [event.attempt for event in events if isinstance(event, pb.RunStarting)]
        assert claimed == sorted(set(claimed)), step
        faults = [e for e in events if isinstance(e, pb.RunRetrying) and not e.infrastructure]
        # The marker is there once: user failures never count double.
        assert len(faults) <= 1, step
        if status == "succeeded":
            last = f"{step} ends {len(scheduled)}"
            told = (step, lines[row["name"]], list(ends[0].incomplete_producers))
            assert lines[row["name"]].count(last) == 1, told
            # Only attempts before the last, whose agent died, may leave telemetry unsealed.
            assert len(ends[0].incomplete_producers) < len(scheduled), step
        if status in ("skipped", "upstream_failed"):
            assert not scheduled, step
    for producer, last in world.sealed.items():
        assert sorted(batches[producer]) == list(range(1, last + 1)), producer
    ends = [event for event in await world.events(run.name) if isinstance(event, ENDS)]
    assert len(ends) == 1
    await until(lambda: processes(world) == [])


async def until_done(world, run, count, timeout_s=240):
    """Waits until so many runs of a pipeline have succeeded."""

    async def far_enough():
        found = await children(world, run)
        return sum(status == "succeeded" for _, status in found) >= count

    await until(far_enough, timeout_s)


def processes(world):
    """What agents of this world have started."""
    return list(find_marked(f"EPOCHAL_ARTIFACTS_PATH={world.folder}/runs"))


@pytest.mark.timeout(600)  # two hundred processes and a dozen restarts: slow where cores are few
async def test_two_hundred_steps_end_once_however_often_scheduler_and_agent_die(world):
    dice = random.Random(20261123)
    layers = [[f"s{layer:02}x{n:02}" for n in range(10)] for layer in range(20)]
    operations, expected = [], {}
    for depth, layer in enumerate(layers):
        for name in layer:
            needs = dice.sample(layers[depth - 1], 2) if depth else []
            operations.append(step(world, name, *needs))
            expected[name] = "succeeded"
    points = [{name: f"kill@{dice.randint(3, 30)}"} for name in dice.sample(OF_SCHEDULER, 9)]
    lives = [{name: f"kill@{dice.randint(4, 12)}"} for name in OF_AGENT]
    run = None
    async with world.kept("scheduler", points), world.kept("agent", lives):
        run = await create(world, dag(*operations))
        for done, *victims in ((60, "agent"), (100, "scheduler"), (140, "scheduler", "agent")):
            await until_done(world, run, done)
            world.kill(*victims)
        await ended(world, run, timeout_s=240)
        # The rows follow the log, as long as there is somebody to write them.
        await until_children(world, run, sorted(expected.items()), 60)
    assert world.kills["scheduler"] >= 8
    assert world.kills["agent"] >= 3
    await assert_proved(world, run, expected)


@pytest.mark.parametrize("name", [*OF_SCHEDULER, *OF_AGENT])
async def test_a_dag_ends_as_its_rules_say_whatever_dies_at(world, name):
    text = dag(
        step(world, "flaky"),
        step(world, "bad", "flaky", fails="always", retries=0),
        step(world, "after", "bad"),
        step(world, "cleanup", "bad", trigger="one_failed"),
        step(world, "never", "flaky", conditions="{{ 1 > 2 }}"),
        step(world, "last", "flaky", fails="never"),
    )
    role = name.split(".")[0] if name in OF_AGENT else "scheduler"
    lives = {"scheduler": [], "agent": []} | {role: [{name: "kill@2"}]}
    async with world.kept("scheduler", lives["scheduler"]), world.kept("agent", lives["agent"]):
        run = await create(world, text)
        failed = await ended(world, run, pb.RunFailed, 90)
        assert "bad" in failed.message
        expected = {
            "flaky": "succeeded", "bad": "failed", "after": "upstream_failed",
            "cleanup": "succeeded", "never": "skipped", "last": "succeeded",
        }  # fmt: skip
        assert world.kills[role] == 1
        await assert_proved(world, run, expected)


SWEEP = {
    "kind": "operation",
    "matrix": {
        "kind": "random", "numRuns": 9, "seed": 7, "concurrency": 3,
        "params": {"x": {"kind": "uniform", "value": {"low": 0, "high": 1}}},
    },
}  # fmt: skip


def of_step(world, name, **more):
    """An operation that runs `STEP` once for each value of its input."""
    script = f"D={world.folder} S={name} F=once\n{STEP}"
    inputs = [{"name": "x", "type": "any", "value": 0}]
    return json.dumps({**more, "termination": {"maxRetries": 1}, **shell(script, inputs=inputs)})


async def test_a_sweep_killed_twice_makes_the_trials_that_its_seed_says(world):
    params = []
    async with world.kept("scheduler"), world.kept("agent"):
        for kills in ((), (2, 5)):
            run = await create(world, of_step(world, "{{ x }}", **SWEEP))
            for done in kills:
                await until_done(world, run, done)
                world.kill("scheduler")
            await ended(world, run, timeout_s=90)
            await until_children(world, run, [(n, "succeeded") for n in range(1, 10)])
            names = [row["name"] for row in await child_rows(world, run)]
            created = [(await world.events(name))[0] for name in names]
            params.append([event.params["x"].double_value for event in created])
    assert params[0] == params[1]
    assert len(set(params[0])) == 9
    assert not (world.folder / "twice").exists()


@pytest.mark.parametrize("name", ["append.before_commit", "append.after_commit"])
async def test_a_schedule_killed_at_a_tick_fires_every_tick_once(world, name):
    schedule = {"kind": "interval", "frequency": 1, "maxRuns": 3, "catchup": {"policy": "all"}}
    text = of_step(world, "t", kind="operation", schedule=schedule)
    async with (
        world.kept("scheduler", [{name: "kill@4"}, {name: "kill@3"}]),
        world.kept("agent"),
    ):
        run = await create(world, text)
        await ended(world, run, timeout_s=60)
        await until_children(world, run, [(n, "succeeded") for n in (1, 2, 3)])
        times = [row["schedule_time"].timestamp() for row in await child_rows(world, run)]
    assert world.kills["scheduler"] == 2
    assert [round(later - times[0], 3) for later in times] == [0, 1, 2]


async def test_a_trigger_killed_between_events_fires_for_each_of_them_once(world):
    text = {"kind": "operation", "events": [{"kinds": ["project_custom_event"], "ref": "events.x"}]}
    async with (
        world.kept(
            "scheduler", [{"append.after_commit": "kill@4"}, {"consumer.after_commit": "kill@5"}]
        ),
        world.kept("agent"),
    ):
        run = await create(world, of_step(world, "{{ x }}", **text))
        for n in range(6):
            attributes = {"x": pb.Value(int_value=n)}
            request = pb.EmitEventRequest(
                parent=run.name.partition("/runs/")[0], kind="x", attributes=attributes,
                request_id=str(world.ids.uuid7()),
            )  # fmt: skip
            await world.call(RunService.EMIT_EVENT, request)
        await until_done(world, run, 6, 60)
        world.kill("scheduler")  # what has fired does not fire again
        await world.call(RunService.STOP_RUN, pb.StopRunRequest(name=run.name))
        await ended(world, run, pb.RunStopped, 60)
        names = [row["name"] for row in await child_rows(world, run)]
        values = [(await world.events(name))[0].params["x"].int_value for name in names]
    assert sorted(values) == list(range(6))
    assert not (world.folder / "twice").exists()


async def test_a_dag_killed_while_it_is_resumed_goes_on_from_what_failed(world):
    text = dag(
        step(world, "good", fails="never"),
        step(world, "bad", retries=0),
        step(world, "after", "bad", fails="never"),
        step(world, "last", "after", fails="never"),
    )
    async with world.kept("agent"):
        async with world.kept("scheduler"):
            run = await create(world, text)
            await ended(world, run, pb.RunFailed)
            await world.call(RunService.RESUME_RUN, pb.ResumeRunRequest(name=run.name))
            world.kill("scheduler")
        async with world.kept(
            "scheduler", [{"append.after_commit": f"kill@{n}"} for n in (1, 2, 3)]
        ):
            await ended(world, run, timeout_s=60)
            expected = [
                ("after", "upstream_failed"), ("after", "succeeded"), ("bad", "succeeded"),
                ("good", "succeeded"), ("last", "upstream_failed"), ("last", "succeeded"),
            ]  # fmt: skip
            await until_children(world, run, expected)
    assert (world.folder / "begun-good").read_text() == "1\n"
    assert (world.folder / "begun-bad").read_text() == "1\n2\n"


async def test_an_approval_held_by_one_scheduler_is_counted_by_the_next(world):
    text = of_step(world, "held", kind="operation", approval={"quorum": 2, "fourEyes": True})
    async with world.kept("agent"):
        async with world.kept("scheduler"):
            run = await create(world, text)
            assert list(run.holds) == ["approval"]
        async with world.kept("scheduler", [{"append.after_commit": "kill@1"}]):
            await approve(world, run, "users/bob")
        async with world.kept("scheduler"):
            assert "Queued" not in await world.names(run.name)
            await approve(world, run, "users/bob")  # again, and it counts once
            assert "Queued" not in await world.names(run.name)
            await approve(world, run, "users/carol")
            await ended(world, run)
    assert (await world.names(run.name)).count("ApprovalGiven") == 2


async def approve(world, run, approver):
    request = pb.ApproveRunRequest(name=run.name, request_id=str(world.ids.uuid7()))

    async def answered():
        context = world.context()
        context.actor = approver
        with suppress(Unavailable, DeadlineExceeded):
            return await world.client.call(RunService.APPROVE_RUN, request, context)

    return await until(answered, 20)


async def test_two_schedulers_make_nothing_twice_and_either_goes_on_alone(world):
    layers = [[f"s{layer}x{n}" for n in range(4)] for layer in range(6)]
    operations = [
        step(world, name, *(layers[depth - 1] if depth else ()), fails=("never", "once")[depth % 2])
        for depth, layer in enumerate(layers)
        for name in layer
    ]
    async with world.kept("agent"), world.scheduler() as first:
        await first.until_line("leader.leads")
        async with world.scheduler() as second:
            run = await create(world, dag(*operations))
            await until_done(world, run, 6)
            assert "leader.leads" not in second.output
            first.send(signal.SIGKILL)
            await ended(world, run, timeout_s=90)
            assert "leader.leads" in second.output
            await assert_proved(world, run, dict.fromkeys(itertools.chain(*layers), "succeeded"))


async def test_a_dag_outlives_the_broker(world, nats_server):
    layers = [[f"s{layer}x{n}" for n in range(4)] for layer in range(4)]
    operations = [
        step(world, name, *(layers[depth - 1] if depth else ()), fails=("never", "once")[depth % 2])
        for depth, layer in enumerate(layers)
        for name in layer
    ]
    async with world.kept("agent"), world.kept("scheduler"):
        run = await create(world, dag(*operations))
        await until_done(world, run, 5)
        await nats_server.stop()
        await nats_server.start()
        await ended(world, run, timeout_s=90)
        await assert_proved(world, run, dict.fromkeys(itertools.chain(*layers), "succeeded"))


async def test_a_killed_agent_leaves_no_process_of_a_dag_or_sweep_behind(world):
    sleeper = shell("sleep 600", inputs=[{"name": "x", "type": "int", "value": 0}])
    values = [{"x": n} for n in range(3)]
    sweep = {"name": "sweep", "matrix": {"kind": "mapping", "values": values}, **sleeper}
    world.environment["EPOCHAL_INFRASTRUCTURE_RETRIES"] = "0"
    async with world.kept("scheduler"):
        async with world.agent() as dying:
            run = await create(world, dag({"name": "one", **sleeper}, sweep))
            inner = pb.Run(name=await child(world, run, "sweep"))
            await until(lambda: len(processes(world)) >= 4, 30)
            dying.send(signal.SIGKILL)
            await until(lambda: processes(world) == [])
        await ended(world, run, pb.RunFailed, 40)
        await until_children(world, inner, [(n, "failed") for n in (1, 2, 3)])
