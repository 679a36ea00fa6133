"""Databases for tests: made from a template in milliseconds, dropped with whoever is connected."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg


class Databases:
    """Makes and drops the databases of one server.

    A template is prepared once (schema migrated, rows loaded) and then copied by the server as
    files, which costs less than running the migrations again for each test.
    """

    def __init__(self, url_of: Callable[[str], str]) -> None:
        """Take the function that turns a database name into a connection URL."""
        self._url_of = url_of
        self._numbers = itertools.count(1)
        self._templates: dict[str, str] = {}

    async def create(self, template: str = "template0") -> str:
        """Create a database from a template's name and return its URL."""
        name = f"test_{next(self._numbers)}"
        async with self._administrator() as connection:
            await connection.execute(
                f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy'
            )
        return self._url_of(name)

    async def drop(self, url: str) -> None:
        """Drop the database of a URL, ending the sessions that a test left open."""
        name = urlsplit(url).path.lstrip("/")
        async with self._administrator() as connection:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def template(self, key: str, prepare: Callable[[str], Awaitable[object]]) -> str:
        """Return the name of the template `key`, prepared by `prepare(url)` the first time.

        `prepare` must close its connections: PostgreSQL does not copy a database in use.
        """
        if key not in self._templates:
            url = await self.create()
            await prepare(url)
            self._templates[key] = urlsplit(url).path.lstrip("/")
        return self._templates[key]

    @asynccontextmanager
    async def _administrator(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self._url_of("postgres"))
        try:
            yield connection
        finally:
            await connection.close()
