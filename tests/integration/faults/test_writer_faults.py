"""Points without a spool through the real tracker: killed at a step, and asked again."""

from __future__ import annotations

import asyncio
import signal
from uuid import UUID, uuid4

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import DeadlineExceeded, NotFound, Unavailable
from epochal_kernel.failpoints import FAILPOINTS
from epochal_kernel.log.commands import Command, CommandContext, NewEvent, Stream
from epochal_proto.v1.services import TrackingService
from epochal_testing.waiting import until
from fault_log import appending
from fault_world import PROJECT, World
from telemetry_world import tracker

pytestmark = pytest.mark.faults

WRITER = [name for name in FAILPOINTS if name.startswith("writer.")]


async def create_run(world: World) -> UUID:
    run = uuid4()
    event = pb.RunCreated(name=f"{PROJECT}/runs/{run}", kind=pb.RUN_KIND_TRACKED)
    context = CommandContext(uuid4(), "acme", "users/alice", uuid4(), bytes(32))
    command = Command(context, Stream("run", run), None, [NewEvent(event, event.name)])
    async with appending(world.pool) as appender:
        await appender.append(command)
    return run


async def write(world: World, run: UUID, step: int) -> None:
    """Send one call until it is answered, always with the same request_id."""
    request = pb.LogMetricsRequest(
        run=f"{PROJECT}/runs/{run}",
        points=[pb.MetricPoint(metric=name, step=step, value=step) for name in ("a", "b")],
        request_id=str(uuid4()),
    )

    async def answered() -> bool:
        try:
            await world.client.call(TrackingService.LOG_METRICS, request, world.context())
        except (Unavailable, DeadlineExceeded, NotFound) as error:
            raise AssertionError(error.message) from error
        return True

    await until(answered, 40)


@pytest.mark.parametrize("name", WRITER)
async def test_a_tracker_killed_while_it_writes_stores_every_point_once(
    world: World, name: str
) -> None:
    async with tracker(world.database, world.nats_url, {name: "kill@3"}) as dying:
        await dying.until_line("service.listening")
        runs = [await create_run(world) for _ in range(2)]
        calls = [asyncio.create_task(write(world, run, step)) for step in range(20) for run in runs]
        # A few one after the other: calls at once may all go with the first transaction.
        more = asyncio.create_task(one_by_one(world, runs[0], range(20, 26)))
        assert await dying.wait(40) == -signal.SIGKILL
        assert not more.done()
    async with tracker(world.database, world.nats_url):
        await asyncio.gather(*calls, more)
    for run, steps in ((runs[0], 26), (runs[1], 20)):
        rows = await world.pool.fetch(
            "SELECT metric, first_step, points FROM tracker.metric_chunk WHERE run_id = $1 "
            "ORDER BY 1, 2",
            run,
        )
        wanted = [(metric, step, 1) for metric in ("a", "b") for step in range(steps)]
        assert [tuple(row) for row in rows] == wanted
        cursor, last = await world.pool.fetchrow(
            "SELECT c.batch, s.batch FROM tracker.server_producer s "
            "JOIN tracker.producer_cursor c USING (run_id, producer) WHERE s.run_id = $1",
            run,
        )
        assert cursor == last == steps


async def one_by_one(world: World, run: UUID, steps: range) -> None:
    for step in steps:
        await write(world, run, step)
