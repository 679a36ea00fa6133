from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from epochal_embedded.servers import NatsServer

sys.path.insert(0, str(Path(__file__).parent))

from fault_world import World, open_world


@pytest_asyncio.fixture(loop_scope="session")
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    """The toy's world on the servers that tests share."""
    async with open_world(database, nats_url) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def broker(shared_folder: Path) -> AsyncIterator[NatsServer]:
    """A broker of the test's own, whose store it may damage."""
    server = NatsServer(shared_folder / "nats", durable=False)
    await server.start()
    yield server
    await server.stop()
