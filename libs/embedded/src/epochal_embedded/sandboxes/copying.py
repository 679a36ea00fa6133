"""Streaming rows from one database into another with a bounded number of bytes between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from epochal_kernel.ids import Position
from epochal_kernel.log.events import COLUMNS
from epochal_kernel.log.forks import Fork, mark_fork
from epochal_kernel.postgres import Connection, load_sql

from epochal_embedded.sandboxes.sources import Source

#: Pieces of a COPY that may wait between the two databases; each is some ten kilobytes.
WINDOW = 64
#: Events copied in one statement: progress is told, and the fork can be cancelled, between them.
PAGE = 20_000

_SOURCE = load_sql("epochal_embedded.sandboxes", "sources.sql")
_SQL = load_sql("epochal_embedded.sandboxes", "copying.sql")

Told = Callable[[int], None]


async def copy_log(
    source: Source, target: Connection, told: Told, *, without: Sequence[str] = ()
) -> None:
    """Copy the log up to the source's position into a fresh one, byte by byte.

    Args:
        source: what is copied.
        target: connection to a database with an empty log.
        told: called with the position reached.
        without: tables of the log that are left empty.
    """
    after = 0
    while after < source.position:
        upto = min(after + PAGE, source.position)
        await copy_rows(
            source.connection,
            _SQL["events"],
            (after, upto),
            target,
            ("log", "event", tuple(COLUMNS.split(", "))),
        )
        after = upto
        told(after)
    command = ("command_id", "request_sha256", "first_position", "last_position", "recorded_at")
    await copy_rows(
        source.connection,
        _SQL["commands"],
        (source.position,),
        target,
        ("log", "command", command),
    )
    for table in await source.connection.fetch(_SOURCE["other_tables"]):
        if table["name"] not in without:
            names = ", ".join(quoted(column) for column in table["columns"])
            await copy_rows(
                source.connection,
                f"SELECT {names} FROM log.{quoted(table['name'])}",
                (),
                target,
                ("log", table["name"], tuple(table["columns"])),
            )
    await target.execute(_SQL["streams"])
    await target.execute(_SQL["head"])


async def copy_marks(source: Source, target: Connection, fork: Fork) -> None:
    """Copy the marks of earlier forks that are within this one, and add its own."""
    for mark in await _earlier(source.connection, source.position):
        await mark_fork(target, mark)
    await mark_fork(target, fork)


async def earlier_forks(source: Source) -> int:
    """Return the number of the last fork that the copied history went through, 0 for none."""
    marks = await _earlier(source.connection, source.position)
    return marks[-1].number if marks else 0


async def copy_rows(
    source: Connection,
    query: str,
    arguments: Sequence[object],
    target: Connection,
    into: tuple[str, str, Sequence[str]],
) -> None:
    """Copy what a query yields into a table, in PostgreSQL's binary form, so that nothing changes.

    Args:
        source: where the query runs.
        query: its columns in the order of the table's.
        arguments: of the query.
        target: where the table is.
        into: its schema, name and columns.
    """
    window: asyncio.Queue[bytes | None] = asyncio.Queue(WINDOW)

    async def pieces() -> AsyncIterator[bytes]:
        while (piece := await window.get()) is not None:
            yield piece

    async def read() -> None:
        await source.copy_from_query(query, *arguments, output=window.put, format="binary")
        await window.put(None)

    async def write() -> None:
        schema, table, columns = into
        await target.copy_to_table(
            table, schema_name=schema, columns=list(columns), source=pieces(), format="binary"
        )

    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            tasks.create_task(read())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None  # callers know single errors only


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


async def _earlier(connection: Connection, position: Position) -> list[Fork]:
    if not await connection.fetchval(_SQL["has_marks"]):
        return []
    rows = await connection.fetch(_SQL["marks"], position)
    return [
        Fork(number, fork_id, Position(at), chain, place, origin, note, tuple(keys), forked_at)
        for number, fork_id, at, chain, place, origin, note, keys, forked_at in rows
    ]
