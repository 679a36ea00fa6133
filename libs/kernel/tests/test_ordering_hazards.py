"""The three ways to subscribe to a table that lose rows, kept as tests that show it.

Each builds the forbidden pattern beside ours and lets commits interleave in the order that hurts.
The day one of these patterns stops losing rows, its test fails, and the decision can be looked at
again (docs/adr/0002).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest_asyncio
from epochal_kernel.ids import Position
from kernel_world import command, log_world


@pytest_asyncio.fixture(loop_scope="session")
async def table(database: str) -> AsyncIterator[str]:
    connection = await asyncpg.connect(database)
    await connection.execute(
        "CREATE TABLE forbidden (position bigserial PRIMARY KEY, "
        "xid xid8 NOT NULL DEFAULT pg_current_xact_id(), body text)"
    )
    await connection.close()
    yield database


@asynccontextmanager
async def session(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def test_a_serial_cursor_loses_the_slower_commit(table: str) -> None:
    async with session(table) as slow, session(table) as fast, session(table) as reader:
        transaction = slow.transaction()
        await transaction.start()
        lower = await slow.fetchval(
            "INSERT INTO forbidden (body) VALUES ('slow') RETURNING position"
        )
        higher = await fast.fetchval(
            "INSERT INTO forbidden (body) VALUES ('fast') RETURNING position"
        )
        assert lower < higher

        poll = "SELECT position FROM forbidden WHERE position > $1 ORDER BY position"
        seen = [row[0] for row in await reader.fetch(poll, 0)]
        await transaction.commit()
        seen += [row[0] for row in await reader.fetch(poll, seen[-1])]

        assert seen == [higher], "the forbidden pattern no longer loses the slower commit"


async def test_an_xmin_filter_with_a_position_cursor_loses_rows(table: str) -> None:
    """nextval before the transaction id: a newer transaction owns a lower position."""
    poll = (
        "SELECT position FROM forbidden WHERE position > $1 "
        "AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY position"
    )
    async with session(table) as late, session(table) as early, session(table) as reader:
        # The first nextval after a checkpoint writes WAL and so takes a transaction id; the next
        # 32 do not.
        await early.fetchval("SELECT nextval('forbidden_position_seq')")
        late_transaction = late.transaction()
        await late_transaction.start()
        lower = await late.fetchval("SELECT nextval('forbidden_position_seq')")

        higher = await early.fetchval(
            "INSERT INTO forbidden (body) VALUES ('early') RETURNING position"
        )
        assert lower < higher
        seen = [row[0] for row in await reader.fetch(poll, 0)]
        assert seen == [higher]

        await late.execute("INSERT INTO forbidden (position, body) VALUES ($1, 'late')", lower)
        await late_transaction.commit()
        await early.execute("INSERT INTO forbidden (body) VALUES ('another')")
        seen += [row[0] for row in await reader.fetch(poll, seen[-1])]

        assert lower not in seen, "the forbidden pattern no longer loses the lower position"


async def test_an_xmin_filter_is_frozen_by_any_idle_writer(table: str) -> None:
    """Even the correct (xid, position) cursor waits for writers of other tables."""
    poll = (
        "SELECT position FROM forbidden "
        "WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, position"
    )
    async with session(table) as idle, session(table) as writer, session(table) as reader:
        await writer.execute("CREATE TABLE unrelated (n int)")
        transaction = idle.transaction()
        await transaction.start()
        await idle.execute("INSERT INTO unrelated VALUES (1)")

        await writer.execute("INSERT INTO forbidden (body) VALUES ('new')")
        assert await reader.fetch(poll) == [], "the forbidden pattern is no longer frozen"

        await transaction.rollback()
        assert len(await reader.fetch(poll)) == 1


async def test_our_head_row_shows_every_reader_a_prefix(database: str) -> None:
    """The same interleaving on the log: the second writer waits, and no reader sees a gap."""
    async with log_world(database) as world, session(database) as slow:
        transaction = slow.transaction()
        await transaction.start()
        await slow.fetchrow("SELECT position FROM log.head FOR UPDATE")
        waiting = [asyncio.create_task(world.appender.append(command(uuid4()))) for _ in range(5)]
        await asyncio.wait(waiting, timeout=0.2)
        assert not any(task.done() for task in waiting)
        assert await world.reader.page(Position(0)) == []
        await transaction.rollback()
        await asyncio.gather(*waiting)
        assert [r.position for r in await world.reader.page(Position(0))] == [1, 2, 3, 4, 5]
