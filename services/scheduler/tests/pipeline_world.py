"""Pipelines as tests write them and as they see them end."""

import json
import textwrap

import epochal_proto.v1 as pb
from epochal_proto.v1.services import RunService
from epochal_scheduler.projections import READ_MODEL, run_id_of
from epochal_testing.waiting import until
from scheduler_world import PARENT

TELL = "import json, os; json.dump({%s}, open(os.environ['EPOCHAL_OUTPUTS_FILE'], 'w'))"


def job(code, **more):
    """A component that runs some Python."""
    return command(["python", "-c", code], **more)


def shell(script, **more):
    """A component that runs a shell script: it starts in milliseconds."""
    return command(["sh", "-c", script], **more)


def command(argv, **more):
    container = {"command": argv[:-1], "args": argv[-1:]}
    return {"component": {**more, "run": {"kind": "job", "container": container}}}


def dag(*operations, **more):
    """The spec of a DAG."""
    document = {"kind": "component", "run": {"kind": "dag", "operations": operations, **more}}
    return json.dumps(document)


async def create(world, text, **fields):
    request = pb.CreateRunRequest(
        parent=PARENT,
        spec=textwrap.dedent(text).encode(),
        request_id=str(world.ids.uuid7()),
        **fields,
    )
    return await world.call(RunService.CREATE_RUN, request)


async def child_rows(world, run):
    """The runs of a pipeline as the read model has them."""
    return await world.pool.fetch(
        "SELECT step, iteration, status, name, message, schedule_time "
        f"FROM {READ_MODEL.schema}.child WHERE pipeline_id = $1 ORDER BY iteration, step, position",
        run_id_of(run.name),
    )


async def children(world, run):
    """The runs of a pipeline as (step or number, status)."""
    rows = await child_rows(world, run)
    return [
        (row["step"] or row["iteration"], pb.RunStatus.Name(row["status"])[11:].lower())
        for row in rows
    ]


async def child(world, run, key):
    """The name of the run of a step, or of an iteration, once it is there."""

    async def found():
        rows = await child_rows(world, run)
        return next((row["name"] for row in rows if key in (row["step"], row["iteration"])), None)

    return await until(found)


async def until_children(world, run, expected, timeout_s=20):
    async def same():
        found = await children(world, run)
        assert found == expected
        return True

    await until(same, timeout_s)


async def ended(world, run, kind=pb.RunSucceeded, timeout_s=30):
    return await world.until_event(run.name, kind, timeout_s)
