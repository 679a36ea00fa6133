"""Which runs the monitor catches up with: none that a fork was only copied with."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Pool, connect
from epochal_kernel.projections.store import prepare
from epochal_tracker.monitoring.projections import READ_MODEL
from epochal_tracker.monitoring.store import MonitorStore

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
EVENT = """
INSERT INTO log.event
SELECT $1, gen_random_uuid(), 'acme', 'run', $2, $3, 'epochal.v1.RunQueued', '', 'users/ann', 'r',
       gen_random_uuid(), NULL, '', clock_timestamp(), sha256('')
"""


async def live_run(pool: Pool, position: int) -> UUID:
    """A run that was asked for at a position, with a batch that was not judged."""
    run_id = uuid4()
    await pool.execute(EVENT, position, run_id, 1)
    await pool.execute(
        "INSERT INTO watched (run_id, name, org_id, rules) VALUES ($1, $2, 'acme', '')",
        run_id,
        f"orgs/acme/projects/p/runs/{run_id}",
    )
    await pool.execute("INSERT INTO tracker.producer_cursor VALUES ($1, $2, 1)", run_id, uuid4())
    return run_id


async def test_telemetry_that_a_fork_was_copied_with_is_not_judged_again(database: str) -> None:
    async with await connect(database, name="setup") as pool, pool.acquire() as connection:
        for owner, package in (
            ("log", "epochal_kernel.log"),
            ("tracker", "epochal_tracker"),
            ("monitor", "epochal_tracker.monitoring"),
        ):
            await migrate(connection, owner, package)
        live = await prepare(connection, READ_MODEL)
    path = f"{live.schema}, monitor"
    async with await connect(database, name="monitor", search_path=path) as pool:
        past, gone_on, new = [await live_run(pool, position) for position in (1, 2, 4)]
        # The fork was made at 3; this one was queued again in it.
        await pool.execute(EVENT, 3, uuid4(), 1)
        await pool.execute(EVENT, 5, gone_on, 2)
        everywhere = await MonitorStore(pool).cursors(SINCE)
        assert {one.run_id for one in everywhere} == {past, gone_on, new}
        forked = await MonitorStore(pool, past=3).cursors(SINCE)
        assert {one.run_id for one in forked} == {gone_on, new}
