"""What is left to do after a batch of events is what is left after them one by one."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_kernel.ids import Position, Version
from epochal_kernel.log.events import Event
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import connect
from epochal_kernel.projections.store import prepare
from epochal_scheduler.handlers import TaskReactor
from epochal_scheduler.projections import READ_MODEL
from test_run_properties import history, life

NOW = datetime.now(UTC).replace(microsecond=0)
RUNS = [UUID(int=n) for n in (1, 2, 3)]
TABLES = (
    # Hooks are due at once, whichever end of several it was.
    "SELECT run_id, kind, CASE WHEN kind NOT IN ('settle', 'hooks') THEN due_at END, name "
    "FROM task ORDER BY 1, 2",
    "SELECT run_id, attempt, fence, agent FROM lease ORDER BY 1",
)


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


def events_of(seed):
    """What may happen to three runs, mixed, with dates of its own for each event."""
    streams, dice = [], random.Random(seed)
    for number, run_id in enumerate(RUNS):
        name = f"orgs/acme/projects/vision/runs/{run_id}"
        found = [event for _, event, _ in history(life(3 * seed + number))]
        exits = [n for n, event in enumerate(found) if isinstance(event, pb.RunProcessExited)]
        if exits and dice.random() < 0.5:
            found = found[: dice.choice(exits) + 1]
        streams.append([(run_id, name, event) for event in found])
    mixed = []
    while any(streams):
        stream = dice.choice([stream for stream in streams if stream])
        mixed.append(stream.pop(0))
    return [
        Event(
            Position(position), uuid5(run_id, str(position)), "acme", "run", run_id,
            Version(position), payload.DESCRIPTOR.full_name, payload, "users/a", name, run_id,
            None, "", NOW + timedelta(seconds=position),
        )
        for position, (run_id, name, payload) in enumerate(mixed, start=1)
    ]  # fmt: skip


async def left(pool, batches):
    """What is left to do after batches of events, each in a transaction of its own."""
    await pool.execute("TRUNCATE task, lease, hooked, live_run")
    for run_id in RUNS:
        await pool.execute(
            "INSERT INTO live_run VALUES ($1, 'acme', $2, 1, 3, 'users/a', 'default', 0, '{}', 1,"
            " now(), '', 1, 1, '', now(), '{}')",
            run_id,
            f"orgs/acme/projects/vision/runs/{run_id}",
        )
    for batch in batches:
        async with pool.acquire() as connection, connection.transaction():
            await TaskReactor().react_all(connection, batch)
    return [[tuple(row) for row in await pool.fetch(query)] for query in TABLES]


async def test_a_batch_leaves_what_its_events_leave_one_by_one(pool):
    seen = set()
    for seed in range(120):
        events = events_of(seed)
        # The last one or the first half decide little: cut where runs are under way.
        events = events[: random.Random(seed).randint(1, len(events))]
        single = await left(pool, [[event] for event in events])
        whole = await left(pool, [events])
        halves = await left(pool, [events[: len(events) // 2], events[len(events) // 2 :]])
        story = [(str(e.stream_id)[-1], type(e.payload).__name__) for e in events]
        assert whole == single, story
        assert halves == single, story
        seen |= {row[1] for row in single[0]} | ({"lease"} if single[1] else set())
    assert seen >= {"publish", "settle", "expire", "timeout", "lease"}


@pytest.mark.parametrize("split", [1, 2, 3, 4])
async def test_what_was_to_do_before_a_resumption_is_not_to_do_after(pool, split):
    created = pb.RunCreated(kind=pb.RUN_KIND_DAG, timeout_s=60, has_hooks=True)
    resumed = pb.RunCreated(kind=pb.RUN_KIND_DAG, has_hooks=True)
    payloads = [created, pb.RunStarted(), pb.RunFailed(), pb.RunResumed(created=resumed)]
    name = f"orgs/acme/projects/vision/runs/{RUNS[0]}"
    events = [
        Event(
            Position(position), uuid5(RUNS[0], str(position)), "acme", "run", RUNS[0],
            Version(position), payload.DESCRIPTOR.full_name, payload, "users/a", name, RUNS[0],
            None, "", NOW,
        )
        for position, payload in enumerate(payloads, start=1)
    ]  # fmt: skip
    tasks, leases = await left(pool, [events[:split], events[split:]])
    assert leases == []
    assert "timeout" not in [task[1] for task in tasks]
