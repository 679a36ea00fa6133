from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parent))

from fault_world import World, open_world


@pytest_asyncio.fixture(loop_scope="session")
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with open_world(database, nats_url) as opened:
        yield opened
