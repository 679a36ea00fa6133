"""Projection, reactor and store: what rows say after events."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
import pytest_asyncio
from epochal_kernel.ids import Position, SystemIds, Version
from epochal_kernel.log.events import Event
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import connect
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.store import prepare
from epochal_scheduler.domain.ending import Producers
from epochal_scheduler.handlers import TaskReactor
from epochal_scheduler.projections import LIVE_RUNS, READ_MODEL, LiveRunProjector
from epochal_scheduler.store import SchedulerStore
from google.protobuf.timestamp_pb2 import Timestamp

RUN_ID = UUID("0193a000-0000-7000-8000-000000000001")
NAME = f"orgs/acme/projects/vision/runs/{RUN_ID}"
NOW = datetime.now(UTC)


def event(payload, position=1, recorded_at=NOW):
    return Event(
        Position(position), uuid5(RUN_ID, str(position)), "acme", "run", RUN_ID, Version(position),
        payload.DESCRIPTOR.full_name, payload, "users/a", NAME, RUN_ID, None, "", recorded_at,
    )  # fmt: skip


def project(*payloads):
    projector, rows = LiveRunProjector(), Rows.of()
    for position, payload in enumerate(payloads, start=1):
        made = event(payload, position)
        list(projector.touches(made))
        projector.apply(rows, made)
    return rows.get(LIVE_RUNS, RUN_ID)


def opened(producer):
    return pb.ProducerOpened(run=NAME, producer=producer, epoch=1)


def sealed(producer):
    return pb.TelemetrySealed(run=NAME, producer=producer)


def test_producers_of_the_running_attempt_are_awaited_and_earlier_ones_are_abandoned():
    row = project(
        pb.RunCreated(), pb.RunScheduled(fence=1), pb.RunStarting(), opened("a"), opened("b"),
        sealed("b"), pb.RunScheduled(fence=2), pb.RunStarting(), opened("c"), sealed("unknown"),
    )  # fmt: skip
    assert row.fence == 2
    assert row.producers() == Producers(awaited=["c"], abandoned=["a"])


def test_an_ended_run_has_no_row_and_events_after_it_make_none():
    for end in (
        pb.RunSucceeded(),
        pb.RunFailed(),
        pb.RunStopped(),
        pb.RunSkipped(),
        pb.RunUpstreamFailed(),
    ):
        later = [opened("a"), sealed("a"), pb.RunScheduled(), pb.RunStarting(), pb.TagsSet()]
        assert project(pb.RunCreated(), end, *later) is None


def test_touches_name_the_row_an_event_changes():
    projector = LiveRunProjector()
    assert list(projector.touches(event(opened("a")))) == [LIVE_RUNS.ref(RUN_ID)]
    assert list(projector.touches(event(pb.RunStarting()))) == [LIVE_RUNS.ref(RUN_ID)]
    assert list(projector.touches(event(pb.RunCreated()))) == []


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database):
    path = f"{READ_MODEL.schema}, scheduler, public"
    made = await connect(database, name="test", search_path=path)
    async with made.acquire() as connection:
        await migrate(connection, "log", "epochal_kernel.log")
        await migrate(connection, "scheduler", "epochal_scheduler")
        await prepare(connection, READ_MODEL)
    yield made
    await made.close()


async def react(pool, *payloads, at=NOW):
    reactor = TaskReactor()
    async with pool.acquire() as connection, connection.transaction():
        events = [event(payload, position, at) for position, payload in enumerate(payloads, 1)]
        await reactor.react_all(connection, events)


async def kinds(pool):
    return {row[0] for row in await pool.fetch("SELECT kind FROM task")}


async def make_live(pool):
    await pool.execute(
        "INSERT INTO live_run VALUES ($1, 'acme', $2, 1, 3, 'users/a', 'default', 0, '{}', 1,"
        " now(), '', 1, 1, '', now(), '{}')",
        RUN_ID,
        NAME,
    )


async def test_each_step_asks_for_the_next_and_its_success_takes_it_back(pool):
    await make_live(pool)
    soon = Timestamp()
    soon.FromDatetime(NOW)
    expected = [
        (pb.RunCreated(), set()),
        (pb.RunQueued(), set()),
        (pb.RunScheduled(), {"publish"}),
        (pb.RunStarting(attempt=1, agent="agents/a"), set()),
        (pb.RunProcessExited(), {"settle"}),
        (pb.RunRetrying(not_before=soon), {"retry"}),
        (pb.RunStopped(), set()),
    ]
    for payload, left in expected:
        await react(pool, payload)
        assert await kinds(pool) == left, payload


async def test_a_batch_writes_what_is_left_to_do_after_all_of_it(pool):
    await make_live(pool)
    begun = pb.RunStarting(attempt=1, agent="agents/a")
    await react(pool, pb.RunCreated(has_hooks=True), pb.RunScheduled(), begun)
    assert await kinds(pool) == set()
    assert len(await SchedulerStore(pool).expired_leases(-1)) == 1
    await react(pool, pb.RunStarted(), pb.RunProcessExited(), pb.RunSucceeded())
    assert await kinds(pool) == {"hooks"}
    assert await SchedulerStore(pool).expired_leases(-1) == []


async def test_an_agent_is_watched_from_claim_to_exit_or_loss(pool):
    store = SchedulerStore(pool)
    await make_live(pool)
    for end in (pb.RunProcessExited(), pb.RunAttemptLost(), pb.RunFailed()):
        await react(pool, pb.RunStarting(attempt=1, agent="agents/a"))
        (lease,) = await store.expired_leases(-1)
        assert (lease.agent, lease.attempt, lease.fence) == ("agents/a", 1, 1)
        await react(pool, end)
        assert await store.expired_leases(-1) == []


async def test_a_run_that_has_ended_already_is_not_watched(pool):
    await react(pool, pb.RunStarting(attempt=1, agent="agents/a"))
    assert await SchedulerStore(pool).expired_leases(-1) == []


async def test_a_heartbeat_renews_only_what_the_agent_holds_with_its_fence(pool):
    store = SchedulerStore(pool)
    await make_live(pool)
    await react(pool, pb.RunStarting(attempt=1, agent="agents/a"))
    await pool.execute("UPDATE lease SET seen_at = seen_at - interval '1 hour'")
    for agent, fence, expired in (("agents/b", 1, 1), ("agents/a", 2, 1), ("agents/a", 1, 0)):
        ref = pb.AttemptRef(run=NAME, attempt=1, fence=fence)
        await store.heard_of(pb.HeartbeatRequest(agent=agent, queues=["q"], attempts=[ref]))
        assert len(await store.expired_leases(60)) == expired
    await store.remove_lease(RUN_ID)
    assert await store.expired_leases(-1) == []
    assert await pool.fetchval("SELECT count(*) FROM agent") == 2
    await pool.execute("UPDATE agent SET seen_at = seen_at - interval '2 days'")
    await store.remove_old_agents()
    assert await pool.fetchval("SELECT count(*) FROM agent") == 0


async def test_a_task_hastened_while_it_is_looked_at_is_not_put_off(pool):
    store = SchedulerStore(pool)
    await react(pool, pb.RunProcessExited(), at=NOW - timedelta(minutes=1))
    (task,) = await store.due_tasks(10)
    await react(pool, sealed("a"))
    await store.postpone(task, 30)
    await store.remove([task])
    (again,) = await store.due_tasks(10)
    await store.postpone(again, 30, 7)
    assert await store.due_tasks(10) == []
    assert 29 < (await store.next_due_s() or 0) <= 30
    await pool.execute("UPDATE task SET due_at = now()")
    (due,) = await store.due_tasks(10)
    assert due.sequence == 7
    await store.remove([due])
    assert await store.next_due_s() is None


async def test_producers_are_read_from_the_live_run(pool):
    store = SchedulerStore(pool)
    assert await store.producers(RUN_ID) == Producers()
    await make_live(pool)
    await pool.execute(
        'UPDATE live_run SET attempt_position = 5, unsealed = \'{"a": 4, "b": 6}\'::jsonb'
    )
    assert await store.producers(RUN_ID) == Producers(awaited=["b"], abandoned=["a"])


def test_ids_of_runs_are_their_names_ends():
    from epochal_scheduler.projections import run_id_of

    assert run_id_of(NAME) == RUN_ID
    assert SystemIds().uuid7() != RUN_ID
