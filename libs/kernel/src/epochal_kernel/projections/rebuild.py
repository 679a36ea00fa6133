"""Rebuilding a read model from the log, beside the live one, and comparing the two.

`replay` writes a new generation in a schema of its own; `compare` digests live and rebuilt tables
at one equal position; `switch` puts the new one in the live one's place, `renew` does so with one
of the same version. The live consumer goes on meanwhile and is held still only for the last few
events of a switch.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from epochal_kernel.failpoints import failpoint
from epochal_kernel.ids import Position
from epochal_kernel.log.events import EventCodec, EventRecord
from epochal_kernel.log.reader import LogReader
from epochal_kernel.postgres import Connection, Pool, adapting
from epochal_kernel.projections.batch import apply_batch
from epochal_kernel.projections.model import ReadModel
from epochal_kernel.projections.store import (
    Generation,
    create_generation,
    elsewhere,
    live_generation,
    read_checkpoint,
    set_search_path,
    write_checkpoint,
)

BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Digest:
    """Rows of one table and the sha256 over them in key order, as hex."""

    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One table, live and rebuilt."""

    table: str
    live: Digest
    rebuilt: Digest

    @property
    def equal(self) -> bool:
        """Whether the two have the same rows."""
        return self.live == self.rebuilt


async def live_digests(
    pool: Pool, model: ReadModel, generation: Generation
) -> tuple[Position, dict[str, Digest]]:
    """Digest the live tables in one snapshot, with the position they are at."""
    with adapting():
        async with (
            pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute(
                "SELECT set_config('search_path', $1, true)", generation.schema
            )
            position = await connection.fetchval(
                "SELECT position FROM checkpoint WHERE consumer = $1", model.service
            )
            return Position(position or 0), await digests(connection, model)


async def digests(connection: Connection, model: ReadModel) -> dict[str, Digest]:
    """Digest the tables in the connection's search path."""
    found: dict[str, Digest] = {}
    for table in model.tables:
        row = await connection.fetchrow(table.digest_sql)
        assert row is not None
        found[table.name] = Digest(row[0], row[1])
    return found


async def replay(
    connection: Connection,
    model: ReadModel,
    schema: str,
    codec: EventCodec,
    until: Position,
    reader: LogReader | None = None,
) -> AsyncIterator[Position]:
    """Apply the log up to `until` to the generation in `schema`, yielding after every page.

    Starts from the generation's own checkpoint, so it can go on where it stopped. Only projectors
    run: reactors are not part of a `ReadModel`. With a `reader` of its own connection the next page
    is read while this one is applied.

    Raises:
        LogCorrupted: the log has a hole.
        ProjectionFailed: an event cannot be applied.
    """
    with adapting():
        await set_search_path(connection, schema, "public")
        position = await read_checkpoint(connection, model.service)
        async for records in _pages(reader or LogReader(connection), position, until, reader):
            events = [await codec.decode(record) for record in records]
            async with connection.transaction():
                await connection.execute("SET LOCAL synchronous_commit = off")
                await apply_batch(connection, model, events)
                position = events[-1].position
                await write_checkpoint(connection, model.service, position)
            yield position


async def _pages(
    source: LogReader, after: Position, until: Position, apart: LogReader | None
) -> AsyncIterator[list[EventRecord]]:
    """Yield pages up to a position; with a reader apart, one page ahead."""
    upcoming: asyncio.Task[list[EventRecord]] | None = None
    try:
        while after < until:
            if upcoming is None:
                records = await source.page(after, min(BATCH, until - after))
            else:
                records = await upcoming
                upcoming = None
            if not records:
                return
            after = records[-1].position
            if apart is not None and after < until:
                upcoming = asyncio.create_task(apart.page(after, min(BATCH, until - after)))
            yield records
    finally:
        if upcoming is not None:
            upcoming.cancel()


async def switch(pool: Pool, model: ReadModel, schema: str, codec: EventCodec) -> Position:
    """Put the generation in `schema` in the place of the live one; return where that was.

    Holds the live checkpoint, so the live consumer stands still, catches the new generation up to
    it, then changes which one is live, all in a moment; the old schema is dropped.
    """
    with adapting():
        async with pool.acquire() as holder, elsewhere(pool) as builder, holder.transaction():
            live = await live_generation(holder, model.service)
            assert live is not None
            await holder.execute("SELECT set_config('search_path', $1, true)", live.schema)
            position = await read_checkpoint(holder, model.service, lock=True)
            async for _ in replay(builder, model, schema, codec, position):
                continue
            await holder.execute(
                f"UPDATE {model.service}.read_model SET schema = $1, version = $2",
                schema,
                model.version,
            )
            if live.schema != schema:
                await holder.execute(f"DROP SCHEMA {live.schema} CASCADE")
    return position


async def catch_up(
    pool: Pool, model: ReadModel, codec: EventCodec, until: Position
) -> AsyncIterator[Position]:
    """Bring the live generation to a position at least, by projectors alone; yield as it goes.

    For what a fork was copied with. The consumer, its reactors and its listeners begin beyond it,
    so nothing that the past asked for is done again. Of several processes one does it.
    """
    async with elsewhere(pool) as connection:
        live = await live_generation(connection, model.service)
        assert live is not None
        with adapting():
            await connection.execute(
                "SELECT pg_advisory_lock(hashtext($1))", f"{model.service}.past"
            )
            try:
                async for position in replay(
                    connection, model, live.schema, codec, until, LogReader(pool)
                ):
                    yield position
            finally:
                await connection.execute(
                    "SELECT pg_advisory_unlock(hashtext($1))", f"{model.service}.past"
                )


async def renew(pool: Pool, model: ReadModel, codec: EventCodec) -> bool:
    """Make the live generation again from the log, under its own name; return whether it was ours.

    Safe to repeat when it did not finish. The consumer that waits for the checkpoint meanwhile
    finds its row gone, and goes on with that of the new tables.
    """
    anew, old = f"{model.schema}_anew", f"{model.schema}_old"
    with adapting():
        async with pool.acquire() as holder, elsewhere(pool) as builder:
            live = await live_generation(holder, model.service)
            if live is None or live.schema != model.schema:
                return False
            await holder.execute(f"DROP SCHEMA IF EXISTS {old} CASCADE")
            await create_generation(builder, model, anew)
            head = (await LogReader(pool).head()).position
            async for _ in replay(builder, model, anew, codec, head, LogReader(pool)):
                continue
            async with holder.transaction():
                await holder.execute("SELECT set_config('search_path', $1, true)", model.schema)
                position = await read_checkpoint(holder, model.service, lock=True)
                async for _ in replay(builder, model, anew, codec, position):
                    continue
                await holder.execute("DELETE FROM checkpoint")
                # Names change, tables do not: nobody who reads has to be waited for.
                await holder.execute(f"ALTER SCHEMA {model.schema} RENAME TO {old}")
                await holder.execute(f"ALTER SCHEMA {anew} RENAME TO {model.schema}")
            failpoint("renew.before_drop")
            await holder.execute(f"DROP SCHEMA {old} CASCADE")
    return True


async def upgrade(pool: Pool, model: ReadModel, codec: EventCodec) -> AsyncIterator[Position]:
    """Build the generation of this release when the live one is of another, then switch to it.

    Yields positions as it goes. Does nothing when the live generation is of this version.
    """
    async with elsewhere(pool) as connection:
        live = await live_generation(connection, model.service)
        if live is None or live.version == model.version:
            return
        await create_generation(connection, model, model.schema)
        target = (await LogReader(connection).head()).position
        async for position in replay(
            connection, model, model.schema, codec, target, LogReader(pool)
        ):
            yield position
    yield await switch(pool, model, model.schema, codec)
