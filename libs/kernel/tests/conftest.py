from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parent))

from kernel_world import LogWorld, log_world


@pytest_asyncio.fixture(loop_scope="session")
async def world(database: str) -> AsyncIterator[LogWorld]:
    async with log_world(database) as opened:
        yield opened
