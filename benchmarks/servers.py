"""Real servers for benchmarks: durable, as in production, in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from epochal_embedded.servers import PostgresServer
from epochal_embedded.servers.postgres import PostgresPlaces


@asynccontextmanager
async def durable_postgres() -> AsyncIterator[str]:
    """A PostgreSQL with fsync on; yields the URL of an empty database."""
    with tempfile.TemporaryDirectory(prefix="epochal-bench-") as name:
        folder = _open(name)
        places = PostgresPlaces(cache=folder / "cache", relocated=folder / "relocated")
        server = PostgresServer(folder / "postgres", durable=True, places=places)
        await server.start()
        try:
            yield server.url()
        finally:
            await server.stop()


def _open(name: str) -> Path:
    """The folder, for PostgreSQL's account to pass through."""
    folder = Path(name)
    folder.chmod(0o711)
    return folder
