"""The platform that is forked, as one snapshot of its database.

A repeatable-read transaction sees one moment for as long as it lasts: what the platform appends
meanwhile is not in the fork, and waits for nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from urllib.parse import urlsplit

import asyncpg
from epochal_kernel.ids import Position
from epochal_kernel.postgres import Connection, load_sql

from epochal_embedded.errors import EmbeddedError

_SQL = load_sql("epochal_embedded.sandboxes", "sources.sql")


class NoSource(EmbeddedError):
    """What was named is no platform that this release could fork."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What a platform has signed of its own log.

    Attributes:
        origin: name of the log; empty before the first checkpoint.
        checkpoint: the newest within the fork, a signed note; empty when there is none.
        size: events in it.
        verifiers: every key that ever signed.
    """

    origin: str = ""
    checkpoint: str = ""
    size: int = 0
    verifiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """One moment of a platform.

    Attributes:
        connection: in a read-only transaction that sees that moment.
        place: where it is, without its password.
        position: the last position that is copied.
        chain: link of the hash chain there.
        head: the last position there is.
        size_bytes: of the log on its disk.
    """

    connection: Connection
    place: str
    position: Position
    chain: bytes
    head: Position
    size_bytes: int


@asynccontextmanager
async def snapshot(url: str, until: Position | datetime | None) -> AsyncIterator[Source]:
    """Open one moment of a platform's database, up to a position or a time.

    Raises:
        NoSource: there is no such database, no log in it, one of a newer release, or nothing yet
            at the time asked for.
    """
    try:
        connection = await asyncpg.connect(url, timeout=20)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise NoSource(
            f"The database at {without_password(url)} cannot be opened: {error}."
        ) from error
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            # The operator's limits on idle and long statements are for requests, not for a copy.
            await connection.execute(_SQL["no_limits"])
            if not await connection.fetchval(_SQL["has_log"]):
                raise NoSource(f"{without_password(url)} holds no log of Epochal.")
            await _assert_known_release(connection)
            yield await _source(connection, without_password(url), until)
    finally:
        await connection.close(timeout=5)


async def signed(source: Source) -> Signed:
    """Return what the platform has signed of what is copied."""
    if not await source.connection.fetchval(_SQL["has_seals"]):
        return Signed()
    row = await source.connection.fetchrow(_SQL["signed"], source.position)
    if row is None:
        return Signed()
    return Signed(row["origin"], row["note"] or "", row["size"] or 0, tuple(row["verifiers"]))


def without_password(url: str) -> str:
    """Return the URL of a database as it may be shown and kept."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}:{parts.port or 5432}{parts.path}"


async def _source(connection: Connection, place: str, until: Position | datetime | None) -> Source:
    head = Position(await connection.fetchval(_SQL["head"]))
    match until:
        case None:
            position = head
        case datetime():
            position = Position(await connection.fetchval(_SQL["position_at"], until) or 0)
        case _:
            position = until
    if not 0 < position <= head:
        raise NoSource(
            f"The log at {place} has the positions 1 to {head}; there is none to fork at "
            f"{until.isoformat() if isinstance(until, datetime) else position}."
        )
    chain = await connection.fetchval(_SQL["chain_at"], position)
    if chain is None:
        raise NoSource(f"The log at {place} has no event {position}: it is not whole.")
    size = int(await connection.fetchval(_SQL["log_bytes"]))
    return Source(connection, place, position, chain, head, size)


async def _assert_known_release(connection: Connection) -> None:
    """Refuse a log whose schema this release does not know: it would leave something out."""
    known = {
        entry.name
        for entry in resources.files("epochal_kernel.log").joinpath("sql").iterdir()
        if entry.name.endswith(".sql")
    }
    applied = [row[0] for row in await connection.fetch(_SQL["log_migrations"])]
    newer = [name for name in applied if name not in known]
    if newer:
        raise NoSource(
            f"The database has the migration log/{newer[0]}, which this release lacks: fork with "
            "the release that runs there, or a newer one."
        )
