"""The read model in PostgreSQL: which generation is live, and reading from it.

A service has one schema for what it keeps for ever (`tracker`) and one per generation of its read
model (`tracker_rm_3`). Reads look first in the live generation, then in the service's schema, by
search path; switching generations replaces the connections of the pool.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from epochal_kernel.errors import Unavailable
from epochal_kernel.ids import Position
from epochal_kernel.postgres import Connection, Pool, adapting
from epochal_kernel.projections.model import ReadModel

READ_YOUR_WRITES_S = 5.0

_STATE = """
CREATE TABLE IF NOT EXISTS {schema}.read_model (
    id smallint PRIMARY KEY CHECK (id = 1), schema text NOT NULL, version integer NOT NULL
);
CREATE TABLE IF NOT EXISTS {schema}.parked (
    consumer text NOT NULL, position bigint NOT NULL, attempts integer NOT NULL,
    error text NOT NULL, parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, position)
)
"""

_GENERATION = """
CREATE TABLE checkpoint (
    consumer text PRIMARY KEY, position bigint NOT NULL, epoch integer NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""


@dataclass(frozen=True, slots=True)
class Generation:
    """The live generation of a read model."""

    schema: str
    version: int


class Progress:
    """How far this process knows its read model to be; wakes who waits for a position."""

    def __init__(self) -> None:
        self._position = 0
        self._changed = asyncio.Event()
        self._awaited = asyncio.Event()
        self._waiting = 0

    @property
    def position(self) -> Position:
        """Position up to which the read model is known to be complete."""
        return Position(self._position)

    def reached(self, position: int) -> None:
        """Note that the read model is complete up to a position."""
        if position > self._position:
            self._position = position
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    async def wait_for(self, position: int, timeout_s: float = READ_YOUR_WRITES_S) -> None:
        """Wait until the read model has a position: read your writes.

        Raises:
            Unavailable: it did not get there in time; retryable.
        """
        if self._position >= position:
            return
        self._waiting += 1
        self._awaited.set()
        try:
            async with asyncio.timeout(timeout_s):
                while self._position < position:
                    await self._changed.wait()
        except TimeoutError:
            raise Unavailable(
                f"this view is at position {self._position}, {position} was asked for; try again",
                reason="VIEW_BEHIND",
                retry_after_s=1.0,
            ) from None
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._awaited.clear()

    async def wait_awaited(self, timeout_s: float) -> None:
        """Wait until somebody waits for a position, or the time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._awaited.wait()


async def prepare(connection: Connection, model: ReadModel) -> Generation:
    """Make what is missing of bookkeeping and first generation; return the live one."""
    with adapting():
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", model.service)
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {model.service}")
            await connection.execute(_STATE.format(schema=model.service))
            live = await live_generation(connection, model.service)
            if live is None:
                await create_generation(connection, model, model.schema)
                await connection.execute(
                    f"INSERT INTO {model.service}.read_model VALUES (1, $1, $2)",
                    model.schema,
                    model.version,
                )
                live = Generation(model.schema, model.version)
    return live


async def live_generation(connection: Connection, service: str) -> Generation | None:
    """Return the live generation of a service, or None before the first."""
    with adapting():
        row = await connection.fetchrow(f"SELECT schema, version FROM {service}.read_model")
    return Generation(row[0], row[1]) if row else None


async def create_generation(connection: Connection, model: ReadModel, schema: str) -> None:
    """Make an empty generation in a schema of its own, dropping a half-built one of that name."""
    with adapting():
        async with connection.transaction():
            await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            await connection.execute(f"CREATE SCHEMA {schema}")
            await connection.execute(f"SET LOCAL search_path = {schema}")
            await connection.execute(_GENERATION)
            await connection.execute(model.ddl)


async def read_checkpoint(connection: Connection, consumer: str, *, lock: bool = False) -> Position:
    """Return a consumer's position in the generation of the search path, 0 before the first event.

    With `lock` the row stays locked until the transaction ends: a twin waits, then finds the
    checkpoint moved.
    """
    statement = "SELECT position FROM checkpoint WHERE consumer = $1"
    if lock:
        statement += " FOR UPDATE"
    position = await connection.fetchval(statement, consumer)
    if position is None:
        await connection.execute(
            "INSERT INTO checkpoint (consumer, position, epoch) VALUES ($1, 0, 1) "
            "ON CONFLICT DO NOTHING",
            consumer,
        )
        position = await connection.fetchval(statement, consumer)
    return Position(position)


async def begin_step(connection: Connection, consumer: str) -> Position:
    """Lock a consumer's checkpoint and return it; this transaction will not wait for its fsync.

    One statement for both, because it opens every step of every consumer.
    """
    position = await connection.fetchval(
        "SELECT position, set_config('synchronous_commit', 'off', true) FROM checkpoint "
        "WHERE consumer = $1 FOR UPDATE",
        consumer,
    )
    if position is None:
        position = await read_checkpoint(connection, consumer, lock=True)
    return Position(position)


async def write_checkpoint(connection: Connection, consumer: str, position: int) -> None:
    """Move a consumer's checkpoint, noting the log's epoch."""
    await connection.execute(
        "UPDATE checkpoint SET position = $2, epoch = (SELECT max(epoch) FROM log.epoch), "
        "updated_at = clock_timestamp() WHERE consumer = $1",
        consumer,
        position,
    )


@asynccontextmanager
async def elsewhere(pool: Pool) -> AsyncIterator[Connection]:
    """A connection that may be pointed to other schemas; it goes back as it was."""
    with adapting():
        async with pool.acquire() as connection:
            path = await connection.fetchval("SHOW search_path")
            try:
                yield connection
            finally:
                if not connection.is_closed():
                    await set_search_path(connection, path)


async def set_search_path(connection: Connection, *schemas: str) -> None:
    """Point unqualified names of this connection to schemas, first match wins."""
    await connection.execute("SELECT set_config('search_path', $1, false)", ", ".join(schemas))
