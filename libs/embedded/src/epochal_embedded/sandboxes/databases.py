"""The database of an embedded platform, whether the platform runs or not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from epochal_embedded.control import is_locked
from epochal_embedded.errors import EmbeddedError
from epochal_embedded.home import Home, Servers, keep_ports
from epochal_embedded.programs import port_names, programs
from epochal_embedded.servers import PostgresServer
from epochal_embedded.supervisor import lock_home


@asynccontextmanager
async def database_of(home: Home) -> AsyncIterator[str]:
    """Give the URL of a platform's database; its server runs meanwhile.

    A platform that is down stays down but for PostgreSQL, and cannot be started meanwhile.

    Raises:
        EmbeddedError: there is no platform, or its database is elsewhere.
    """
    port = _kept_port(home)
    if is_locked(home):
        yield _url(home, port)
        return
    lock = lock_home(home)
    try:
        async with server_of(home) as url:
            yield url
    finally:
        lock.release()


@asynccontextmanager
async def server_of(home: Home) -> AsyncIterator[str]:
    """Run the PostgreSQL of a data folder, made when it is new; the caller holds the lock."""
    ports = keep_ports(home, port_names(programs()), Servers())
    server = PostgresServer(
        home.root / "postgres", port=ports["postgres"], log_path=home.log_of("postgres")
    )
    await server.start()
    try:
        yield server.url()
    finally:
        await server.stop()


def _kept_port(home: Home) -> int:
    path = home.root / "platform.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["database"] != "embedded":
            raise EmbeddedError(
                f"The platform in {home.root} keeps its data in a database elsewhere: give its "
                "URL with --from-database."
            )
        return int(kept["ports"]["postgres"])
    except FileNotFoundError:
        raise EmbeddedError(f"There is no platform in {home.root}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise EmbeddedError(f"{path} is damaged ({error}).") from error


def _url(home: Home, port: int) -> str:
    try:
        password = (home.root / "postgres" / "password").read_text(encoding="utf-8").strip()
    except OSError as error:
        raise EmbeddedError(
            f"The database in {home.root} cannot be opened: {error.strerror}."
        ) from error
    return f"postgresql://epochal:{password}@127.0.0.1:{port}/epochal"
