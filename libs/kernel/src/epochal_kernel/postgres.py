"""The door to PostgreSQL: pools, error translation, named SQL.

asyncpg's errors stop here: callers see `Unavailable` (try again), `Internal`, or the kernel's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

from epochal_kernel.errors import Internal, ResourceExhausted, Unavailable

if TYPE_CHECKING:
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )
else:
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection

STATEMENT_TIMEOUT_S = 30.0

_GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,  # a connection that broke in the middle of an answer
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    OSError,
    TimeoutError,
)
_FULL = (asyncpg.DiskFullError, asyncpg.OutOfMemoryError, asyncpg.InsufficientResourcesError)


@contextmanager
def adapting() -> Iterator[None]:
    """Translate asyncpg's errors raised inside the block.

    Raises:
        Unavailable: the connection is gone or the server is not ready; the outcome of a write is
            not known, so retry it with the same command_id.
        ResourceExhausted: disk or memory of the server is full.
        Internal: the statement itself is wrong, or a value of it is none that its type holds.
    """
    try:
        yield
    except asyncpg.InterfaceError as error:
        # asyncpg's own check of a value is an InterfaceError, too: the same again would fail again.
        if isinstance(error, ValueError):
            raise Internal(f"PostgreSQL cannot take a value: {error}") from error
        raise Unavailable(
            f"PostgreSQL does not answer: {error}", reason="DATABASE_UNAVAILABLE"
        ) from error
    except (OverflowError, UnicodeError) as error:  # what COPY lets through unwrapped
        raise Internal(f"PostgreSQL cannot take a value: {error}") from error
    except _GONE as error:
        raise Unavailable(
            f"PostgreSQL does not answer: {error or type(error).__name__}",
            reason="DATABASE_UNAVAILABLE",
        ) from error
    except _FULL as error:
        raise ResourceExhausted(
            f"PostgreSQL has no room: {error}", reason="DATABASE_FULL"
        ) from error
    except asyncpg.PostgresError as error:
        raise Internal(f"PostgreSQL refused a statement: {error}") from error


async def connect(
    dsn: str, *, name: str, search_path: str = "public", min_size: int = 1, max_size: int = 8
) -> Pool:
    """Open a pool.

    Args:
        dsn: address of the database.
        name: shown in pg_stat_activity.
        search_path: schemas in which unqualified names are looked up.
        min_size: connections kept open.
        max_size: connections at most.

    Raises:
        Unavailable: the server cannot be reached.
    """
    with adapting():
        return await asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            command_timeout=STATEMENT_TIMEOUT_S,
            reset=_reset,
            server_settings={
                "application_name": name,
                "search_path": search_path,
                "timezone": "UTC",
                "jit": "off",
            },
        )


async def _reset(connection: Connection) -> None:
    """Make a connection ready for the next user of the pool.

    asyncpg's own reset costs a round trip after every use, to undo listeners, cursors, advisory
    locks and settings. Whoever takes such a thing here gives it back; what is left to undo is a
    transaction that was cut short.
    """
    if connection.is_in_transaction():
        await connection.reset()


def load_sql(package: str, name: str) -> dict[str, str]:
    """Read a .sql file of named statements: each begins with a line `-- name --`.

    Raises:
        ValueError: a statement has no name or a name comes twice.
    """
    text = resources.files(package).joinpath("sql", name).read_text()
    parts = re.split(r"^-- (\w+) --\n", text, flags=re.MULTILINE)
    statements: dict[str, str] = {}
    for key, body in zip(parts[1::2], parts[2::2], strict=True):
        if key in statements:
            raise ValueError(f"{package}/sql/{name}: statement {key!r} comes twice")
        statements[key] = body.strip().rstrip(";")
    if not statements:
        raise ValueError(f"{package}/sql/{name}: no line of the form '-- name --'")
    return statements
